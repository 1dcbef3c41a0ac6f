; A queue that does not exist.
;: word 0 1 9
.entry main
    sem.wait queue=mxu, n=1
    ctl.halt
;= refused
;= case: section `.text`: bad encoding at byte 0x1 of the code: field `queue` of `sem.wait`: 9 (Queue has values 0 to 4)
