; A of bf16 by panels of i4, i2 and f8e4m3 codes with a scale for each 32 k: 1 for the first group, -2 for the second.
;: show 0x2000 f32 16
;: show 0x2040 f32 16
;: show 0x2080 f32 16
.entry main
    vpu.fill dst=bf16[0x400], value=0.5, n0=1, n1=1, n2=64
    vpu.fill dst=i4[0x800], value=3.0, n0=1, n1=1, n2=512
    vpu.fill dst=i4[0x900], value=-5.0, n0=1, n1=1, n2=512
    vpu.fill dst=i2[0xa00], value=1.0, n0=1, n1=1, n2=1024
    vpu.fill dst=f8e4m3[0xb00], value=0.125, n0=1, n1=1, n2=1024
    vpu.fill dst=f32[0xf00], value=1.0, n0=1, n1=1, n2=16
    vpu.fill dst=f32[0xf40], value=-2.0, n0=1, n1=1, n2=16
    vpu.copy dst=f16[0xf80], a=f32[0xf00], scale=1.0, n0=1, n1=1, n2=32
    sem.post queue=vpu, sem=1, n=1
    sem.wait queue=mxu, sem=1, n=1
    mxu.mmq dst=[0x100], a=[0x400], b=[0x800], scale=[0xf00], m=1, n=16, k=64, group=32, a_type=bf16, b_type=i4
    mxu.mmq dst=[0x140], a=[0x400], b=[0xa00], scale=[0xf80], m=1, n=16, k=64, group=32, a_type=bf16, b_type=i2, scale_type=f16
    mxu.mmq dst=[0x180], a=[0x400], b=[0xb00], scale=[0xf00], m=1, n=16, k=64, a_type=bf16, b_type=f8e4m3
    mxu.drain dst=[0x180], src=[0x180], m=1, n=16, act=silu
    sem.post queue=mxu, sem=2, n=1
    sem.wait queue=dma1, sem=2, n=1
    dma.store queue=dma1, dst={0x2000}, src=[0x100], n0=1, n1=1, n2=1, bytes=192
    ctl.halt
;= cycles 801
;= 0x2000 f32 208 208 208 208 208 208 208 208 208 208 208 208 208 208 208 208
;= 0x2040 f32 -16 -16 -16 -16 -16 -16 -16 -16 -16 -16 -16 -16 -16 -16 -16 -16
;= 0x2080 f32 3.928055 3.928055 3.928055 3.928055 3.928055 3.928055 3.928055 3.928055 3.928055 3.928055 3.928055 3.928055 3.928055 3.928055 3.928055 3.928055
