; bf16 weights: A in f32 is rounded to bf16 first (1.00390625 becomes 1), a bf16 A is used as it is.
;: ram 0x1000 f32 1.00390625 2
;: ram 0x1010 bf16 3 4
;: weights 0x3000 bf16 1..32
;: dram 0x3040
;: show 0x2000 f32 32
.entry main
    dma.load queue=dma0, dst=[0x0], src={0x1000}, n0=1, n1=1, n2=1, bytes=8
    dma.load queue=dma0, dst=[0x10], src={0x1010}, n0=1, n1=1, n2=1, bytes=4
    dma.load queue=dma0, dst=[0x40], src={0x3000}, n0=1, n1=1, n2=1, bytes=64
    sem.post queue=dma0, sem=0, n=1
    sem.wait queue=mxu, sem=0, n=1
    mxu.mm dst=[0x400], a=[0x0], b=[0x40], m=1, n=16, k=2, b_type=bf16
    mxu.mm dst=[0x440], a=[0x10], b=[0x40], m=1, n=16, k=2, a_type=bf16, b_type=bf16
    sem.post queue=mxu, sem=2, n=1
    sem.wait queue=dma1, sem=2, n=1
    dma.store queue=dma1, dst={0x2000}, src=[0x400], n0=1, n1=1, n2=1, bytes=128
    ctl.halt
;= cycles 517
;= 0x2000 f32 35 38 41 44 47 50 53 56 59 62 65 68 71 74 77 80 71 78 85 92 99 106 113 120 127 134 141 148 155 162 169 176
