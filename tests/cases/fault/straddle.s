; A load that begins in the weights and ends outside.
;: weights 0x0 f32 1..16
.entry main
    dma.load queue=dma0, dst=[0x0], src={0x20}, n0=1, n1=1, n2=1, bytes=64
    ctl.halt
;= fault straddles-weights
;= program fault: out of bounds: operand `src` covers DRAM 0x20..0x60, partly inside and partly outside the weights 0x0..0x40
;=     at core 0 dma0 pc 0: dma.load queue=dma0, src={0x20}, n0=1, n1=1, n2=1, bytes=64
;=     touching the weights, byte 0x20
;=     in entry `main`, cycle 0
