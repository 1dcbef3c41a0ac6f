; A loop body that ends after the code.
.entry main
    ctl.li rd=r1, imm=2
    ctl.loop count=r1, body=2
    ctl.halt
;= fault loop-body
;= program fault: the loop body ends at pc 4, past the end of what surrounds it at pc 3
;=     at core 0 ctl pc 1: ctl.loop count=r1, body=2
;=     in entry `main`, cycle 1
