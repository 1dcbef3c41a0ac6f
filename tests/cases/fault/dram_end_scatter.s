; Rows scattered behind the end of DRAM.
;: ram 0x1000 i32 1 0 0 0
.entry main
    dma.load queue=dma1, dst=[0x0], src={0x1000}, n0=1, n1=1, n2=1, bytes=16
    dma.scatter queue=dma1, src=[0x0], index=[0x0], index_type=i32, count=1, table={0x3ff0}, row_stride=16, bytes=16, rows=8
    ctl.halt
;= fault out-of-bounds
;= program fault: out of bounds: operand `table` covers DRAM 0x4000..0x4010, but it ends at 0x4000 (16 bytes missing)
;=     at core 0 dma1 pc 1: dma.scatter queue=dma1, count=1, table={0x3ff0}, row_stride=16, bytes=16, rows=8
;=     in entry `main`, cycle 33
