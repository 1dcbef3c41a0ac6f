; A core gets a token that it does not take.
;: cores 2x1
.entry main
    ctl.core rd=r1
    ctl.loop count=r1 {
    sem.post queue=dma1, sem=2, n=3, scope=core
    }
    ctl.halt
;= fault leftover-tokens
;= program fault: leftover tokens: 1 semaphore(s) are not 0 at the end of the launch
;=     core 0 semaphore 2: 3 left, posted by core 1 dma1 pc 2: sem.post queue=dma1, sem=2, n=3, scope=core
;=     in entry `main`, cycle 6
;=     help: each token posted must be taken by a sem.wait before the launch ends
