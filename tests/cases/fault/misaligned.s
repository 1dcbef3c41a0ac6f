; An f32 operand at an odd address.
.entry main
    vpu.fill dst=f32[0x2], n0=1, n1=1, n2=1
    ctl.halt
;= fault misaligned
;= program fault: misaligned: operand `dst` in SRAM of core 0: address 0x2 is no multiple of its element size 4
;=     at core 0 vpu pc 0: vpu.fill dst=f32[0x2], n0=1, n1=1, n2=1
;=     in entry `main`, cycle 0
