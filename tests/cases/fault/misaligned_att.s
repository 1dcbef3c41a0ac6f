; Queries at an odd address.
.entry main
    vpu.fill dst=f32[0x0], value=1.0, n0=1, n1=1, n2=64
    sem.post queue=vpu, sem=0, n=1
    sem.wait queue=att, sem=0, n=1
    att.init state=[0x200], rows=1, heads=1, d=4
    att.step state=[0x200], q=[0x1], k=[0x10], k_s0=16, v=[0x10], v_s0=16, rows=1, heads=1, d=4, kv=1, scale=1.0
    ctl.halt
;= fault misaligned
;= program fault: misaligned: operand `q` in SRAM of core 0: address 0x1 is no multiple of its element size 4
;=     at core 0 att pc 4: att.step state=[0x200], q=[0x1], k=[0x10], k_s0=16, v=[0x10], v_s0=16, rows=1, heads=1, d=4, kv=1, scale=1.0
;=     in entry `main`, cycle 36
