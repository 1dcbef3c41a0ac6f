; Two pages in a ring: free tokens are posted at the start, the loader runs ahead of the adder.
;: ram 0x1000 f32 1..64
;: show 0x2000 f32 16
.entry main
    ctl.li rd=r1, imm=4
    vpu.fill dst=f32[0x100], n0=1, n1=1, n2=16
    sem.post queue=dma0, sem=1, n=2
    ctl.li rd=r2
    ctl.loop count=r1 {
        ctl.madd rd=r3, ra=r2, imm=64
        ctl.mod rd=r4, ra=r2, imm=2
        ctl.madd rd=r4, ra=r4, imm=64
        sem.wait queue=dma0, sem=1, n=1
        dma.load queue=dma0, dst=[r4], src={r3+0x1000}, n0=1, n1=1, n2=1, bytes=64
        sem.post queue=dma0, sem=0, n=1
        sem.wait queue=vpu, sem=0, n=1
        vpu.add dst=f32[0x100], a=f32[0x100], b=f32[r4], n0=1, n1=1, n2=16
        sem.post queue=vpu, sem=1, n=1
        ctl.addi rd=r2, ra=r2, imm=1
    }
    sem.post queue=vpu, sem=2, n=1
    sem.wait queue=dma0, sem=1, n=2
    sem.wait queue=dma1, sem=2, n=1
    dma.store queue=dma1, dst={0x2000}, src=[0x100], n0=1, n1=1, n2=1, bytes=64
    ctl.halt
;= cycles 542
;= 0x2000 f32 100 104 108 112 116 120 124 128 132 136 140 144 148 152 156 160
