; A loop that takes forever.
;: limit 1000
.entry main
    ctl.li rd=r1, imm=1000000000000
    ctl.loop count=r1 {
        ctl.addi rd=r2, ra=r2, imm=1
    }
    ctl.halt
;= fault runaway
;= program fault: the launch executed more than 1000 instructions
;=     at core 0 ctl pc 2: ctl.addi rd=r2, ra=r2, imm=1
;=     in entry `main`, cycle 1001
;=     help: raise the limit if the program is meant to run this long
