; Reads a state before anything was put into it; the fault names the tensor.
;: state past_key_values.0.key 0x1000 64
;: origin 0 dma0 load dst=page kv[0] | %15 append | node_cat_11
.entry main
    dma.load queue=dma0, dst=[0x0], src={0x1010}, n0=1, n1=1, n2=1, bytes=16
    ctl.halt
;= fault uninitialised-read
;= program fault: read of uninitialised memory: operand `src` covers DRAM 0x1010..0x1020, and byte 0x1010 was never written
;=     at core 0 dma0 pc 0: dma.load queue=dma0, src={0x1010}, n0=1, n1=1, n2=1, bytes=16
;=         from tile op `dma0 load dst=page kv[0]` <- graph node `%15 append` <- ONNX `node_cat_11`
;=     touching state `past_key_values.0.key`, byte 0x10
;=     in entry `main`, cycle 0
;=     help: neither the host nor this or an earlier launch has written it; is a store or a wait missing?
