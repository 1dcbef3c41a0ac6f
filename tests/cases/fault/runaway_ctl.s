; A loop of the controller alone that runs for ever.
;: limit 5000
.entry main
    ctl.li rd=r1, imm=9223372036854775807
    ctl.loop count=r1 {
    ctl.addi rd=r2, ra=r2, imm=1
    }
    ctl.halt
;= fault runaway
;= program fault: the launch executed more than 5000 instructions
;=     at core 0 ctl pc 2: ctl.addi rd=r2, ra=r2, imm=1
;=     in entry `main`, cycle 5001
;=     help: raise the limit if the program is meant to run this long
