; One token too many.
.entry main
    sem.post queue=vpu, sem=3, n=65535
    sem.post queue=dma0, sem=3, n=1
    ctl.halt
;= fault semaphore-overflow
;= program fault: semaphore overflow: semaphore 3 of core 0 would hold 65536 tokens (at most 65535)
;=     at core 0 dma0 pc 1: sem.post queue=dma0, sem=3, n=1
;=     in entry `main`, cycle 1
