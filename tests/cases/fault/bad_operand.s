; A register makes an address negative.
.entry main
    ctl.li rd=r1, imm=-64
    vpu.fill dst=f32[r1], n0=1, n1=1, n2=1
    ctl.halt
;= fault bad-operand
;= program fault: `vpu.fill`: field `dst` is out of range at run time: SRAM address -64
;=     at core 0 ctl pc 1: vpu.fill dst=f32[r1], n0=1, n1=1, n2=1
;=     in entry `main`, cycle 1
