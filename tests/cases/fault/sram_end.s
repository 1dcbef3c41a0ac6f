; The last row of a strided operand leaves the scratchpad.
;: set core.sram_kib 16
.entry main
    vpu.fill dst=f32[0x3f00:0:128], value=1.0, n0=1, n1=3, n2=4
    ctl.halt
;= fault out-of-bounds
;= program fault: out of bounds: operand `dst` covers SRAM of core 0 0x3f00..0x4010, but it ends at 0x4000 (16 bytes missing)
;=     at core 0 vpu pc 0: vpu.fill dst=f32[0x3f00:0:128], value=1.0, n0=1, n1=3, n2=4
;=     in entry `main`, cycle 0
