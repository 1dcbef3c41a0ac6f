; What attention rounds by reaches behind the scratchpad.
;: set core.sram_kib 16
.entry main
    vpu.fill dst=f32[0x0], value=1.0, n0=1, n1=1, n2=16
    sem.post queue=vpu, sem=0, n=1
    sem.wait queue=att, sem=0, n=1
    att.init state=[0x200], rows=1, heads=1, d=4
    att.round state=[0x200], q=[0x0], k=[0x0], k_s0=16, by=[0x3fe0], rows=1, heads=1, d=4, kv=2, q_pos=3
    ctl.halt
;= fault out-of-bounds
;= program fault: out of bounds: operand `by` covers SRAM of core 0 0x3fe0..0x4008, but it ends at 0x4000 (8 bytes missing)
;=     at core 0 att pc 4: att.round state=[0x200], k_s0=16, rows=1, heads=1, d=4, kv=2, q_pos=3, by=[0x3fe0]
;=     in entry `main`, cycle 35
