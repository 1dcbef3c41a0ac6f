; An instruction reads all of its operands before it writes: a row moves up by one element in place.
;: ram 0x1000 f32 1..16
;: show 0x2000 f32 16
.entry main
    dma.load queue=dma0, dst=[0x0], src={0x1000}, n0=1, n1=1, n2=1, bytes=64
    sem.post queue=dma0, sem=0, n=1
    sem.wait queue=vpu, sem=0, n=1
    vpu.copy dst=f32[0x4], a=f32[0x0], scale=1.0, n0=1, n1=1, n2=15
    vpu.mul dst=f32[0x0], a=f32[0x0], b=f32[0x8:0:0:bcast], n0=1, n1=1, n2=4
    sem.post queue=vpu, sem=2, n=1
    sem.wait queue=dma1, sem=2, n=1
    dma.store queue=dma1, dst={0x2000}, src=[0x0], n0=1, n1=1, n2=1, bytes=64
    ctl.halt
;= cycles 342
;= 0x2000 f32 2 2 4 6 4 5 6 7 8 9 10 11 12 13 14 15
