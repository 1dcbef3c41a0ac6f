; Gathered rows that reach behind the scratchpad.
;: set core.sram_kib 16
;: ram 0x1000 i32 0 1 0 0 0 0 0 0
.entry main
    dma.load queue=dma0, dst=[0x0], src={0x1000}, n0=1, n1=1, n2=1, bytes=8
    dma.gather queue=dma0, dst=[0x3fe0], dst_s0=32, index=[0x0], index_type=i32, count=2, table={0x1000}, row_stride=16, bytes=16, rows=2
    ctl.halt
;= fault out-of-bounds
;= program fault: out of bounds: operand `dst` covers SRAM of core 0 0x3fe0..0x4010, but it ends at 0x4000 (16 bytes missing)
;=     at core 0 dma0 pc 1: dma.gather queue=dma0, dst=[0x3fe0], dst_s0=32, count=2, table={0x1000}, row_stride=16, bytes=16, rows=2
;=     in entry `main`, cycle 33
