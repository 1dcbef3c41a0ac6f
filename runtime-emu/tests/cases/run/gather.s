; Rows of a table in the weights and of one in memory, by 64-bit and 32-bit indices.
;: weights 0x0 f32 1..16
;: ram 0x1000 i64 3 0 1
;: ram 0x1020 i32 1 0
;: ram 0x1040 f32 100 101 102 103
;: show 0x2000 f32 10
.entry main
    dma.load queue=dma0, dst=[0x0], src={0x1000}, n0=1, n1=1, n2=1, bytes=24
    dma.load queue=dma0, dst=[0x20], src={0x1020}, n0=1, n1=1, n2=1, bytes=8
    sem.post queue=dma0, sem=0, n=1
    sem.wait queue=dma1, sem=0, n=1
    dma.gather queue=dma1, dst=[0x100], dst_s0=8, index=[0x0], index_type=i64, count=3, table={0x0}, row_stride=16, bytes=8, rows=4
    dma.gather queue=dma1, dst=[0x118], dst_s0=8, index=[0x20], index_type=i32, count=2, table={0x1040}, row_stride=8, bytes=8, rows=2
    dma.store queue=dma1, dst={0x2000}, src=[0x100], n0=1, n1=1, n2=1, bytes=40
    ctl.halt
;= cycles 411
;= 0x2000 f32 13 14 1 2 5 6 102 103 100 101
