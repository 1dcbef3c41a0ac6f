; A load overwrites what a product may still read (write after read).
;: ram 0x1000 f32 1 2 3 4
.entry main
    vpu.fill dst=f32[0x0], value=1.0, n0=1, n1=1, n2=64
    sem.post queue=vpu, sem=0, n=1
    sem.wait queue=mxu, sem=0, n=1
    mxu.mm dst=[0x200], a=[0x0], b=[0x40], m=1, n=16, k=1
    sem.post queue=vpu, sem=3, n=1
    sem.wait queue=dma0, sem=3, n=1
    dma.load queue=dma0, dst=[0x40], src={0x1000}, n0=1, n1=1, n2=1, bytes=16
    ctl.halt
;= fault race
;= program fault: race: write of SRAM of core 0 0x40..0x50 (16 bytes, operand `dst`) is not ordered with a read of the same bytes
;=     other core 0 mxu pc 3: mxu.mm dst=[0x200], b=[0x40], m=1, n=16, k=1
;=     at core 0 dma0 pc 6: dma.load queue=dma0, dst=[0x40], src={0x1000}, n0=1, n1=1, n2=1, bytes=16
;=     in entry `main`, cycle 20
;=     help: order them: a sem.post in the earlier queue and a sem.wait in the later one
