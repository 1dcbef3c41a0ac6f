; Two engines write neighbouring elements and one overwrites its own: no race.
;: show 0x2000 f32 4
.entry main
    vpu.fill dst=f32[0x4], value=2.0, n0=1, n1=1, n2=1
    sem.post queue=vpu, sem=1, n=1
    att.init state=[0x8], rows=1, heads=0, d=0
    sem.post queue=att, sem=2, n=1
    vpu.fill dst=f32[0x0], value=1.0, n0=1, n1=1, n2=1
    vpu.fill dst=f32[0x8], value=3.0, n0=1, n1=2, n2=1
    vpu.fill dst=f32[0xc], value=4.0, n0=1, n1=1, n2=1
    sem.post queue=vpu, sem=3, n=1
    sem.wait queue=dma1, sem=1, n=1
    sem.wait queue=dma1, sem=2, n=1
    sem.wait queue=dma1, sem=3, n=1
    dma.store queue=dma1, dst={0x2000}, src=[0x0], n0=1, n1=1, n2=1, bytes=16
    ctl.halt
;= cycles 223
;= 0x2000 f32 1 2 3 4
