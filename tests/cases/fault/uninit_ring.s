; A page that has not been loaded, in SRAM that another buffer uses later: the fault names the ring, the page and the source.
;: sram 0x100 128 64 0 6 ring `w`
;: sram 0x100 128 0 7 9 buffer `later`
;: origin 5 mxu mm c[0] += a[0] * page w[0] | %7 matmul | /layers.0/MatMul
.entry main
    vpu.fill dst=f32[0x0], value=1.0, n0=1, n1=1, n2=32
    sem.post queue=vpu, sem=0, n=1
    sem.wait queue=mxu, sem=0, n=1
    vpu.fill dst=f32[0x100], value=1.0, n0=1, n1=1, n2=16
    ctl.li rd=r1, imm=64
    mxu.mm dst=[0x200], a=[0x0], b=[r1+0x100], m=1, n=16, k=1
    ctl.halt
;= fault uninitialised-read
;= program fault: read of uninitialised memory: operand `b` covers SRAM of core 0 0x140..0x180, and byte 0x140 was never written since the launch began
;=     at core 0 mxu pc 5: mxu.mm dst=[0x200], b=[0x140], m=1, n=16, k=1
;=         from tile op `mxu mm c[0] += a[0] * page w[0]` <- graph node `%7 matmul` <- ONNX `/layers.0/MatMul`
;=     touching ring `w`, page 1, byte 0x0
;=     in entry `main`, cycle 18
;=     help: SRAM holds nothing at the start of a launch; is a load or a wait missing?
