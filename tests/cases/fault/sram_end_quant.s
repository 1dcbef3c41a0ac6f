; A scale behind the scratchpad.
;: set core.sram_kib 16
.entry main
    vpu.fill dst=f32[0x0], value=1.0, n0=1, n1=1, n2=16
    vpu.quant dst=i8[0x100], a=f32[0x0], scale=f32[0x4000:0:0:bcast], n0=1, n1=1, n2=4
    ctl.halt
;= fault out-of-bounds
;= program fault: out of bounds: operand `scale` covers SRAM of core 0 0x4000..0x4004, but it ends at 0x4000 (4 bytes missing)
;=     at core 0 vpu pc 1: vpu.quant dst=i8[0x100], scale=f32[0x4000:bcast], n0=1, n1=1, n2=4
;=     in entry `main`, cycle 17
