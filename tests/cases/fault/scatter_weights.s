; Scatters into the weights.
;: weights 0x0 f32 1 2 3 4 5 6 7 8
;: ram 0x1000 i32 1 0 0 0 1 2 3 4
.entry main
    dma.load queue=dma1, dst=[0x0], src={0x1000}, n0=1, n1=1, n2=1, bytes=32
    dma.scatter queue=dma1, src=[0x10], index=[0x0], index_type=i32, count=1, table={0x0}, row_stride=8, bytes=8, rows=4
    ctl.halt
;= fault write-to-weights
;= program fault: write to the weights: operand `table` covers DRAM 0x8..0x10, which is read only
;=     at core 0 dma1 pc 1: dma.scatter queue=dma1, src=[0x10], count=1, row_stride=8, bytes=8, rows=4
;=     touching the weights, byte 0x8
;=     in entry `main`, cycle 33
