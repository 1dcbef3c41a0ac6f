; A window of one key, scores capped, bf16 keys and values; the last row sees nothing of this block and gives 0.
;: ram 0x1000 f32 1 2 3 4 5 6
;: ram 0x1020 bf16 1 2 3 4
;: ram 0x1030 bf16 10 20 30 40
;: show 0x2000 f32 6
.entry main
    dma.load queue=dma0, dst=[0x0], src={0x1000}, n0=1, n1=1, n2=1, bytes=24
    dma.load queue=dma0, dst=[0x20], src={0x1020}, n0=1, n1=1, n2=1, bytes=8
    dma.load queue=dma0, dst=[0x30], src={0x1030}, n0=1, n1=1, n2=1, bytes=8
    sem.post queue=dma0, sem=0, n=1
    sem.wait queue=att, sem=0, n=1
    att.init state=[0x200], rows=3, heads=1, d=2
    att.step state=[0x200], q=[0x0], q_s0=8, k=[0x20], k_s0=4, v=[0x30], v_s0=4, rows=3, heads=1, d=2, kv=2, scale=1.0, causal=true, window=1, softcap=2.0, kv_type=bf16
    att.fin dst=[0x300], dst_s0=8, state=[0x200], rows=3, heads=1, d=2
    sem.post queue=att, sem=1, n=1
    sem.wait queue=dma1, sem=1, n=1
    dma.store queue=dma1, dst={0x2000}, src=[0x300], n0=1, n1=1, n2=1, bytes=24
    ctl.halt
;= cycles 426
;= 0x2000 f32 10 20 30 40 0 0
