; Reads one element more than was written.
.entry main
    vpu.fill dst=f32[0x0], n0=1, n1=1, n2=15
    vpu.neg dst=f32[0x40], a=f32[0x0], scale=1.0, n0=1, n1=1, n2=16
    ctl.halt
;= fault uninitialised-read
;= program fault: read of uninitialised memory: operand `a` covers SRAM of core 0 0x0..0x40, and byte 0x3c was never written since the launch began
;=     0x0..0x3c of it was written by core 0 vpu pc 0: vpu.fill n0=1, n1=1, n2=15
;=     at core 0 vpu pc 1: vpu.neg dst=f32[0x40], scale=1.0, n0=1, n1=1, n2=16
;=     in entry `main`, cycle 17
;=     help: SRAM holds nothing at the start of a launch; is a load or a wait missing?
