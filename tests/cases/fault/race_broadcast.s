; Every core pushes its part to all, and all parts are at the same place.
;: cores 2x1
.entry main
    vpu.fill dst=f32[0x0], value=1.0, n0=1, n1=1, n2=16
    sem.post queue=vpu, sem=0, n=1
    sem.wait queue=dma1, sem=0, n=1
    dma.push queue=dma1, dst=[0x100], src=[0x0], n0=1, n1=1, n2=1, bytes=64, scope=all
    ctl.halt
;= fault race
;= program fault: race: write of SRAM of core 0 0x100..0x140 (64 bytes, operand `dst`) is not ordered with a write of the same bytes
;=     other core 0 dma1 pc 3: dma.push queue=dma1, dst=[0x100], n0=1, n1=1, n2=1, bytes=64, scope=all
;=     at core 1 dma1 pc 3: dma.push queue=dma1, dst=[0x100], n0=1, n1=1, n2=1, bytes=64, scope=all
;=     in entry `main`, cycle 18
;=     help: order them: a sem.post in the earlier queue and a sem.wait in the later one
