; A core reads what another core pushes, without having been told.
;: cores 2x1
.entry main
    vpu.fill dst=f32[0x0], value=1.0, n0=1, n1=1, n2=16
    sem.post queue=vpu, sem=0, n=1
    sem.wait queue=dma1, sem=0, n=1
    ctl.core rd=r1
    ctl.li rd=r2, imm=1
    ctl.sub rd=r3, ra=r2, rb=r1
    ctl.loop count=r3 {
    dma.push queue=dma1, dst=[0x100], src=[0x0], n0=1, n1=1, n2=1, bytes=64, scope=core, core=1
    }
    ctl.loop count=r1 {
    vpu.fill dst=f32[0x100], n0=1, n1=1, n2=16
    vpu.abs dst=f32[0x200], a=f32[0x100], scale=1.0, n0=1, n1=1, n2=16
    }
    ctl.halt
;= fault race
;= program fault: race: write of SRAM of core 1 0x100..0x140 (64 bytes, operand `dst`) is not ordered with a write of the same bytes
;=     other core 0 dma1 pc 7: dma.push queue=dma1, dst=[0x100], n0=1, n1=1, n2=1, bytes=64, scope=core, core=1
;=     at core 1 vpu pc 9: vpu.fill dst=f32[0x100], n0=1, n1=1, n2=16
;=     in entry `main`, cycle 18
;=     help: order them: a sem.post in the earlier queue and a sem.wait in the later one
