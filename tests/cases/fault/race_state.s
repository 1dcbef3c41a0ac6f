; Two cores store to the same row of a state; the fault names the tensor and both sources.
;: cores 2x1
;: state past_key_values.0.key 0x1000 64
;: origin 3 dma1 store dst=past_key_values.0.key[32] | %15 append | node_cat_11
.entry main
    vpu.fill dst=f32[0x0], value=1.0, n0=1, n1=1, n2=16
    sem.post queue=vpu, sem=0, n=1
    sem.wait queue=dma1, sem=0, n=1
    dma.store queue=dma1, dst={0x1020}, src=[0x0], n0=1, n1=1, n2=1, bytes=16
    ctl.halt
;= fault race
;= program fault: race: write of DRAM 0x1020..0x1030 (16 bytes, operand `dst`) is not ordered with a write of the same bytes
;=     other core 0 dma1 pc 3: dma.store queue=dma1, dst={0x1020}, n0=1, n1=1, n2=1, bytes=16
;=         from tile op `dma1 store dst=past_key_values.0.key[32]` <- graph node `%15 append` <- ONNX `node_cat_11`
;=     at core 1 dma1 pc 3: dma.store queue=dma1, dst={0x1020}, n0=1, n1=1, n2=1, bytes=16
;=         from tile op `dma1 store dst=past_key_values.0.key[32]` <- graph node `%15 append` <- ONNX `node_cat_11`
;=     touching state `past_key_values.0.key`, byte 0x20
;=     in entry `main`, cycle 18
;=     help: order them: a sem.post in the earlier queue and a sem.wait in the later one
