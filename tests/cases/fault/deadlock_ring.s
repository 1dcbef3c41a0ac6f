; Three engines wait for each other in a ring.
.entry main
    sem.wait queue=vpu, sem=0, n=1
    sem.post queue=vpu, sem=1, n=1
    sem.wait queue=mxu, sem=1, n=1
    sem.post queue=mxu, sem=2, n=1
    sem.wait queue=att, sem=2, n=1
    sem.post queue=att, sem=0, n=1
    ctl.halt
;= fault deadlock
;= program fault: deadlock: 3 queue(s) or controllers wait, and nothing is left to wake them
;=     core 0 mxu pc 2: sem.wait queue=mxu, sem=1, n=1
;=         waits: semaphore 1 of core 0 holds 0 of 1 since cycle 2; to be posted by core 0 vpu pc 1
;=     core 0 vpu pc 0: sem.wait queue=vpu, n=1
;=         waits: semaphore 0 of core 0 holds 0 of 1 since cycle 0; to be posted by core 0 att pc 5
;=     core 0 att pc 4: sem.wait queue=att, sem=2, n=1
;=         waits: semaphore 2 of core 0 holds 0 of 1 since cycle 4; to be posted by core 0 mxu pc 3
;=     wait-for cycle: core 0 mxu pc 2 -> core 0 vpu pc 0 -> core 0 att pc 4 -> core 0 mxu pc 2
;=     in entry `main`, cycle 7
