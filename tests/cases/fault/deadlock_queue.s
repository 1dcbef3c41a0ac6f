; A wait blocks its queue, the queue fills up, and the post that would free it comes too late.
;: set core.queue_depth 2
.entry main
    sem.wait queue=vpu, sem=0, n=1
    vpu.fill dst=f32[0x0], n0=1, n1=1, n2=1
    vpu.fill dst=f32[0x0], n0=1, n1=1, n2=1
    sem.post queue=dma0, sem=0, n=1
    ctl.halt
;= fault deadlock
;= program fault: deadlock: 2 queue(s) or controllers wait, and nothing is left to wake them
;=     core 0 ctl pc 2: vpu.fill n0=1, n1=1, n2=1
;=         waits: the queue of vpu is full
;=     core 0 vpu pc 0: sem.wait queue=vpu, n=1
;=         waits: semaphore 0 of core 0 holds 0 of 1 since cycle 0; to be posted by core 0 dma0 pc 3
;=     wait-for cycle: core 0 ctl pc 2 -> core 0 vpu pc 0 -> core 0 ctl pc 2
;=     in entry `main`, cycle 2
