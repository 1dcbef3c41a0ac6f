; Extents clamped by a register: 5 of at most 16 elements, and an instruction that does nothing.
;: ram 0x1000 f32 1..16
;: launch 5
;: show 0x2000 f32 6
.entry main
    ctl.launch rd=r1
    dma.load queue=dma0, dst=[0x0], src={0x1000}, n0=1, n1=1, n2=1, bytes=64
    ctl.li rd=r2, imm=-3
    dma.load queue=dma0, dst=[0x0], src={0x1000}, n0=1?r2, n1=1, n2=1, bytes=64
    sem.post queue=dma0, sem=0, n=1
    sem.wait queue=vpu, sem=0, n=1
    vpu.neg dst=f32[0x0], a=f32[0x0], scale=1.0, n0=1, n1=1, n2=16?r1
    sem.post queue=vpu, sem=1, n=1
    sem.wait queue=dma1, sem=1, n=1
    dma.store queue=dma1, dst={0x2000}, src=[0x0], n0=1, n1=1, n2=1, bytes=24
    ctl.halt
;= cycles 326
;= 0x2000 f32 -1 -2 -3 -4 -5 6
