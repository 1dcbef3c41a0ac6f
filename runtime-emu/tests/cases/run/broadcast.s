; A broadcast operand: each row of a 2 x 4 matrix is divided by its own number; bf16 in and out.
;: ram 0x1000 bf16 1 2 3 4 5 6 7 8
;: ram 0x1020 f32 2 4
;: show 0x2000 bf16 8
.entry main
    dma.load queue=dma0, dst=[0x0], src={0x1000}, n0=1, n1=1, n2=1, bytes=16
    dma.load queue=dma0, dst=[0x20], src={0x1020}, n0=1, n1=1, n2=1, bytes=8
    sem.post queue=dma0, sem=0, n=1
    sem.wait queue=vpu, sem=0, n=1
    vpu.div dst=bf16[0x100:0:8], a=bf16[0x0:0:8], b=f32[0x20:0:4:bcast], n0=1, n1=2, n2=4
    vpu.fill dst=bf16[0x106], value=-1.0, n0=1, n1=1, n2=1
    sem.post queue=vpu, sem=2, n=1
    sem.wait queue=dma1, sem=2, n=1
    dma.store queue=dma1, dst={0x2000}, src=[0x100], n0=1, n1=1, n2=1, bytes=16
    ctl.halt
;= cycles 378
;= 0x2000 bf16 0.5 1 1.5 -1 1.25 1.5 1.75 2
