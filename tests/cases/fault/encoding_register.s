; A register that does not exist.
;: word 0 1 64
.entry main
    ctl.li rd=r1, imm=3
    ctl.halt
;= refused
;= case: section `.text`: bad encoding at byte 0x1 of the code: field `rd` of `ctl.li`: register 64 (r0 to r63 exist)
