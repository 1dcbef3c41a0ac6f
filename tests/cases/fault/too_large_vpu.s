; Sixteen bytes, read billions of times.
.entry main
    vpu.fill dst=f32[0x0], value=1.0, n0=1, n1=1, n2=16
    vpu.max dst=f32[0x100], a=f32[0x0], b=f32[0x0], n0=65535, n1=65535, n2=4
    ctl.halt
;= fault too-large
;= program fault: operand `a` names 68717379600 bytes, counting repetitions (at most 268435456)
;=     at core 0 vpu pc 1: vpu.max dst=f32[0x100], n0=65535, n1=65535, n2=4
;=     in entry `main`, cycle 17
