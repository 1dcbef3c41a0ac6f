; A result of attention behind the scratchpad.
;: set core.sram_kib 16
.entry main
    att.init state=[0x200], rows=2, heads=1, d=4
    att.fin dst=[0x3ff0], dst_s0=16, state=[0x200], rows=2, heads=1, d=4
    ctl.halt
;= fault out-of-bounds
;= program fault: out of bounds: operand `dst` covers SRAM of core 0 0x3ff0..0x4010, but it ends at 0x4000 (16 bytes missing)
;=     at core 0 att pc 1: att.fin dst=[0x3ff0], dst_s0=16, state=[0x200], rows=2, heads=1, d=4
;=     in entry `main`, cycle 17
