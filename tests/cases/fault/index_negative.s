; A negative index.
;: weights 0x0 f32 1..16
;: ram 0x1000 i64 -1
.entry main
    dma.load queue=dma1, dst=[0x0], src={0x1000}, n0=1, n1=1, n2=1, bytes=8
    dma.gather queue=dma1, dst=[0x100], dst_s0=16, index=[0x0], index_type=i64, count=1, table={0x0}, row_stride=16, bytes=16, rows=4
    ctl.halt
;= fault index-range
;= program fault: index out of range: element 0 of the index list is -1, and the table has 4 rows
;=     at core 0 dma1 pc 1: dma.gather queue=dma1, dst=[0x100], dst_s0=16, index_type=i64, count=1, row_stride=16, bytes=16, rows=4
;=     in entry `main`, cycle 33
