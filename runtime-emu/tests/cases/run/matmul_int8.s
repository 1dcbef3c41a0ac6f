; Two rows of 64 i8 by an i8 panel: column n of B is n - 8 everywhere. Per column scales, then zero points, then bias and requantise.
;: ram 0x1000 f32 0.5 0.25 0 0
;: ram 0x1010 f32 -7 -6 -5 -4 -3 -2 -1 0 1 2 3 4 5 6 7 8
;: show 0x2000 f32 32
;: show 0x2080 f32 32
;: show 0x2100 f32 32
.entry main
    dma.load queue=dma0, dst=[0x0], src={0x1000}, n0=1, n1=1, n2=1, bytes=80
    sem.post queue=dma0, sem=0, n=1
    sem.wait queue=vpu, sem=0, n=1
    vpu.fill dst=i8[0x400], value=3.0, n0=1, n1=1, n2=64
    vpu.fill dst=i8[0x440], value=-2.0, n0=1, n1=1, n2=64
    vpu.copy dst=i8[0x800:64:4], a=f32[0x10:0:4:bcast], scale=1.0, bias=-1.0, n0=16, n1=16, n2=4
    vpu.fill dst=f32[0xc00], value=-0.5, n0=1, n1=1, n2=16
    vpu.fill dst=i8[0xc40], value=2.0, n0=1, n1=1, n2=16
    sem.post queue=vpu, sem=1, n=1
    sem.wait queue=mxu, sem=1, n=1
    mxu.mmq dst=[0x100], dst_s0=64, a=[0x400], a_s0=64, a_scale=[0x0], b=[0x800], scale=[0xc00], m=2, n=16, k=64, a_type=i8, b_type=i8
    mxu.mmq dst=[0x180], dst_s0=64, a=[0x400], a_s0=64, a_scale=[0x0], b=[0x800], scale=[0xc00], zero=[0xc40], m=2, n=16, k=64, a_type=i8, b_type=i8, zeros=true
    mxu.mmq dst=[0x180], dst_s0=64, a=[0x400], a_s0=64, a_scale=[0x0], b=[0x800], scale=[0xc00], zero=[0xc40], m=2, n=3, k=64, a_type=i8, b_type=i8, zeros=true, acc=true
    mxu.drain dst=[0xd00], dst_s0=16, src=[0x100], src_s0=64, bias=[0x10], scale=[0x0], m=2, n=16, dst_type=i8, act=relu, biased=true, scaled=true
    sem.post queue=mxu, sem=2, n=1
    sem.wait queue=vpu, sem=2, n=1
    vpu.copy dst=f32[0x200], a=i8[0xd00], scale=1.0, n0=1, n1=1, n2=32
    sem.post queue=vpu, sem=3, n=1
    sem.wait queue=dma1, sem=3, n=1
    dma.store queue=dma1, dst={0x2000}, src=[0x100], n0=1, n1=1, n2=1, bytes=384
    ctl.halt
;= cycles 763
;= 0x2000 f32 384 336 288 240 192 144 96 48 0 -48 -96 -144 -192 -240 -288 -336 -128 -112 -96 -80 -64 -48 -32 -16 0 16 32 48 64 80 96 112
;= 0x2080 f32 960 864 768 336 288 240 192 144 96 48 0 -48 -96 -144 -192 -240 -320 -288 -256 -112 -96 -80 -64 -48 -32 -16 0 16 32 48 64 80
;= 0x2100 f32 127 127 127 127 127 127 127 96 2 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 4 72 127 127 127 127 127 127
