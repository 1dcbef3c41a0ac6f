; Rows of f32 that are 6 bytes apart.
.entry main
    vpu.fill dst=f32[0x0:0:6], n0=1, n1=2, n2=1
    ctl.halt
;= fault misaligned
;= program fault: misaligned: operand `dst` in SRAM of core 0: stride 0x6 is no multiple of its element size 4
;=     at core 0 vpu pc 0: vpu.fill dst=f32[0x0:0:6], n0=1, n1=2, n2=1
;=     in entry `main`, cycle 0
