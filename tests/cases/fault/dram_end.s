; A load past the end of the program's DRAM.
.entry main
    dma.load queue=dma0, dst=[0x0], src={0x3fe0}, n0=1, n1=1, n2=1, bytes=64
    ctl.halt
;= fault out-of-bounds
;= program fault: out of bounds: operand `src` covers DRAM 0x3fe0..0x4020, but it ends at 0x4000 (32 bytes missing)
;=     at core 0 dma0 pc 0: dma.load queue=dma0, src={0x3fe0}, n0=1, n1=1, n2=1, bytes=64
;=     in entry `main`, cycle 0
