; The loader overwrites a page that is still being read: a missing wait for `free`.
;: ram 0x1000 f32 1..16
.entry main
    dma.load queue=dma0, dst=[0x0], src={0x1000}, n0=1, n1=1, n2=1, bytes=64
    sem.post queue=dma0, sem=0, n=1
    sem.wait queue=vpu, sem=0, n=1
    vpu.neg dst=f32[0x40], a=f32[0x0], scale=1.0, n0=1, n1=1, n2=16
    ctl.li rd=r1, imm=200
    ctl.loop count=r1 {
        ctl.addi rd=r2, ra=r2, imm=1
    }
    dma.load queue=dma0, dst=[0x3c], src={0x1000}, n0=1, n1=1, n2=1, bytes=4
    ctl.halt
;= fault race
;= program fault: race: write of SRAM of core 0 0x3c..0x40 (4 bytes, operand `dst`) is not ordered with a read of the same bytes
;=     other core 0 vpu pc 3: vpu.neg dst=f32[0x40], scale=1.0, n0=1, n1=1, n2=16
;=     at core 0 dma0 pc 7: dma.load queue=dma0, dst=[0x3c], src={0x1000}, n0=1, n1=1, n2=1, bytes=4
;=     in entry `main`, cycle 206
;=     help: order them: a sem.post in the earlier queue and a sem.wait in the later one
