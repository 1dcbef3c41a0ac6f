; Scales of the second group behind the scratchpad.
;: set core.sram_kib 16
.entry main
    vpu.fill dst=f32[0x0], value=1.0, n0=1, n1=1, n2=2048
    sem.post queue=vpu, sem=0, n=1
    sem.wait queue=mxu, sem=0, n=1
    mxu.mmq dst=[0x3000], a=[0x0], b=[0x400], scale=[0x3fc0], m=1, n=16, k=64, group=32, a_type=f32, b_type=i4
    ctl.halt
;= fault out-of-bounds
;= program fault: out of bounds: operand `scale` covers SRAM of core 0 0x3fc0..0x4040, but it ends at 0x4000 (64 bytes missing)
;=     at core 0 mxu pc 3: mxu.mmq dst=[0x3000], b=[0x400], scale=[0x3fc0], m=1, n=16, k=64, group=32, b_type=i4
;=     in entry `main`, cycle 81
