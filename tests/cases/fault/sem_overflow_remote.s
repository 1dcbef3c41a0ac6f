; Two cores fill a semaphore of the first.
;: cores 2x1
.entry main
    sem.post queue=dma1, n=40000, scope=core
    ctl.halt
;= fault semaphore-overflow
;= program fault: semaphore overflow: semaphore 0 of core 0 would hold 80000 tokens (at most 65535)
;=     at core 1 dma1 pc 0: sem.post queue=dma1, n=40000, scope=core
;=     in entry `main`, cycle 4
