; Loads memory that neither host nor program has written.
;: ram 0x1000 f32 1 2 3
.entry main
    dma.load queue=dma0, dst=[0x0], src={0x1000}, n0=1, n1=1, n2=1, bytes=64
    ctl.halt
;= fault uninitialised-read
;= program fault: read of uninitialised memory: operand `src` covers DRAM 0x1000..0x1040, and byte 0x100c was never written
;=     at core 0 dma0 pc 0: dma.load queue=dma0, src={0x1000}, n0=1, n1=1, n2=1, bytes=64
;=     in entry `main`, cycle 0
;=     help: neither the host nor this or an earlier launch has written it; is a store or a wait missing?
