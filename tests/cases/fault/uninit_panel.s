; The last row of a panel of B was never written.
.entry main
    vpu.fill dst=f32[0x0], value=1.0, n0=1, n1=1, n2=32
    sem.post queue=vpu, sem=0, n=1
    sem.wait queue=mxu, sem=0, n=1
    mxu.mm dst=[0x200], a=[0x0], b=[0x20], m=1, n=16, k=2
    ctl.halt
;= fault uninitialised-read
;= program fault: read of uninitialised memory: operand `b` covers SRAM of core 0 0x20..0xa0, and byte 0x80 was never written since the launch began
;=     0x20..0x80 of it was written by core 0 vpu pc 0: vpu.fill value=1.0, n0=1, n1=1, n2=32
;=     at core 0 mxu pc 3: mxu.mm dst=[0x200], b=[0x20], m=1, n=16, k=2
;=     in entry `main`, cycle 18
;=     help: SRAM holds nothing at the start of a launch; is a load or a wait missing?
