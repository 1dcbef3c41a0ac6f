; Core 1 waits for a post that core 0 keeps to itself.
;: cores 2x1
.entry main
    sem.post queue=dma0, sem=0, n=1
    ctl.core rd=r1
    ctl.addi rd=r1, ra=r1, imm=1
    ctl.loop count=r1 {
        sem.wait queue=vpu, sem=0, n=1
    }
    ctl.halt
;= fault deadlock
;= program fault: deadlock: 1 queue(s) or controllers wait, and nothing is left to wake them
;=     core 1 vpu pc 4: sem.wait queue=vpu, n=1
;=         waits: semaphore 0 of core 1 holds 0 of 1 since cycle 5; no post is left, the last was core 1 dma0 pc 0
;=     in entry `main`, cycle 7
