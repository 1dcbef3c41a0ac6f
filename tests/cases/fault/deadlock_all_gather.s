; A core skips its part of a barrier.
;: cores 2x1
.entry main
    ctl.core rd=r1
    ctl.loop count=r1 {
    sem.post queue=dma1, sem=4, n=1, scope=all
    }
    sem.wait queue=dma1, sem=4, n=2
    ctl.halt
;= fault deadlock
;= program fault: deadlock: 2 queue(s) or controllers wait, and nothing is left to wake them
;=     core 0 dma1 pc 3: sem.wait queue=dma1, sem=4, n=2
;=         waits: semaphore 4 of core 0 holds 1 of 2 since cycle 2; no post is left, the last was core 1 dma1 pc 2
;=     core 1 dma1 pc 3: sem.wait queue=dma1, sem=4, n=2
;=         waits: semaphore 4 of core 1 holds 1 of 2 since cycle 3; no post is left, the last was core 1 dma1 pc 2
;=     in entry `main`, cycle 6
