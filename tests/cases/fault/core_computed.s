; A core number from arithmetic: every controller operation on the way to core 9.
.entry main
    ctl.core rd=r1
    ctl.addi rd=r2, ra=r1, imm=5
    ctl.madd rd=r3, ra=r2, imm=3, rb=r1
    ctl.add rd=r4, ra=r3, rb=r2
    ctl.sub rd=r4, ra=r4, rb=r2
    ctl.mul rd=r5, ra=r4, rb=r4
    ctl.div rd=r6, ra=r5, imm=25
    ctl.mod rd=r7, ra=r5, imm=100
    ctl.max rd=r8, ra=r6, rb=r1
    ctl.min rd=r8, ra=r8, rb=r7
    sem.post queue=vpu, n=1, scope=core, core=r8
    ctl.halt
;= fault core-range
;= program fault: no such core: core 9 is addressed, and the chip has cores 0 to 0
;=     at core 0 vpu pc 10: sem.post queue=vpu, n=1, scope=core, core=9
;=     in entry `main`, cycle 10
