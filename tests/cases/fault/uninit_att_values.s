; Values of attention that nobody wrote; the fault names its source.
;: origin 4 att step v=page kv[0] | %19 attention | node_MatMul_268, node_Softmax_270
.entry main
    vpu.fill dst=f32[0x0], value=1.0, n0=1, n1=1, n2=8
    sem.post queue=vpu, sem=0, n=1
    sem.wait queue=att, sem=0, n=1
    att.init state=[0x200], rows=1, heads=1, d=4
    att.step state=[0x200], q=[0x0], k=[0x10], k_s0=16, v=[0x20], v_s0=16, rows=1, heads=1, d=4, kv=1, scale=1.0
    ctl.halt
;= fault uninitialised-read
;= program fault: read of uninitialised memory: operand `v` covers SRAM of core 0 0x20..0x30, and byte 0x20 was never written since the launch began
;=     at core 0 att pc 4: att.step state=[0x200], k=[0x10], k_s0=16, v=[0x20], v_s0=16, rows=1, heads=1, d=4, kv=1, scale=1.0
;=         from tile op `att step v=page kv[0]` <- graph node `%19 attention` <- ONNX `node_MatMul_268`, `node_Softmax_270`
;=     in entry `main`, cycle 35
;=     help: SRAM holds nothing at the start of a launch; is a load or a wait missing?
