; Two engines on one buffer of the tile program.
;: sram 0x200 64 0 3 4 buffer `scores`
.entry main
    vpu.fill dst=f32[0x0], value=1.0, n0=1, n1=1, n2=64
    sem.post queue=vpu, sem=0, n=1
    sem.wait queue=mxu, sem=0, n=1
    mxu.mm dst=[0x200], a=[0x0], b=[0x40], m=1, n=16, k=1
    vpu.relu dst=f32[0x300], a=f32[0x200], scale=1.0, n0=1, n1=1, n2=16
    ctl.halt
;= fault race
;= program fault: race: read of SRAM of core 0 0x200..0x240 (64 bytes, operand `a`) is not ordered with a write of the same bytes
;=     other core 0 mxu pc 3: mxu.mm dst=[0x200], b=[0x40], m=1, n=16, k=1
;=     at core 0 vpu pc 4: vpu.relu dst=f32[0x300], a=f32[0x200], scale=1.0, n0=1, n1=1, n2=16
;=     touching buffer `scores`, byte 0x0
;=     in entry `main`, cycle 19
;=     help: order them: a sem.post in the earlier queue and a sem.wait in the later one
