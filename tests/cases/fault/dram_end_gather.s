; The table is shorter than its rows say.
;: ram 0x1000 i32 3
.entry main
    dma.load queue=dma0, dst=[0x0], src={0x1000}, n0=1, n1=1, n2=1, bytes=4
    dma.gather queue=dma0, dst=[0x10], index=[0x0], index_type=i32, count=1, table={0x3ff0}, row_stride=16, bytes=16, rows=8
    ctl.halt
;= fault out-of-bounds
;= program fault: out of bounds: operand `table` covers DRAM 0x4020..0x4030, but it ends at 0x4000 (48 bytes missing)
;=     at core 0 dma0 pc 1: dma.gather queue=dma0, dst=[0x10], count=1, table={0x3ff0}, row_stride=16, bytes=16, rows=8
;=     in entry `main`, cycle 33
