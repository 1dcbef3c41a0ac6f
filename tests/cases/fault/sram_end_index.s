; An index list that reaches behind the scratchpad.
;: set core.sram_kib 16
.entry main
    dma.gather queue=dma0, dst=[0x0], index=[0x3ff8], index_type=i64, count=2, table={0x1000}, row_stride=16, bytes=16, rows=2
    ctl.halt
;= fault out-of-bounds
;= program fault: out of bounds: operand `index` covers SRAM of core 0 0x3ff8..0x4008, but it ends at 0x4000 (8 bytes missing)
;=     at core 0 dma0 pc 0: dma.gather queue=dma0, index=[0x3ff8], index_type=i64, count=2, table={0x1000}, row_stride=16, bytes=16, rows=2
;=     in entry `main`, cycle 0
