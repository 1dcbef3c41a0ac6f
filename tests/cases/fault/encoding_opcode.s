; An opcode that does not exist.
;: word 0 0 0xee
.entry main
    ctl.li rd=r1, imm=3
    ctl.halt
;= refused
;= case: section `.text`: bad encoding at byte 0x0 of the code: undefined opcode 0xee
