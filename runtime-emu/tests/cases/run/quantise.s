; Two rows, quantised dynamically to i8 with a scale per row and to i4 with a zero point for the tensor, and back.
;: ram 0x1000 f32 -2 -0.5 0 1.27 10 -127 63.5 0.5
;: ram 0x1020 f32 0.5 3
;: show 0x2000 f32 2
;: show 0x2008 i32 2
;: show 0x2010 f32 8
;: show 0x2030 f32 8
.entry main
    dma.load queue=dma0, dst=[0x0], src={0x1000}, n0=1, n1=1, n2=1, bytes=40
    sem.post queue=dma0, sem=0, n=1
    sem.wait queue=vpu, sem=0, n=1
    vpu.absmax dst=f32[0x100:0:4], a=f32[0x0:0:16], n0=1, n1=2, n2=4
    vpu.copy dst=f32[0x100], a=f32[0x100], scale=0.007874016, n0=1, n1=1, n2=2
    vpu.quant dst=i8[0x108:0:4], a=f32[0x0:0:16], scale=f32[0x100:0:4:bcast], n0=1, n1=2, n2=4
    vpu.dequant dst=f32[0x110:0:16], a=i8[0x108:0:4], scale=f32[0x100:0:4:bcast], n0=1, n1=2, n2=4
    vpu.quantz dst=i4[0x40:0:2], a=f32[0x0:0:16], scale=f32[0x20:0:0:bcast], zero=f32[0x24:0:0:bcast], n0=1, n1=2, n2=4
    vpu.dequantz dst=f32[0x130:0:16], a=i4[0x40:0:2], scale=f32[0x20:0:0:bcast], zero=f32[0x24:0:0:bcast], n0=1, n1=2, n2=4
    sem.post queue=vpu, sem=2, n=1
    sem.wait queue=dma1, sem=2, n=1
    dma.store queue=dma1, dst={0x2000}, src=[0x100], n0=1, n1=1, n2=1, bytes=80
    ctl.halt
;= cycles 417
;= 0x2000 f32 0.015748031 1
;= 0x2008 i32 1359011969 4227338
;= 0x2010 f32 -2 -0.503937 0 1.2755905 10 -127 64 0
;= 0x2030 f32 -2 -0.5 0 1.5 2 -5.5 2 0.5
