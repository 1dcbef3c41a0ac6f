; Waits for a semaphore that nobody posts.
.entry main
    sem.wait queue=att, sem=5, n=1
    ctl.halt
;= fault deadlock
;= program fault: deadlock: 1 queue(s) or controllers wait, and nothing is left to wake them
;=     core 0 att pc 0: sem.wait queue=att, sem=5, n=1
;=         waits: semaphore 5 of core 0 holds 0 of 1 since cycle 0; nobody posts it
;=     in entry `main`, cycle 2
