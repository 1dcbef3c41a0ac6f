; Both dma engines load to the same place.
;: ram 0x1000 f32 1 2 3 4
.entry main
    dma.load queue=dma0, dst=[0x0], src={0x1000}, n0=1, n1=1, n2=1, bytes=16
    dma.load queue=dma1, dst=[0xc], src={0x1000}, n0=1, n1=1, n2=1, bytes=8
    ctl.halt
;= fault race
;= program fault: race: write of SRAM of core 0 0xc..0x10 (4 bytes, operand `dst`) is not ordered with a write of the same bytes
;=     other core 0 dma0 pc 0: dma.load queue=dma0, src={0x1000}, n0=1, n1=1, n2=1, bytes=16
;=     at core 0 dma1 pc 1: dma.load queue=dma1, dst=[0xc], src={0x1000}, n0=1, n1=1, n2=1, bytes=8
;=     in entry `main`, cycle 1
;=     help: order them: a sem.post in the earlier queue and a sem.wait in the later one
