; A bf16 A with f32 weights.
;: ram 0x1000 bf16 3 4
;: weights 0x0 f32 1..32
;: show 0x2000 f32 16
.entry main
    dma.load queue=dma0, dst=[0x0], src={0x1000}, n0=1, n1=1, n2=1, bytes=4
    dma.load queue=dma0, dst=[0x40], src={0x0}, n0=1, n1=1, n2=1, bytes=128
    sem.post queue=dma0, sem=0, n=1
    sem.wait queue=mxu, sem=0, n=1
    mxu.mm dst=[0x400], a=[0x0], b=[0x40], m=1, n=16, k=2, a_type=bf16
    sem.post queue=mxu, sem=2, n=1
    sem.wait queue=dma1, sem=2, n=1
    dma.store queue=dma1, dst={0x2000}, src=[0x400], n0=1, n1=1, n2=1, bytes=64
    ctl.halt
;= cycles 602
;= 0x2000 f32 71 78 85 92 99 106 113 120 127 134 141 148 155 162 169 176
