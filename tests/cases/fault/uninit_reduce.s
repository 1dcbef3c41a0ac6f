; Sums a row too many.
.entry main
    vpu.fill dst=f32[0x0], value=1.0, n0=1, n1=1, n2=12
    vpu.sumsq dst=f32[0x100:0:4], a=f32[0x0:0:16], n0=1, n1=4, n2=4
    ctl.halt
;= fault uninitialised-read
;= program fault: read of uninitialised memory: operand `a` covers SRAM of core 0 0x0..0x40, and byte 0x30 was never written since the launch began
;=     0x0..0x30 of it was written by core 0 vpu pc 0: vpu.fill value=1.0, n0=1, n1=1, n2=12
;=     at core 0 vpu pc 1: vpu.sumsq dst=f32[0x100:0:4], a=f32[0x0:0:16], n0=1, n1=4, n2=4
;=     in entry `main`, cycle 17
;=     help: SRAM holds nothing at the start of a launch; is a load or a wait missing?
