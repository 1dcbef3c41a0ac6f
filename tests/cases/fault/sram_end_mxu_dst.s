; A result that reaches behind the scratchpad.
;: set core.sram_kib 16
.entry main
    vpu.fill dst=f32[0x0], value=1.0, n0=1, n1=1, n2=64
    sem.post queue=vpu, sem=0, n=1
    sem.wait queue=mxu, sem=0, n=1
    mxu.mm dst=[0x3fe0], a=[0x0], b=[0x40], m=1, n=16, k=1
    ctl.halt
;= fault out-of-bounds
;= program fault: out of bounds: operand `dst` covers SRAM of core 0 0x3fe0..0x4020, but it ends at 0x4000 (32 bytes missing)
;=     at core 0 mxu pc 3: mxu.mm dst=[0x3fe0], b=[0x40], m=1, n=16, k=1
;=     in entry `main`, cycle 19
