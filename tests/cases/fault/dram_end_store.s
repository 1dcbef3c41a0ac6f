; A store behind the end of DRAM.
.entry main
    vpu.fill dst=f32[0x0], value=1.0, n0=1, n1=1, n2=16
    sem.post queue=vpu, sem=0, n=1
    sem.wait queue=dma1, sem=0, n=1
    dma.store queue=dma1, dst={0x3ffc}, src=[0x0], n0=1, n1=1, n2=1, bytes=8
    ctl.halt
;= fault out-of-bounds
;= program fault: out of bounds: operand `dst` covers DRAM 0x3ffc..0x4004, but it ends at 0x4000 (4 bytes missing)
;=     at core 0 dma1 pc 3: dma.store queue=dma1, dst={0x3ffc}, n0=1, n1=1, n2=1, bytes=8
;=     in entry `main`, cycle 18
