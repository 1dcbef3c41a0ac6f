; Finishes what was never begun.
.entry main
    att.fin dst=[0x100], state=[0x200], rows=1, heads=1, d=4
    ctl.halt
;= fault uninitialised-read
;= program fault: read of uninitialised memory: operand `state` covers SRAM of core 0 0x200..0x218, and byte 0x200 was never written since the launch began
;=     at core 0 att pc 0: att.fin dst=[0x100], state=[0x200], rows=1, heads=1, d=4
;=     in entry `main`, cycle 0
;=     help: SRAM holds nothing at the start of a launch; is a load or a wait missing?
