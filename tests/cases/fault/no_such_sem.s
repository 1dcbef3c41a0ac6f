; More semaphores than the chip has.
;: set core.semaphores 8
.entry main
    sem.wait queue=vpu, sem=8, n=1
    ctl.halt
;= fault no-such-semaphore
;= not supported by this chip: semaphore 8 is used, and this chip has semaphores 0 to 7
;=     at core 0 vpu pc 0: sem.wait queue=vpu, sem=8, n=1
;=     in entry `main`, cycle 0
;=     help: compile for this chip
