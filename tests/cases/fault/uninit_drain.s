; Drains a result that does not exist.
.entry main
    mxu.drain dst=[0x100], src=[0x0], m=1, n=16, act=relu
    ctl.halt
;= fault uninitialised-read
;= program fault: read of uninitialised memory: operand `src` covers SRAM of core 0 0x0..0x40, and byte 0x0 was never written since the launch began
;=     at core 0 mxu pc 0: mxu.drain dst=[0x100], m=1, n=16, act=relu
;=     in entry `main`, cycle 0
;=     help: SRAM holds nothing at the start of a launch; is a load or a wait missing?
