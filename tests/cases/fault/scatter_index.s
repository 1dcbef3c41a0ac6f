; Scatters to a row that the table does not have.
;: ram 0x1000 i32 3 4 0 0 1 2 3 4
.entry main
    dma.load queue=dma1, dst=[0x0], src={0x1000}, n0=1, n1=1, n2=1, bytes=32
    dma.scatter queue=dma1, src=[0x10], index=[0x0], index_type=i32, count=2, table={0x2000}, row_stride=8, bytes=8, rows=4
    ctl.halt
;= fault index-range
;= program fault: index out of range: element 1 of the index list is 4, and the table has 4 rows
;=     at core 0 dma1 pc 1: dma.scatter queue=dma1, src=[0x10], count=2, table={0x2000}, row_stride=8, bytes=8, rows=4
;=     in entry `main`, cycle 33
