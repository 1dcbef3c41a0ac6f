; Four strided dimensions: a 2x2x2 block of 8-byte pieces is transposed on the way.
;: ram 0x1000 f32 1..16
;: show 0x2000 f32 16
.entry main
    dma.load queue=dma0, dst=[0x40], dst_s0=8, dst_s1=16, dst_s2=32, src={0x1000}, src_s0=32, src_s1=16, src_s2=8, n0=2, n1=2, n2=2, bytes=8
    sem.post queue=dma0, sem=0, n=1
    sem.wait queue=dma1, sem=0, n=1
    dma.store queue=dma1, dst={0x2000}, dst_s0=0, dst_s1=32, dst_s2=16, src=[0x40], src_s0=0, src_s1=32, src_s2=16, n0=1, n1=2, n2=2, bytes=16
    ctl.halt
;= cycles 314
;= 0x2000 f32 1 2 9 10 5 6 13 14 3 4 11 12 7 8 15 16
