; A token that is not in the vocabulary.
;: weights 0x0 f32 1..16
;: ram 0x1000 i32 1 4
.entry main
    dma.load queue=dma1, dst=[0x0], src={0x1000}, n0=1, n1=1, n2=1, bytes=8
    dma.gather queue=dma1, dst=[0x100], dst_s0=16, index=[0x0], index_type=i32, count=2, table={0x0}, row_stride=16, bytes=16, rows=4
    ctl.halt
;= fault index-range
;= program fault: index out of range: element 1 of the index list is 4, and the table has 4 rows
;=     at core 0 dma1 pc 1: dma.gather queue=dma1, dst=[0x100], dst_s0=16, count=2, row_stride=16, bytes=16, rows=4
;=     in entry `main`, cycle 33
