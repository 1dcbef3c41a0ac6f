; The operand of a vector function behind the scratchpad.
;: set core.sram_kib 16
.entry main
    vpu.fill dst=f32[0x0], value=1.0, n0=1, n1=1, n2=16
    vpu.exp dst=f32[0x0], a=f32[0x3ffc], scale=1.0, n0=1, n1=1, n2=2
    ctl.halt
;= fault out-of-bounds
;= program fault: out of bounds: operand `a` covers SRAM of core 0 0x3ffc..0x4004, but it ends at 0x4000 (4 bytes missing)
;=     at core 0 vpu pc 1: vpu.exp a=f32[0x3ffc], scale=1.0, n0=1, n1=1, n2=2
;=     in entry `main`, cycle 17
