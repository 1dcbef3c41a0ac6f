; Nested loops with run-time counts; the body of the third never runs.
;: launch 3 4 0
;: show 0x2000 f32 2
.entry main
    ctl.launch rd=r1
    ctl.launch rd=r2, index=1
    ctl.launch rd=r3, index=2
    vpu.fill dst=f32[0x0], n0=1, n1=1, n2=2
    vpu.fill dst=f32[0x10], value=1.0, n0=1, n1=1, n2=1
    ctl.loop count=r1 {
        ctl.loop count=r2 {
            vpu.add dst=f32[0x0], a=f32[0x0], b=f32[0x10], n0=1, n1=1, n2=1
        }
        ctl.loop count=r3 {
            vpu.add dst=f32[0x4], a=f32[0x4], b=f32[0x10], n0=1, n1=1, n2=1
        }
    }
    sem.post queue=vpu, sem=0, n=1
    sem.wait queue=dma1, sem=0, n=1
    dma.store queue=dma1, dst={0x2000}, src=[0x0], n0=1, n1=1, n2=1, bytes=8
    ctl.halt
;= cycles 395
;= 0x2000 f32 12 0
