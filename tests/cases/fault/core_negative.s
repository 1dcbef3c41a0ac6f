; A push to the core before the first.
.entry main
    dma.push queue=dma1, dst=[0x0], src=[0x0], n0=1, n1=1, n2=1, bytes=4, scope=core, core=-1
    ctl.halt
;= fault core-range
;= program fault: no such core: core -1 is addressed, and the chip has cores 0 to 0
;=     at core 0 dma1 pc 0: dma.push queue=dma1, n0=1, n1=1, n2=1, bytes=4, scope=core, core=-1
;=     in entry `main`, cycle 0
