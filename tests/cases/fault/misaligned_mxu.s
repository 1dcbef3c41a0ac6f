; A of a product at an odd address.
.entry main
    vpu.fill dst=f32[0x0], value=1.0, n0=1, n1=1, n2=64
    sem.post queue=vpu, sem=0, n=1
    sem.wait queue=mxu, sem=0, n=1
    mxu.mm dst=[0x200], a=[0x2], b=[0x40], m=1, n=16, k=1
    ctl.halt
;= fault misaligned
;= program fault: misaligned: operand `a` in SRAM of core 0: address 0x2 is no multiple of its element size 4
;=     at core 0 mxu pc 3: mxu.mm dst=[0x200], a=[0x2], b=[0x40], m=1, n=16, k=1
;=     in entry `main`, cycle 19
