; Two cores push to the same place of core 0, and nothing orders them.
;: cores 2x1
.entry main
    vpu.fill dst=f32[0x0], n0=1, n1=1, n2=16
    sem.post queue=vpu, sem=0, n=1
    sem.wait queue=dma1, sem=0, n=1
    dma.push queue=dma1, dst=[0x40], src=[0x0], n0=1, n1=1, n2=1, bytes=64, scope=core
    ctl.halt
;= fault race
;= program fault: race: write of SRAM of core 0 0x40..0x80 (64 bytes, operand `dst`) is not ordered with a write of the same bytes
;=     other core 0 dma1 pc 3: dma.push queue=dma1, dst=[0x40], n0=1, n1=1, n2=1, bytes=64, scope=core
;=     at core 1 dma1 pc 3: dma.push queue=dma1, dst=[0x40], n0=1, n1=1, n2=1, bytes=64, scope=core
;=     in entry `main`, cycle 18
;=     help: order them: a sem.post in the earlier queue and a sem.wait in the later one
