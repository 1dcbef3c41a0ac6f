; Every scalar instruction; each result becomes the length of a run of ones, which is summed up.
;: launch 37 5
;: show 0x2000 f32 10
.entry main
    ctl.launch rd=r1
    ctl.launch rd=r2, index=1
    ctl.li rd=r10, imm=9
    ctl.addi rd=r11, ra=r1, imm=-7
    ctl.madd rd=r12, ra=r2, imm=3, rb=r10
    ctl.add rd=r13, ra=r1, rb=r2
    ctl.sub rd=r14, ra=r1, rb=r2
    ctl.mul rd=r15, ra=r2, rb=r2
    ctl.min rd=r16, ra=r1, rb=r2
    ctl.max rd=r17, ra=r1, rb=r2
    ctl.li rd=r3, imm=-37
    ctl.div rd=r18, ra=r3, imm=10
    ctl.addi rd=r18, ra=r18, imm=10
    ctl.mod rd=r19, ra=r3, imm=10
    ctl.core rd=r20
    vpu.fill dst=f32[0x0], value=0.0, n0=1, n1=1, n2=64
    vpu.fill dst=f32[0x0], value=1.0, n0=1, n1=1, n2=64?r10
    vpu.sum dst=f32[0x200], a=f32[0x0], n0=1, n1=1, n2=64
    vpu.fill dst=f32[0x0], value=0.0, n0=1, n1=1, n2=64
    vpu.fill dst=f32[0x0], value=1.0, n0=1, n1=1, n2=64?r11
    vpu.sum dst=f32[0x204], a=f32[0x0], n0=1, n1=1, n2=64
    vpu.fill dst=f32[0x0], value=0.0, n0=1, n1=1, n2=64
    vpu.fill dst=f32[0x0], value=1.0, n0=1, n1=1, n2=64?r12
    vpu.sum dst=f32[0x208], a=f32[0x0], n0=1, n1=1, n2=64
    vpu.fill dst=f32[0x0], value=0.0, n0=1, n1=1, n2=64
    vpu.fill dst=f32[0x0], value=1.0, n0=1, n1=1, n2=64?r13
    vpu.sum dst=f32[0x20c], a=f32[0x0], n0=1, n1=1, n2=64
    vpu.fill dst=f32[0x0], value=0.0, n0=1, n1=1, n2=64
    vpu.fill dst=f32[0x0], value=1.0, n0=1, n1=1, n2=64?r14
    vpu.sum dst=f32[0x210], a=f32[0x0], n0=1, n1=1, n2=64
    vpu.fill dst=f32[0x0], value=0.0, n0=1, n1=1, n2=64
    vpu.fill dst=f32[0x0], value=1.0, n0=1, n1=1, n2=64?r15
    vpu.sum dst=f32[0x214], a=f32[0x0], n0=1, n1=1, n2=64
    vpu.fill dst=f32[0x0], value=0.0, n0=1, n1=1, n2=64
    vpu.fill dst=f32[0x0], value=1.0, n0=1, n1=1, n2=64?r16
    vpu.sum dst=f32[0x218], a=f32[0x0], n0=1, n1=1, n2=64
    vpu.fill dst=f32[0x0], value=0.0, n0=1, n1=1, n2=64
    vpu.fill dst=f32[0x0], value=1.0, n0=1, n1=1, n2=64?r17
    vpu.sum dst=f32[0x21c], a=f32[0x0], n0=1, n1=1, n2=64
    vpu.fill dst=f32[0x0], value=0.0, n0=1, n1=1, n2=64
    vpu.fill dst=f32[0x0], value=1.0, n0=1, n1=1, n2=64?r18
    vpu.sum dst=f32[0x220], a=f32[0x0], n0=1, n1=1, n2=64
    vpu.fill dst=f32[0x0], value=0.0, n0=1, n1=1, n2=64
    vpu.fill dst=f32[0x0], value=1.0, n0=1, n1=1, n2=64?r19
    vpu.sum dst=f32[0x224], a=f32[0x0], n0=1, n1=1, n2=64
    sem.post queue=vpu, sem=0, n=1
    sem.wait queue=dma1, sem=0, n=1
    dma.store queue=dma1, dst={0x2000}, src=[0x200], n0=1, n1=1, n2=1, bytes=40
    ctl.halt
;= cycles 701
;= 0x2000 f32 9 30 24 42 32 25 5 37 6 3
