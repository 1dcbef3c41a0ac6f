; An int4 product on a chip whose matrix unit has none.
;: set mxu.k_per_step_4bit 0
.entry main
    mxu.mmq dst=[0x1000], a=[0x0], b=[0x400], scale=[0x800], m=1, n=16, k=64, a_type=i8, b_type=i4
    ctl.halt
;= fault no-such-product
;= not supported by this chip: the matrix unit of this chip has no int4 products
;=     at core 0 mxu pc 0: mxu.mmq dst=[0x1000], b=[0x400], scale=[0x800], m=1, n=16, k=64, a_type=i8, b_type=i4
;=     in entry `main`, cycle 0
;=     help: compile for this chip
