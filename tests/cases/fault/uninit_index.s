; Gathers by an index list that nobody wrote.
.entry main
    dma.gather queue=dma0, dst=[0x100], index=[0x0], index_type=i32, count=2, table={0x1000}, row_stride=16, bytes=16, rows=2
    ctl.halt
;= fault uninitialised-read
;= program fault: read of uninitialised memory: operand `index` covers SRAM of core 0 0x0..0x8, and byte 0x0 was never written since the launch began
;=     at core 0 dma0 pc 0: dma.gather queue=dma0, dst=[0x100], count=2, table={0x1000}, row_stride=16, bytes=16, rows=2
;=     in entry `main`, cycle 0
;=     help: SRAM holds nothing at the start of a launch; is a load or a wait missing?
