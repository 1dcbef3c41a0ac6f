; The adder does not wait for the load that overwrites its operand.
;: ram 0x1000 f32 1..16
;: origin 3 load.page 0 | matmul %4 | /layer.0/q_proj, /layer.0/k_proj
;: origin 4 neg 1 | neg %5
.entry main
    vpu.fill dst=f32[0x0], n0=1, n1=1, n2=16
    sem.post queue=vpu, sem=0, n=1
    sem.wait queue=dma0, sem=0, n=1
    dma.load queue=dma0, dst=[0x0], src={0x1000}, n0=1, n1=1, n2=1, bytes=64
    vpu.neg dst=f32[0x40], a=f32[0x20], scale=1.0, n0=1, n1=1, n2=4
    ctl.halt
;= fault race
;= program fault: race: read of SRAM of core 0 0x20..0x30 (16 bytes, operand `a`) is not ordered with a write of the same bytes
;=     other core 0 dma0 pc 3: dma.load queue=dma0, src={0x1000}, n0=1, n1=1, n2=1, bytes=64
;=         from tile op `load.page 0` <- graph node `matmul %4` <- ONNX `/layer.0/q_proj`, `/layer.0/k_proj`
;=     at core 0 vpu pc 4: vpu.neg dst=f32[0x40], a=f32[0x20], scale=1.0, n0=1, n1=1, n2=4
;=         from tile op `neg 1` <- graph node `neg %5`
;=     in entry `main`, cycle 18
;=     help: order them: a sem.post in the earlier queue and a sem.wait in the later one
