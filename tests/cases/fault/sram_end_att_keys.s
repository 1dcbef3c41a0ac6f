; Keys that reach behind the scratchpad.
;: set core.sram_kib 16
.entry main
    vpu.fill dst=f32[0x0], value=1.0, n0=1, n1=1, n2=16
    sem.post queue=vpu, sem=0, n=1
    sem.wait queue=att, sem=0, n=1
    att.init state=[0x200], rows=1, heads=1, d=4
    att.step state=[0x200], q=[0x0], k=[0x3ff0], k_s0=16, v=[0x0], v_s0=16, rows=1, heads=1, d=4, kv=2, q_pos=3, scale=1.0
    ctl.halt
;= fault out-of-bounds
;= program fault: out of bounds: operand `k` covers SRAM of core 0 0x3ff0..0x4010, but it ends at 0x4000 (16 bytes missing)
;=     at core 0 att pc 4: att.step state=[0x200], k=[0x3ff0], k_s0=16, v_s0=16, rows=1, heads=1, d=4, kv=2, q_pos=3, scale=1.0
;=     in entry `main`, cycle 35
