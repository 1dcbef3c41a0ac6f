; No halt.
.entry main
    ctl.li rd=r1, imm=2
;= fault pc-end
;= program fault: control ran past the last of 1 instructions without ctl.halt
;=     at core 0 ctl pc 1: the end of the code
;=     in entry `main`, cycle 1
