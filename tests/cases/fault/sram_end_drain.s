; A bias behind the scratchpad.
;: set core.sram_kib 16
.entry main
    vpu.fill dst=f32[0x0], value=1.0, n0=1, n1=1, n2=2048
    sem.post queue=vpu, sem=0, n=1
    sem.wait queue=mxu, sem=0, n=1
    mxu.drain dst=[0x100], src=[0x0], bias=[0x3fe0], m=1, n=16, biased=true
    ctl.halt
;= fault out-of-bounds
;= program fault: out of bounds: operand `bias` covers SRAM of core 0 0x3fe0..0x4020, but it ends at 0x4000 (32 bytes missing)
;=     at core 0 mxu pc 3: mxu.drain dst=[0x100], bias=[0x3fe0], m=1, n=16, biased=true
;=     in entry `main`, cycle 81
