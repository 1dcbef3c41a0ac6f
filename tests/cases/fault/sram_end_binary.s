; The second operand of a vector function behind the scratchpad.
;: set core.sram_kib 16
.entry main
    vpu.fill dst=f32[0x0], value=1.0, n0=1, n1=1, n2=16
    vpu.add dst=f32[0x0], a=f32[0x0], b=f32[0x0:0x2000], n0=3, n1=1, n2=4
    ctl.halt
;= fault out-of-bounds
;= program fault: out of bounds: operand `b` covers SRAM of core 0 0x0..0x4010, but it ends at 0x4000 (16 bytes missing)
;=     at core 0 vpu pc 1: vpu.add b=f32[0x0:8192], n0=3, n1=1, n2=4
;=     in entry `main`, cycle 17
