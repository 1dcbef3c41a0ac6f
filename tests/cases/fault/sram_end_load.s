; A load whose last byte lies behind the scratchpad.
;: set core.sram_kib 16
;: ram 0x1000 f32 1 2 3 4
.entry main
    dma.load queue=dma0, dst=[0x3ff1], src={0x1000}, n0=1, n1=1, n2=1, bytes=16
    ctl.halt
;= fault out-of-bounds
;= program fault: out of bounds: operand `dst` covers SRAM of core 0 0x3ff1..0x4001, but it ends at 0x4000 (1 bytes missing)
;=     at core 0 dma0 pc 0: dma.load queue=dma0, dst=[0x3ff1], src={0x1000}, n0=1, n1=1, n2=1, bytes=16
;=     in entry `main`, cycle 0
