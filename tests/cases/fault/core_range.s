; A post to a core that does not exist.
;: cores 2x1
.entry main
    ctl.core rd=r1
    sem.post queue=vpu, n=1, scope=core, core=r1+1
    ctl.halt
;= fault core-range
;= program fault: no such core: core 2 is addressed, and the chip has cores 0 to 1
;=     at core 1 vpu pc 1: sem.post queue=vpu, n=1, scope=core, core=2
;=     in entry `main`, cycle 1
