; Scales at an odd address.
.entry main
    vpu.fill dst=f32[0x0], value=1.0, n0=1, n1=1, n2=2048
    sem.post queue=vpu, sem=0, n=1
    sem.wait queue=mxu, sem=0, n=1
    mxu.mmq dst=[0x1000], a=[0x0], b=[0x400], scale=[0x801], m=1, n=16, k=64, a_type=f32, b_type=i8
    ctl.halt
;= fault misaligned
;= program fault: misaligned: operand `scale` in SRAM of core 0: address 0x801 is no multiple of its element size 4
;=     at core 0 mxu pc 3: mxu.mmq dst=[0x1000], b=[0x400], scale=[0x801], m=1, n=16, k=64, b_type=i8
;=     in entry `main`, cycle 81
