; The wait takes the older token, which says nothing about the second load.
;: ram 0x1000 f32 1..16
.entry main
    dma.load queue=dma0, dst=[0x0], src={0x1000}, n0=1, n1=1, n2=1, bytes=32
    sem.post queue=dma0, sem=0, n=1
    dma.load queue=dma0, dst=[0x20], src={0x1020}, n0=1, n1=1, n2=1, bytes=32
    sem.post queue=dma0, sem=0, n=1
    sem.wait queue=vpu, sem=0, n=1
    vpu.neg dst=f32[0x40], a=f32[0x0], scale=1.0, n0=1, n1=1, n2=16
    sem.wait queue=vpu, sem=0, n=1
    ctl.halt
;= fault race
;= program fault: race: read of SRAM of core 0 0x20..0x40 (32 bytes, operand `a`) is not ordered with a write of the same bytes
;=     other core 0 dma0 pc 2: dma.load queue=dma0, dst=[0x20], src={0x1020}, n0=1, n1=1, n2=1, bytes=32
;=     at core 0 vpu pc 5: vpu.neg dst=f32[0x40], scale=1.0, n0=1, n1=1, n2=16
;=     in entry `main`, cycle 154
;=     help: order them: a sem.post in the earlier queue and a sem.wait in the later one
