; A push and a post to one core: core 0 sends to core 1, which stores.
;: cores 2x1
;: ram 0x1000 f32 1..16
;: show 0x2000 f32 16
.entry main
    ctl.core rd=r1
    ctl.li rd=r3, imm=1
    ctl.sub rd=r2, ra=r3, rb=r1
    ctl.loop count=r2 {
        dma.load queue=dma0, dst=[0x0], src={0x1000}, n0=1, n1=1, n2=1, bytes=64
        sem.post queue=dma0, sem=0, n=1
        sem.wait queue=dma1, sem=0, n=1
        dma.push queue=dma1, dst=[0x80], src=[0x0], n0=1, n1=1, n2=1, bytes=64, scope=core, core=1
        sem.post queue=dma1, sem=2, n=1, scope=core, core=1
        dma.push queue=dma1, dst=[0x200], src=[0x0], n0=1, n1=1, n2=1, bytes=64
    }
    ctl.loop count=r1 {
        sem.wait queue=dma1, sem=2, n=1
        dma.store queue=dma1, dst={0x2000}, src=[0x80], n0=1, n1=1, n2=1, bytes=64
    }
    ctl.halt
;= cycles 350
;= 0x2000 f32 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16
