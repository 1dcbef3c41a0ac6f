; A DRAM address that a register makes negative.
.entry main
    ctl.li rd=r1, imm=-4096
    dma.load queue=dma0, dst=[0x0], src={r1+0x10}, n0=1, n1=1, n2=1, bytes=16
    ctl.halt
;= fault bad-operand
;= program fault: `dma.load`: field `src` is out of range at run time: DRAM address -4080
;=     at core 0 ctl pc 1: dma.load queue=dma0, src={r1+0x10}, n0=1, n1=1, n2=1, bytes=16
;=     in entry `main`, cycle 1
