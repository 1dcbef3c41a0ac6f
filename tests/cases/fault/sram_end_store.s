; A store that reads behind the scratchpad.
;: set core.sram_kib 16
.entry main
    vpu.fill dst=f32[0x0], value=1.0, n0=1, n1=1, n2=4096
    sem.post queue=vpu, sem=0, n=1
    sem.wait queue=dma1, sem=0, n=1
    dma.store queue=dma1, dst={0x1000}, src=[0x3ff8], n0=1, n1=1, n2=1, bytes=16
    ctl.halt
;= fault out-of-bounds
;= program fault: out of bounds: operand `src` covers SRAM of core 0 0x3ff8..0x4008, but it ends at 0x4000 (8 bytes missing)
;=     at core 0 dma1 pc 3: dma.store queue=dma1, dst={0x1000}, src=[0x3ff8], n0=1, n1=1, n2=1, bytes=16
;=     in entry `main`, cycle 145
