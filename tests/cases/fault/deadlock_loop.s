; The credit comes back only in the next turn, which never begins.
;: set core.queue_depth 2
.entry main
    ctl.li rd=r1, imm=2
    ctl.loop count=r1 {
    sem.post queue=vpu, n=1
    sem.wait queue=dma0, n=2
    sem.wait queue=dma0, n=1
    sem.wait queue=dma0, n=1
    }
    ctl.halt
;= fault deadlock
;= program fault: deadlock: 2 queue(s) or controllers wait, and nothing is left to wake them
;=     core 0 ctl pc 5: sem.wait queue=dma0, n=1
;=         waits: the queue of dma0 is full
;=     core 0 dma0 pc 3: sem.wait queue=dma0, n=2
;=         waits: semaphore 0 of core 0 holds 1 of 2 since cycle 3; to be posted by core 0 vpu pc 2
;=     wait-for cycle: core 0 ctl pc 5 -> core 0 dma0 pc 3 -> core 0 ctl pc 5
;=     in entry `main`, cycle 5
