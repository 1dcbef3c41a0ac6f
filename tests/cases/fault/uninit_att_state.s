; Attention without `att.init`.
.entry main
    vpu.fill dst=f32[0x0], value=1.0, n0=1, n1=1, n2=16
    sem.post queue=vpu, sem=0, n=1
    sem.wait queue=att, sem=0, n=1
    att.step state=[0x200], q=[0x0], k=[0x10], k_s0=16, v=[0x20], v_s0=16, rows=1, heads=1, d=4, kv=1, scale=1.0
    ctl.halt
;= fault uninitialised-read
;= program fault: read of uninitialised memory: operand `state` covers SRAM of core 0 0x200..0x218, and byte 0x200 was never written since the launch began
;=     at core 0 att pc 3: att.step state=[0x200], k=[0x10], k_s0=16, v=[0x20], v_s0=16, rows=1, heads=1, d=4, kv=1, scale=1.0
;=     in entry `main`, cycle 18
;=     help: SRAM holds nothing at the start of a launch; is a load or a wait missing?
