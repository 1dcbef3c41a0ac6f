; A program for one core on a chip of two.
;: on chip.cores_x 2
.entry main
    ctl.li rd=r1, imm=3
    ctl.halt
;= refused
;= not supported by this chip: the program was compiled for chip `edge` and does not run on `edge`: it needs 1 x 1 cores, the chip has 2 x 1 cores
