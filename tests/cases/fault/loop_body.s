; A loop body that ends after the loop around it.
.entry main
    ctl.li rd=r1, imm=2
    ctl.loop count=r1, body=2
    ctl.loop count=r1, body=4
    ctl.li rd=r2
    ctl.li rd=r2
    ctl.li rd=r2
    ctl.halt
;= fault loop-body
;= program fault: the loop body ends at pc 7, past the end of what surrounds it at pc 4
;=     at core 0 ctl pc 2: ctl.loop count=r1, body=4
;=     in entry `main`, cycle 2
