; `run/double_buffer` without `sem.wait queue=dma0, sem=1, n=1`.
;: ram 0x1000 f32 1..64
.entry main
    ctl.li rd=r1, imm=4
    vpu.fill dst=f32[0x100], n0=1, n1=1, n2=16
    sem.post queue=dma0, sem=1, n=2
    ctl.li rd=r2
    ctl.loop count=r1 {
        ctl.madd rd=r3, ra=r2, imm=64
        ctl.mod rd=r4, ra=r2, imm=2
        ctl.madd rd=r4, ra=r4, imm=64
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
;= fault race
;= program fault: race: read of SRAM of core 0 0x0..0x40 (64 bytes, operand `b`) is not ordered with a write of the same bytes
;=     other core 0 dma0 pc 8: dma.load queue=dma0, dst=[r4], src={r3+0x1000}, n0=1, n1=1, n2=1, bytes=64
;=     at core 0 vpu pc 11: vpu.add dst=f32[0x100], a=f32[0x100], n0=1, n1=1, n2=16
;=     in entry `main`, cycle 162
;=     help: order them: a sem.post in the earlier queue and a sem.wait in the later one
