; Two query rows, two heads, d = 4, three keys in two blocks, causal. Scores are rounded to multiples of 0.25 from -1 to 0.75, weights to multiples of 1/8.
;: ram 0x1000 f32 1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1
;: ram 0x1040 f32 1 2 3 4 4 3 2 1 0.6 1 1 1
;: ram 0x1070 f32 1 0 0 0 0 1 0 0 0 0 1 0
;: ram 0x10a0 f32 0.5 0 0.25 4 0 7 0.125 0 0 8
;: show 0x2000 f32 16
.entry main
    dma.load queue=dma0, dst=[0x0], src={0x1000}, n0=1, n1=1, n2=1, bytes=200
    sem.post queue=dma0, sem=0, n=1
    sem.wait queue=att, sem=0, n=1
    att.init state=[0x200], rows=2, heads=2, d=4
    att.round state=[0x200], q=[0x0], q_s0=32, q_s1=16, k=[0x40], k_s0=16, rows=2, heads=2, d=4, kv=2, q_pos=1, by=[0xa0], causal=true
    att.round state=[0x200], q=[0x0], q_s0=32, q_s1=16, k=[0x60], k_s0=16, rows=2, heads=2, d=4, kv=1, q_pos=1, kv_pos=2, by=[0xa0], causal=true
    att.round state=[0x200], q=[0x0], q_s0=32, q_s1=16, k=[0x40], k_s0=16, v=[0x70], v_s0=16, rows=2, heads=2, d=4, kv=2, q_pos=1, by=[0xa0], causal=true, weigh=true
    att.round state=[0x200], q=[0x0], q_s0=32, q_s1=16, k=[0x60], k_s0=16, v=[0x90], v_s0=16, rows=2, heads=2, d=4, kv=1, q_pos=1, kv_pos=2, by=[0xa0], causal=true, weigh=true
    att.fin dst=[0x300], dst_s0=32, dst_s1=16, state=[0x200], rows=2, heads=2, d=4, weighed=true
    sem.post queue=att, sem=1, n=1
    sem.wait queue=dma1, sem=1, n=1
    dma.store queue=dma1, dst={0x2000}, src=[0x300], n0=1, n1=1, n2=1, bytes=64
    ctl.halt
;= cycles 417
;= 0x2000 f32 0.5 0.5 0 0 0.5 0.5 0 0 0.375 0.375 0.25 0 0.375 0.25 0.25 0
