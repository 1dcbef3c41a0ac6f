; A store that begins before the weights and ends inside.
;: weights 0x1000 f32 1 2 3 4
.entry main
    vpu.fill dst=f32[0x0], value=1.0, n0=1, n1=1, n2=16
    sem.post queue=vpu, sem=0, n=1
    sem.wait queue=dma1, sem=0, n=1
    dma.store queue=dma1, dst={0xff8}, src=[0x0], n0=1, n1=1, n2=1, bytes=16
    ctl.halt
;= fault straddles-weights
;= program fault: out of bounds: operand `dst` covers DRAM 0xff8..0x1008, partly inside and partly outside the weights 0x1000..0x1010
;=     at core 0 dma1 pc 3: dma.store queue=dma1, dst={0xff8}, n0=1, n1=1, n2=1, bytes=16
;=     in entry `main`, cycle 18
