; Strides that would wrap around the address space.
.entry main
    dma.load queue=dma0, dst=[0x0], dst_s0=4294967295, src={0xffffffffffff}, src_s0=4294967295, n0=67108863, n1=1, n2=1, bytes=67108863
    ctl.halt
;= fault out-of-bounds
;= program fault: out of bounds: operand `src` covers DRAM 0xffffffffffff..0x400fffe00000000, but it ends at 0x4000 (288511842538471424 bytes missing)
;=     at core 0 dma0 pc 0: dma.load queue=dma0, dst_s0=4294967295, src={0xffffffffffff}, src_s0=4294967295, n0=67108863, n1=1, n2=1, bytes=67108863
;=     in entry `main`, cycle 0
