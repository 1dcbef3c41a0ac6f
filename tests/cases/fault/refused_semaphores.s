; A chip with fewer semaphores than the one the program was compiled for.
;: on core.semaphores 8
.entry main
    ctl.halt
;= refused
;= not supported by this chip: the program was compiled for chip `edge` and does not run on `edge`: it needs 128 semaphores per core, the chip has 8
