; Every element type, written from f32 and read again; four and two bit elements are packed, the first in the lowest bits.
;: ram 0x1000 f32 -300 -2.5 -0.5 0.5 1.5 2.5 7.3 500000
;: show 0x2000 f32 64
;: show 0x2100 i32 1
;: show 0x2104 i32 1
.entry main
    dma.load queue=dma0, dst=[0x0], src={0x1000}, n0=1, n1=1, n2=1, bytes=32
    sem.post queue=dma0, sem=0, n=1
    sem.wait queue=vpu, sem=0, n=1
    vpu.copy dst=f16[0x40], a=f32[0x0], scale=1.0, n0=1, n1=1, n2=8
    vpu.copy dst=f8e4m3[0x60], a=f32[0x0], scale=1.0, n0=1, n1=1, n2=8
    vpu.copy dst=f8e5m2[0x68], a=f32[0x0], scale=1.0, n0=1, n1=1, n2=8
    vpu.copy dst=i32[0x80], a=f32[0x0], scale=1.0, n0=1, n1=1, n2=8
    vpu.copy dst=i8[0xa0], a=f32[0x0], scale=1.0, n0=1, n1=1, n2=8
    vpu.copy dst=u8[0xa8], a=f32[0x0], scale=1.0, n0=1, n1=1, n2=8
    vpu.copy dst=i4[0xb0], a=f32[0x0], scale=1.0, n0=1, n1=1, n2=8
    vpu.copy dst=i2[0xb4], a=f32[0x0], scale=1.0, n0=1, n1=1, n2=8
    vpu.fill dst=i4[0xb6], value=-2.0, n0=1, n1=1, n2=3
    vpu.copy dst=f32[0x100], a=f16[0x40], scale=1.0, n0=1, n1=1, n2=8
    vpu.copy dst=f32[0x120], a=f8e4m3[0x60], scale=1.0, n0=1, n1=1, n2=8
    vpu.copy dst=f32[0x140], a=f8e5m2[0x68], scale=1.0, n0=1, n1=1, n2=8
    vpu.copy dst=f32[0x160], a=i32[0x80], scale=1.0, n0=1, n1=1, n2=8
    vpu.copy dst=f32[0x180], a=i8[0xa0], scale=1.0, n0=1, n1=1, n2=8
    vpu.copy dst=f32[0x1a0], a=u8[0xa8], scale=1.0, n0=1, n1=1, n2=8
    vpu.copy dst=f32[0x1c0], a=i4[0xb0], scale=1.0, n0=1, n1=1, n2=8
    vpu.copy dst=f32[0x1e0], a=i2[0xb4], scale=1.0, n0=1, n1=1, n2=8
    sem.post queue=vpu, sem=2, n=1
    sem.wait queue=dma1, sem=2, n=1
    dma.store queue=dma1, dst={0x2000}, src=[0x100], n0=1, n1=1, n2=1, bytes=256
    dma.store queue=dma1, dst={0x2100}, src=[0xb0], n0=1, n1=1, n2=1, bytes=8
    ctl.halt
;= cycles 633
;= 0x2000 f32 -300 -2.5 -0.5 0.5 1.5 2.5 7.3007813 inf -288 -2.5 -0.5 0.5 1.5 2.5 7.5 448 -320 -2.5 -0.5 0.5 1.5 2.5 7 57344 -300 -2 0 0 2 2 7 500000 -128 -2 0 0 2 2 7 127 0 0 0 0 2 2 7 255 -8 -2 0 0 2 2 7 7 -1 -1 0 0 1 1 1 1
;= 0x2100 i32 1998717160
;= 0x2104 i32 250500367
