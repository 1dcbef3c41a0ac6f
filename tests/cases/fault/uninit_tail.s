; A load fills half of what is read: the fault names the load.
;: ram 0x1000 f32 1..8
.entry main
    dma.load queue=dma0, dst=[0x100], src={0x1000}, n0=1, n1=1, n2=1, bytes=32
    sem.post queue=dma0, sem=0, n=1
    sem.wait queue=vpu, sem=0, n=1
    vpu.abs dst=f32[0x200], a=f32[0x100], scale=1.0, n0=1, n1=1, n2=16
    ctl.halt
;= fault uninitialised-read
;= program fault: read of uninitialised memory: operand `a` covers SRAM of core 0 0x100..0x140, and byte 0x120 was never written since the launch began
;=     0x100..0x120 of it was written by core 0 dma0 pc 0: dma.load queue=dma0, dst=[0x100], src={0x1000}, n0=1, n1=1, n2=1, bytes=32
;=     at core 0 vpu pc 3: vpu.abs dst=f32[0x200], a=f32[0x100], scale=1.0, n0=1, n1=1, n2=16
;=     in entry `main`, cycle 154
;=     help: SRAM holds nothing at the start of a launch; is a load or a wait missing?
