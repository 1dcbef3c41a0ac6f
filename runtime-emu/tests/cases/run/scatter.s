; Rows of a table by index; of two equal indices the last wins.
;: ram 0x1000 i32 2 0 2 0
;: ram 0x1010 f32 1 2 3 4 5 6
;: ram 0x2000 f32 0 0 0 0 0 0 0 0
;: show 0x2000 f32 8
.entry main
    dma.load queue=dma0, dst=[0x0], src={0x1000}, n0=1, n1=1, n2=1, bytes=40
    sem.post queue=dma0, sem=0, n=1
    sem.wait queue=dma1, sem=0, n=1
    dma.scatter queue=dma1, src=[0x10], src_s0=8, index=[0x0], index_type=i32, count=3, table={0x2000}, row_stride=12, bytes=8, rows=3
    ctl.halt
;= cycles 310
;= 0x2000 f32 3 4 0 0 0 0 5 6
