; The second panel of B lies behind the scratchpad.
;: set core.sram_kib 16
.entry main
    vpu.fill dst=f32[0x0], value=1.0, n0=1, n1=1, n2=64
    sem.post queue=vpu, sem=0, n=1
    sem.wait queue=mxu, sem=0, n=1
    mxu.mm dst=[0x200], a=[0x0], b=[0x40], b_panel_stride=0x4000, m=1, n=17, k=1
    ctl.halt
;= fault out-of-bounds
;= program fault: out of bounds: operand `b` covers SRAM of core 0 0x40..0x4080, but it ends at 0x4000 (128 bytes missing)
;=     at core 0 mxu pc 3: mxu.mm dst=[0x200], b=[0x40], b_panel_stride=16384, m=1, n=17, k=1
;=     in entry `main`, cycle 19
