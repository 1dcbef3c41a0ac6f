; A bf16 result at an odd address.
.entry main
    vpu.fill dst=f32[0x0], value=1.0, n0=1, n1=1, n2=16
    vpu.copy dst=bf16[0x101], a=f32[0x0], scale=1.0, n0=1, n1=1, n2=4
    ctl.halt
;= fault misaligned
;= program fault: misaligned: operand `dst` in SRAM of core 0: address 0x101 is no multiple of its element size 2
;=     at core 0 vpu pc 1: vpu.copy dst=bf16[0x101], scale=1.0, n0=1, n1=1, n2=4
;=     in entry `main`, cycle 17
