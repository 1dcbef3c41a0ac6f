; Tokens are taken in order of arrival: two waiters of one semaphore, the one that asked first gets the first token.
;: show 0x2000 f32 2
.entry main
    sem.wait queue=att, sem=0, n=1
    att.init state=[0x0], rows=1, heads=1, d=1
    sem.post queue=att, sem=1, n=1
    ctl.li rd=r1
    ctl.li rd=r1
    sem.wait queue=mxu, sem=0, n=1
    sem.post queue=mxu, sem=1, n=1
    vpu.fill dst=f32[0x0], value=1.0, n0=1, n1=1, n2=3
    sem.post queue=vpu, sem=0, n=2
    sem.wait queue=vpu, sem=1, n=2
    vpu.fill dst=f32[0x0], value=5.0, n0=1, n1=1, n2=2
    sem.post queue=vpu, sem=2, n=1
    sem.wait queue=dma1, sem=2, n=1
    dma.store queue=dma1, dst={0x2000}, src=[0x0], n0=1, n1=1, n2=1, bytes=8
    ctl.halt
;= cycles 214
;= 0x2000 f32 5 5
