; Each core waits for a token of the other.
;: cores 2x1
.entry main
    ctl.core rd=r1
    ctl.li rd=r2, imm=1
    ctl.sub rd=r3, ra=r2, rb=r1
    sem.wait queue=dma1, sem=4, n=1
    sem.post queue=dma1, sem=4, n=1, scope=core, core=r3
    ctl.halt
;= fault deadlock
;= program fault: deadlock: 2 queue(s) or controllers wait, and nothing is left to wake them
;=     core 0 dma1 pc 3: sem.wait queue=dma1, sem=4, n=1
;=         waits: semaphore 4 of core 0 holds 0 of 1 since cycle 3; to be posted by core 1 dma1 pc 4
;=     core 1 dma1 pc 3: sem.wait queue=dma1, sem=4, n=1
;=         waits: semaphore 4 of core 1 holds 0 of 1 since cycle 3; to be posted by core 0 dma1 pc 4
;=     wait-for cycle: core 0 dma1 pc 3 -> core 1 dma1 pc 3 -> core 0 dma1 pc 3
;=     in entry `main`, cycle 6
