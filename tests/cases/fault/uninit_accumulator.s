; Accumulates onto a result that does not exist yet.
.entry main
    vpu.fill dst=f32[0x0], n0=1, n1=1, n2=32
    sem.post queue=vpu, n=1
    sem.wait queue=mxu, n=1
    mxu.mm dst=[0x100], a=[0x0], b=[0x40], m=1, n=4, k=1, acc=true
    ctl.halt
;= fault uninitialised-read
;= program fault: read of uninitialised memory: operand `dst` covers SRAM of core 0 0x100..0x110, and byte 0x100 was never written since the launch began
;=     at core 0 mxu pc 3: mxu.mm dst=[0x100], b=[0x40], m=1, n=4, k=1, acc=true
;=     in entry `main`, cycle 18
;=     help: SRAM holds nothing at the start of a launch; is a load or a wait missing?
