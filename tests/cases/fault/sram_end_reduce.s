; A reduction over rows behind the scratchpad.
;: set core.sram_kib 16
.entry main
    vpu.fill dst=f32[0x0], value=1.0, n0=1, n1=1, n2=4096
    vpu.sum dst=f32[0x0:0:4], a=f32[0x2000:0:0x1000], n0=1, n1=3, n2=4
    ctl.halt
;= fault out-of-bounds
;= program fault: out of bounds: operand `a` covers SRAM of core 0 0x2000..0x4010, but it ends at 0x4000 (16 bytes missing)
;=     at core 0 vpu pc 1: vpu.sum dst=f32[0x0:0:4], a=f32[0x2000:0:4096], n0=1, n1=3, n2=4
;=     in entry `main`, cycle 144
