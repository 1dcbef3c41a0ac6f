; Four cores: each pushes its own slice to all, and all wait for all; core 3 stores what it has got.
;: cores 2x2
;: ram 0x1000 f32 1..16
;: show 0x2000 f32 16
.entry main
    ctl.core rd=r1
    ctl.madd rd=r2, ra=r1, imm=16
    dma.load queue=dma0, dst=[0x100], src={r2+0x1000}, n0=1, n1=1, n2=1, bytes=16
    sem.post queue=dma0, sem=0, n=1
    sem.wait queue=dma1, sem=0, n=1
    dma.push queue=dma1, dst=[r2], src=[0x100], n0=1, n1=1, n2=1, bytes=16, scope=all
    sem.post queue=dma1, sem=1, n=1, scope=all
    sem.wait queue=dma1, sem=1, n=4
    ctl.addi rd=r3, ra=r1, imm=-2
    dma.store queue=dma1, dst={0x2000}, src=[0x0], n0=1?r3, n1=1, n2=1, bytes=64
    ctl.halt
;= cycles 352
;= 0x2000 f32 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16
