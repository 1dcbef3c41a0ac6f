; A state of attention at an odd address.
.entry main
    att.init state=[0x202], rows=1, heads=1, d=4
    ctl.halt
;= fault misaligned
;= program fault: misaligned: operand `state` in SRAM of core 0: address 0x202 is no multiple of its element size 4
;=     at core 0 att pc 0: att.init state=[0x202], rows=1, heads=1, d=4
;=     in entry `main`, cycle 0
