; A queue of one instruction: the controller stalls, the result is the same.
;: set core.queue_depth 2
;: ram 0x1000 f32 1..16
;: show 0x2000 f32 16
.entry main
    dma.load queue=dma0, dst=[0x0], src={0x1000}, n0=1, n1=1, n2=1, bytes=64
    dma.load queue=dma0, dst=[0x40], src={0x1000}, n0=1, n1=1, n2=1, bytes=64
    dma.load queue=dma0, dst=[0x80], src={0x1000}, n0=1, n1=1, n2=1, bytes=64
    sem.post queue=dma0, sem=0, n=1
    sem.wait queue=dma1, sem=0, n=1
    dma.store queue=dma1, dst={0x2000}, src=[0x80], n0=1, n1=1, n2=1, bytes=64
    ctl.halt
;= cycles 373
;= 0x2000 f32 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16
