; An attention state that does not fit the scratchpad.
;: set core.sram_kib 16
.entry main
    att.init state=[0x3fe0], rows=1, heads=2, d=4
    ctl.halt
;= fault out-of-bounds
;= program fault: out of bounds: operand `state` covers SRAM of core 0 0x3fe0..0x4010, but it ends at 0x4000 (16 bytes missing)
;=     at core 0 att pc 0: att.init state=[0x3fe0], rows=1, heads=2, d=4
;=     in entry `main`, cycle 0
