; A program for a larger scratchpad.
;: on core.sram_kib 64
.entry main
    ctl.li rd=r1, imm=3
    ctl.halt
;= refused
;= not supported by this chip: the program was compiled for chip `edge` and does not run on `edge`: it needs 524288 bytes of SRAM per core, the chip has 65536
