; Keys are overwritten while attention may still read them.
;: ram 0x1000 f32 1 2 3 4
.entry main
    vpu.fill dst=f32[0x0], value=1.0, n0=1, n1=1, n2=16
    sem.post queue=vpu, sem=0, n=1
    sem.wait queue=att, sem=0, n=1
    sem.post queue=vpu, sem=1, n=1
    sem.wait queue=dma0, sem=1, n=1
    att.init state=[0x200], rows=1, heads=1, d=4
    att.step state=[0x200], q=[0x0], k=[0x10], k_s0=16, v=[0x20], v_s0=16, rows=1, heads=1, d=4, kv=1, scale=1.0
    dma.load queue=dma0, dst=[0x10], src={0x1000}, n0=1, n1=1, n2=1, bytes=16
    ctl.halt
;= fault race
;= program fault: race: read of SRAM of core 0 0x10..0x20 (16 bytes, operand `k`) is not ordered with a write of the same bytes
;=     other core 0 dma0 pc 7: dma.load queue=dma0, dst=[0x10], src={0x1000}, n0=1, n1=1, n2=1, bytes=16
;=     at core 0 att pc 6: att.step state=[0x200], k=[0x10], k_s0=16, v=[0x20], v_s0=16, rows=1, heads=1, d=4, kv=1, scale=1.0
;=     in entry `main`, cycle 35
;=     help: order them: a sem.post in the earlier queue and a sem.wait in the later one
