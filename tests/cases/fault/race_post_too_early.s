; The post comes before the write that it should announce.
.entry main
    sem.post queue=vpu, n=1
    vpu.fill dst=f32[0x0], n0=1, n1=1, n2=16
    sem.wait queue=dma1, n=1
    sem.wait queue=dma1, sem=1, n=1
    sem.post queue=mxu, sem=1, n=1
    dma.store queue=dma1, dst={0x1000}, src=[0x0], n0=1, n1=1, n2=1, bytes=64
    ctl.halt
;= fault race
;= program fault: race: read of SRAM of core 0 0x0..0x40 (64 bytes, operand `src`) is not ordered with a write of the same bytes
;=     other core 0 vpu pc 1: vpu.fill n0=1, n1=1, n2=16
;=     at core 0 dma1 pc 5: dma.store queue=dma1, dst={0x1000}, n0=1, n1=1, n2=1, bytes=64
;=     in entry `main`, cycle 5
;=     help: order them: a sem.post in the earlier queue and a sem.wait in the later one
