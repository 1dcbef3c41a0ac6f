; Adds what nobody wrote.
.entry main
    vpu.fill dst=f32[0x0], value=1.0, n0=1, n1=1, n2=4
    vpu.mul dst=f32[0x100], a=f32[0x0], b=f32[0x10], n0=1, n1=1, n2=4
    ctl.halt
;= fault uninitialised-read
;= program fault: read of uninitialised memory: operand `b` covers SRAM of core 0 0x10..0x20, and byte 0x10 was never written since the launch began
;=     at core 0 vpu pc 1: vpu.mul dst=f32[0x100], b=f32[0x10], n0=1, n1=1, n2=4
;=     in entry `main`, cycle 17
;=     help: SRAM holds nothing at the start of a launch; is a load or a wait missing?
