; Comparisons, logic, rounding, selection, and the reductions of quantisation.
;: ram 0x1000 f32 -2 -0.5 0 0.5 1 2.5 3.5 4
;: ram 0x1020 f32 -2 0.5 0 -0.5 2 2.5 3 0
;: show 0x2000 f32 120
;: show 0x21e0 i32 8
;: show 0x2200 f32 2
;: show 0x2208 i32 1
.entry main
    dma.load queue=dma0, dst=[0x0], src={0x1000}, n0=1, n1=1, n2=1, bytes=64
    sem.post queue=dma0, sem=0, n=1
    sem.wait queue=vpu, sem=0, n=1
    vpu.eq dst=f32[0x100], a=f32[0x0], b=f32[0x20], n0=1, n1=1, n2=8
    vpu.ne dst=f32[0x120], a=f32[0x0], b=f32[0x20], n0=1, n1=1, n2=8
    vpu.lt dst=f32[0x140], a=f32[0x0], b=f32[0x20], n0=1, n1=1, n2=8
    vpu.le dst=f32[0x160], a=f32[0x0], b=f32[0x20], n0=1, n1=1, n2=8
    vpu.and dst=f32[0x180], a=f32[0x0], b=f32[0x20], n0=1, n1=1, n2=8
    vpu.or dst=f32[0x1a0], a=f32[0x0], b=f32[0x20], n0=1, n1=1, n2=8
    vpu.xor dst=f32[0x1c0], a=f32[0x0], b=f32[0x20], n0=1, n1=1, n2=8
    vpu.not dst=f32[0x1e0], a=f32[0x0], scale=1.0, n0=1, n1=1, n2=8
    vpu.round dst=f32[0x200], a=f32[0x0], scale=1.0, n0=1, n1=1, n2=8
    vpu.floor dst=f32[0x220], a=f32[0x0], scale=1.0, n0=1, n1=1, n2=8
    vpu.ceil dst=f32[0x240], a=f32[0x0], scale=1.0, n0=1, n1=1, n2=8
    vpu.trunc dst=f32[0x260], a=f32[0x0], scale=1.0, n0=1, n1=1, n2=8
    vpu.sign dst=f32[0x280], a=f32[0x0], scale=1.0, n0=1, n1=1, n2=8
    vpu.lt dst=u8[0x60], a=f32[0x0], b=f32[0x20], n0=1, n1=1, n2=8
    vpu.select dst=f32[0x2a0], a=f32[0x0], b=f32[0x20], mask=u8[0x60], n0=1, n1=1, n2=8
    vpu.isnan dst=f32[0x2c0], a=f32[0x0], scale=1.0, n0=1, n1=1, n2=8
    vpu.fill dst=i32[0x40], value=2147483648.0, n0=1, n1=1, n2=8
    vpu.copy dst=i32[0x80], a=f32[0x0], scale=1.0, n0=1, n1=1, n2=8
    vpu.select dst=i32[0x2e0], a=i32[0x40], b=i32[0x80], mask=f32[0x20], n0=1, n1=1, n2=8
    vpu.minr dst=f32[0x300], a=f32[0x0], n0=1, n1=1, n2=8
    vpu.absmax dst=f32[0x304], a=f32[0x0], n0=1, n1=1, n2=8
    vpu.argmax dst=i32[0x308], a=f32[0x0], n0=1, n1=1, n2=8
    sem.post queue=vpu, sem=2, n=1
    sem.wait queue=dma1, sem=2, n=1
    dma.store queue=dma1, dst={0x2000}, src=[0x100], n0=1, n1=1, n2=1, bytes=524
    ctl.halt
;= cycles 690
;= 0x2000 f32 1 0 1 0 0 1 0 0 0 1 0 1 1 0 1 1 0 1 0 0 1 0 0 0 1 1 1 0 1 1 0 0 1 1 0 1 1 1 1 0 1 1 0 1 1 1 1 1 0 0 0 0 0 0 0 1 0 0 1 0 0 0 0 0 -2 -0 0 0 1 2 4 4 -2 -1 0 0 1 2 3 4 -2 -0 0 1 1 3 4 4 -2 -0 0 0 1 2 3 4 -1 -1 0 1 1 1 1 1 -2 -0.5 0 -0.5 1 2.5 3 0 0 0 0 0 0 0 0 0
;= 0x21e0 i32 2147483647 2147483647 0 2147483647 2147483647 2147483647 2147483647 4
;= 0x2200 f32 -2 4
;= 0x2208 i32 7
