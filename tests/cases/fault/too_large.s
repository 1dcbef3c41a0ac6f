; Rows that all lie at the same place, a billion times.
.entry main
    vpu.fill dst=f32[0x0], n0=40000, n1=40000, n2=1
    ctl.halt
;= fault too-large
;= program fault: operand `dst` names 6400000000 bytes, counting repetitions (at most 268435456)
;=     at core 0 vpu pc 0: vpu.fill n0=40000, n1=40000, n2=1
;=     in entry `main`, cycle 0
