; A store into the weights.
;: weights 0x2000 f32 1..32
;: dram 0x4000
.entry main
    vpu.fill dst=f32[0x0], n0=1, n1=1, n2=16
    sem.post queue=vpu, sem=0, n=1
    sem.wait queue=dma1, sem=0, n=1
    dma.store queue=dma1, dst={0x2000}, src=[0x0], n0=1, n1=1, n2=1, bytes=64
    ctl.halt
;= fault write-to-weights
;= program fault: write to the weights: operand `dst` covers DRAM 0x2000..0x2040, which is read only
;=     at core 0 dma1 pc 3: dma.store queue=dma1, dst={0x2000}, n0=1, n1=1, n2=1, bytes=64
;=     touching the weights, byte 0x0
;=     in entry `main`, cycle 18
