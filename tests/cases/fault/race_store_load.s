; A load of what another engine stores, without a semaphore between them.
;: ram 0x1000 f32 1 2 3 4
.entry main
    vpu.fill dst=f32[0x0], value=1.0, n0=1, n1=1, n2=16
    sem.post queue=vpu, sem=0, n=1
    sem.wait queue=dma1, sem=0, n=1
    dma.store queue=dma1, dst={0x1000}, src=[0x0], n0=1, n1=1, n2=1, bytes=16
    dma.load queue=dma0, dst=[0x100], src={0x1008}, n0=1, n1=1, n2=1, bytes=4
    ctl.halt
;= fault race
;= program fault: race: write of DRAM 0x1008..0x100c (4 bytes, operand `dst`) is not ordered with a read of the same bytes
;=     other core 0 dma0 pc 4: dma.load queue=dma0, dst=[0x100], src={0x1008}, n0=1, n1=1, n2=1, bytes=4
;=     at core 0 dma1 pc 3: dma.store queue=dma1, dst={0x1000}, n0=1, n1=1, n2=1, bytes=16
;=     in entry `main`, cycle 18
;=     help: order them: a sem.post in the earlier queue and a sem.wait in the later one
