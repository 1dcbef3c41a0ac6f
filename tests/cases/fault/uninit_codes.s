; A product by codes that nobody wrote.
.entry main
    vpu.fill dst=f32[0x0], value=1.0, n0=1, n1=1, n2=64
    sem.post queue=vpu, sem=0, n=1
    sem.wait queue=mxu, sem=0, n=1
    mxu.mmq dst=[0x1000], a=[0x0], b=[0x400], scale=[0x0], m=1, n=16, k=64, a_type=f32, b_type=i8
    ctl.halt
;= fault uninitialised-read
;= program fault: read of uninitialised memory: operand `b` covers SRAM of core 0 0x400..0x800, and byte 0x400 was never written since the launch began
;=     at core 0 mxu pc 3: mxu.mmq dst=[0x1000], b=[0x400], m=1, n=16, k=64, b_type=i8
;=     in entry `main`, cycle 19
;=     help: SRAM holds nothing at the start of a launch; is a load or a wait missing?
