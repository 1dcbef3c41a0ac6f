; Takes more tokens than were ever posted.
.entry main
    sem.post queue=vpu, n=2
    sem.wait queue=mxu, n=3
    ctl.halt
;= fault deadlock
;= program fault: deadlock: 1 queue(s) or controllers wait, and nothing is left to wake them
;=     core 0 mxu pc 1: sem.wait queue=mxu, n=3
;=         waits: semaphore 0 of core 0 holds 2 of 3 since cycle 1; no post is left, the last was core 0 vpu pc 0
;=     in entry `main`, cycle 3
