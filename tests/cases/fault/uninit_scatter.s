; Scatters rows that nobody wrote.
;: ram 0x1000 i32 1
.entry main
    dma.load queue=dma1, dst=[0x0], src={0x1000}, n0=1, n1=1, n2=1, bytes=4
    dma.scatter queue=dma1, src=[0x10], index=[0x0], index_type=i32, count=1, table={0x2000}, row_stride=16, bytes=16, rows=8
    ctl.halt
;= fault uninitialised-read
;= program fault: read of uninitialised memory: operand `src` covers SRAM of core 0 0x10..0x20, and byte 0x10 was never written since the launch began
;=     at core 0 dma1 pc 1: dma.scatter queue=dma1, src=[0x10], count=1, table={0x2000}, row_stride=16, bytes=16, rows=8
;=     in entry `main`, cycle 33
;=     help: SRAM holds nothing at the start of a launch; is a load or a wait missing?
