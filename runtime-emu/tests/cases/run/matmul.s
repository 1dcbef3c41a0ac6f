; [2,3] x [3,18] in two panels; A is 1 2 3 / 4 5 6, B has rows of 1, 10 and 100.
;: ram 0x1000 f32 1 2 3 4 5 6
;: show 0x2000 f32 36
.entry main
    dma.load queue=dma0, dst=[0x0], src={0x1000}, n0=1, n1=1, n2=1, bytes=24
    sem.post queue=dma0, sem=0, n=1
    vpu.fill dst=f32[0x100], value=1.0, n0=1, n1=1, n2=16
    vpu.fill dst=f32[0x140], value=10.0, n0=1, n1=1, n2=16
    vpu.fill dst=f32[0x180], value=100.0, n0=1, n1=1, n2=16
    vpu.fill dst=f32[0x200], value=1.0, n0=1, n1=1, n2=16
    vpu.fill dst=f32[0x240], value=10.0, n0=1, n1=1, n2=16
    vpu.fill dst=f32[0x280], value=1000.0, n0=1, n1=1, n2=16
    sem.post queue=vpu, sem=1, n=1
    sem.wait queue=mxu, sem=0, n=1
    sem.wait queue=mxu, sem=1, n=1
    mxu.mm dst=[0x400], dst_s0=72, a=[0x0], a_s0=12, b=[0x100], b_panel_stride=256, m=2, n=18, k=3
    mxu.mm dst=[0x400], dst_s0=72, a=[0x0], a_s0=12, b=[0x100], b_panel_stride=256, m=1, n=4, k=1, acc=true
    sem.post queue=mxu, sem=2, n=1
    sem.wait queue=dma1, sem=2, n=1
    dma.store queue=dma1, dst={0x2000}, src=[0x400], n0=1, n1=1, n2=1, bytes=144
    ctl.halt
;= cycles 831
;= 0x2000 f32 322 322 322 322 321 321 321 321 321 321 321 321 321 321 321 321 3021 3021 654 654 654 654 654 654 654 654 654 654 654 654 654 654 654 654 6054 6054
