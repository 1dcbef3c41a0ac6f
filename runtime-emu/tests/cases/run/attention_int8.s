; One row, two heads with sinks, four keys of i8 with their scales in line; the first key is padding.
;: ram 0x1000 f32 1 0 0 0 0 1 0 0
;: ram 0x1020 f32 0.5 -1 0 0
;: ram 0x1030 f32 127 0 0 0 100 50 0 0 0 100 0 0 20 20 20 20
;: show 0x2000 f32 8
;: show 0x2020 f32 8
.entry main
    dma.load queue=dma0, dst=[0x0], src={0x1000}, n0=1, n1=1, n2=1, bytes=112
    sem.post queue=dma0, sem=0, n=1
    sem.wait queue=vpu, sem=0, n=1
    vpu.copy dst=i8[0x80:0:8], a=f32[0x30:0:16], scale=1.0, n0=1, n1=4, n2=4
    vpu.fill dst=f32[0x84:0:8], value=0.03125, n0=1, n1=4, n2=1
    vpu.copy dst=i4[0xc0:0:8], a=f32[0x30:0:16], scale=0.0625, n0=1, n1=4, n2=4
    vpu.fill dst=f32[0xc4:0:8], value=0.5, n0=1, n1=4, n2=1
    vpu.fill dst=i8[0xc2:0:8], value=0.0, n0=1, n1=4, n2=2
    sem.post queue=vpu, sem=1, n=1
    sem.wait queue=att, sem=1, n=1
    att.init state=[0x200], rows=1, heads=2, d=4, sink=[0x20], sinks=true
    att.step state=[0x200], q=[0x0], q_s1=16, k=[0x80], k_s0=8, v=[0x80], v_s0=8, rows=1, heads=2, d=4, kv=4, q_pos=3, scale=1.0, causal=true, kv_type=i8, kv_first=1
    att.fin dst=[0x300], dst_s1=16, state=[0x200], rows=1, heads=2, d=4
    att.init state=[0x200], rows=1, heads=2, d=4
    att.step state=[0x200], q=[0x0], q_s1=16, k=[0xc0], k_s0=8, v=[0xc0], v_s0=8, rows=1, heads=2, d=4, kv=4, q_pos=3, scale=1.0, kv_type=i4
    att.fin dst=[0x320], dst_s1=16, state=[0x200], rows=1, heads=2, d=4
    sem.post queue=att, sem=2, n=1
    sem.wait queue=dma1, sem=2, n=1
    dma.store queue=dma1, dst={0x2000}, src=[0x300], n0=1, n1=1, n2=1, bytes=64
    ctl.halt
;= cycles 499
;= 0x2000 f32 2.6503167 1.461128 0.04280748 0.04280748 0.54007214 2.679049 0.039226774 0.039226774
;= 0x2020 f32 3.1689522 0.6079291 0.014760339 0.014760339 0.652905 2.4913154 0.030289616 0.030289616
