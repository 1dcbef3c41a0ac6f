; A byte that must be zero is not.
;: word 1 63 0x01
.entry main
    ctl.li rd=r1, imm=3
    ctl.halt
;= refused
;= case: section `.text`: bad encoding at byte 0x7f of the code: reserved byte 63 of `ctl.halt` is 0x01, it must be 0
