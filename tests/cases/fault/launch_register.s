; The entry has one launch register.
;: launch 7
.entry main
    ctl.launch rd=r1, index=1
    ctl.halt
;= fault launch-register
;= program fault: no such launch register: 1 is read, and the entry has 1
;=     at core 0 ctl pc 0: ctl.launch rd=r1, index=1
;=     in entry `main`, cycle 0
