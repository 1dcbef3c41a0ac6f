; A post that nobody waits for.
;: cores 2x1
;: origin 0 credit | matmul %1 | /lm_head
.entry main
    sem.post queue=dma0, sem=5, n=3
    sem.wait queue=vpu, sem=5, n=1
    ctl.halt
;= fault leftover-tokens
;= program fault: leftover tokens: 2 semaphore(s) are not 0 at the end of the launch
;=     core 0 semaphore 5: 2 left, posted by core 0 dma0 pc 0: sem.post queue=dma0, sem=5, n=3
;=         from tile op `credit` <- graph node `matmul %1` <- ONNX `/lm_head`
;=     core 1 semaphore 5: 2 left, posted by core 1 dma0 pc 0: sem.post queue=dma0, sem=5, n=3
;=         from tile op `credit` <- graph node `matmul %1` <- ONNX `/lm_head`
;=     in entry `main`, cycle 3
;=     help: each token posted must be taken by a sem.wait before the launch ends
