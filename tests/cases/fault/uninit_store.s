; Stores more than was written: the last four bytes are missing.
.entry main
    vpu.fill dst=f32[0x0], value=1.0, n0=1, n1=1, n2=4
    sem.post queue=vpu, sem=0, n=1
    sem.wait queue=dma1, sem=0, n=1
    dma.store queue=dma1, dst={0x1000}, src=[0x0], n0=1, n1=1, n2=1, bytes=20
    ctl.halt
;= fault uninitialised-read
;= program fault: read of uninitialised memory: operand `src` covers SRAM of core 0 0x0..0x14, and byte 0x10 was never written since the launch began
;=     0x0..0x10 of it was written by core 0 vpu pc 0: vpu.fill value=1.0, n0=1, n1=1, n2=4
;=     at core 0 dma1 pc 3: dma.store queue=dma1, dst={0x1000}, n0=1, n1=1, n2=1, bytes=20
;=     in entry `main`, cycle 18
;=     help: SRAM holds nothing at the start of a launch; is a load or a wait missing?
