; Two cores store to the same state.
;: cores 2x1
.entry main
    vpu.fill dst=f32[0x0], n0=1, n1=1, n2=16
    sem.post queue=vpu, sem=0, n=1
    sem.wait queue=dma1, sem=0, n=1
    dma.store queue=dma1, dst={0x2000}, src=[0x0], n0=1, n1=1, n2=1, bytes=64
    ctl.halt
;= fault race
;= program fault: race: write of DRAM 0x2000..0x2040 (64 bytes, operand `dst`) is not ordered with a write of the same bytes
;=     other core 0 dma1 pc 3: dma.store queue=dma1, dst={0x2000}, n0=1, n1=1, n2=1, bytes=64
;=     at core 1 dma1 pc 3: dma.store queue=dma1, dst={0x2000}, n0=1, n1=1, n2=1, bytes=64
;=     in entry `main`, cycle 18
;=     help: order them: a sem.post in the earlier queue and a sem.wait in the later one
