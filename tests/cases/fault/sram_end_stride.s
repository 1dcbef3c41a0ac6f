; The third block of a strided load leaves the scratchpad.
;: set core.sram_kib 16
;: ram 0x1000 f32 1 2 3 4
.entry main
    dma.load queue=dma0, dst=[0x0], dst_s2=0x1fff, src={0x1000}, n0=1, n1=1, n2=3, bytes=4
    ctl.halt
;= fault out-of-bounds
;= program fault: out of bounds: operand `dst` covers SRAM of core 0 0x0..0x4002, but it ends at 0x4000 (2 bytes missing)
;=     at core 0 dma0 pc 0: dma.load queue=dma0, dst_s2=8191, src={0x1000}, n0=1, n1=1, n2=3, bytes=4
;=     in entry `main`, cycle 0
