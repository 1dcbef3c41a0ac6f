; Sends what nobody wrote.
.entry main
    dma.push queue=dma1, dst=[0x100], src=[0x0], n0=1, n1=1, n2=1, bytes=64, scope=all
    ctl.halt
;= fault uninitialised-read
;= program fault: read of uninitialised memory: operand `src` covers SRAM of core 0 0x0..0x40, and byte 0x0 was never written since the launch began
;=     at core 0 dma1 pc 0: dma.push queue=dma1, dst=[0x100], n0=1, n1=1, n2=1, bytes=64, scope=all
;=     in entry `main`, cycle 0
;=     help: SRAM holds nothing at the start of a launch; is a load or a wait missing?
