; A fill and a product write the same place (write after write).
.entry main
    vpu.fill dst=f32[0x0], value=1.0, n0=1, n1=1, n2=64
    sem.post queue=vpu, sem=0, n=1
    sem.wait queue=mxu, sem=0, n=1
    mxu.mm dst=[0x200], a=[0x0], b=[0x40], m=1, n=16, k=1
    vpu.fill dst=f32[0x23c], value=0.0, n0=1, n1=1, n2=1
    ctl.halt
;= fault race
;= program fault: race: write of SRAM of core 0 0x23c..0x240 (4 bytes, operand `dst`) is not ordered with a write of the same bytes
;=     other core 0 mxu pc 3: mxu.mm dst=[0x200], b=[0x40], m=1, n=16, k=1
;=     at core 0 vpu pc 4: vpu.fill dst=f32[0x23c], n0=1, n1=1, n2=1
;=     in entry `main`, cycle 19
;=     help: order them: a sem.post in the earlier queue and a sem.wait in the later one
