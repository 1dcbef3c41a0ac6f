; A push to an address that no core has.
;: set core.sram_kib 16
;: cores 2x1
.entry main
    vpu.fill dst=f32[0x0], n0=1, n1=1, n2=16
    sem.post queue=vpu, n=1
    sem.wait queue=dma1, n=1
    dma.push queue=dma1, dst=[0x4000], src=[0x0], n0=1, n1=1, n2=1, bytes=64, scope=all
    ctl.halt
;= fault out-of-bounds
;= program fault: out of bounds: operand `dst` covers SRAM of core 0 0x4000..0x4040, but it ends at 0x4000 (64 bytes missing)
;=     at core 0 dma1 pc 3: dma.push queue=dma1, dst=[0x4000], n0=1, n1=1, n2=1, bytes=64, scope=all
;=     in entry `main`, cycle 18
