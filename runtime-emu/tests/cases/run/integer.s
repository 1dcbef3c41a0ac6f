; Every integer function; results wrap around, narrower ones saturate.
;: ram 0x1000 i32 2147483647 -7 7 -2147483648 100 0 3 -1
;: ram 0x1020 i32 1 2 -2 -1 100 0 33 4
;: show 0x2000 i32 120
.entry main
    dma.load queue=dma0, dst=[0x0], src={0x1000}, n0=1, n1=1, n2=1, bytes=64
    sem.post queue=dma0, sem=0, n=1
    sem.wait queue=vpu, sem=0, n=1
    vpu.iadd dst=i32[0x100], a=i32[0x0], b=i32[0x20], n0=1, n1=1, n2=8
    vpu.isub dst=i32[0x120], a=i32[0x0], b=i32[0x20], n0=1, n1=1, n2=8
    vpu.imul dst=i32[0x140], a=i32[0x0], b=i32[0x20], n0=1, n1=1, n2=8
    vpu.imin dst=i32[0x160], a=i32[0x0], b=i32[0x20], n0=1, n1=1, n2=8
    vpu.imax dst=i32[0x180], a=i32[0x0], b=i32[0x20], n0=1, n1=1, n2=8
    vpu.ishl dst=i32[0x1a0], a=i32[0x0], b=i32[0x20], n0=1, n1=1, n2=8
    vpu.ishr dst=i32[0x1c0], a=i32[0x0], b=i32[0x20], n0=1, n1=1, n2=8
    vpu.iand dst=i32[0x1e0], a=i32[0x0], b=i32[0x20], n0=1, n1=1, n2=8
    vpu.ior dst=i32[0x200], a=i32[0x0], b=i32[0x20], n0=1, n1=1, n2=8
    vpu.ixor dst=i32[0x220], a=i32[0x0], b=i32[0x20], n0=1, n1=1, n2=8
    vpu.ieq dst=i32[0x240], a=i32[0x0], b=i32[0x20], n0=1, n1=1, n2=8
    vpu.ilt dst=i32[0x260], a=i32[0x0], b=i32[0x20], n0=1, n1=1, n2=8
    vpu.idiv dst=i32[0x280], a=i32[0x0], b=i32[0x20], n0=1, n1=1, n2=8
    vpu.imod dst=i32[0x2a0], a=i32[0x0], b=i32[0x20], n0=1, n1=1, n2=8
    vpu.iadd dst=i8[0x40], a=i32[0x0], b=i32[0x20], n0=1, n1=1, n2=8
    vpu.ior dst=i32[0x2c0], a=i8[0x40], b=i8[0x40], n0=1, n1=1, n2=8
    sem.post queue=vpu, sem=2, n=1
    sem.wait queue=dma1, sem=2, n=1
    dma.store queue=dma1, dst={0x2000}, src=[0x100], n0=1, n1=1, n2=1, bytes=480
    ctl.halt
;= cycles 593
;= 0x2000 i32 -2147483648 -5 5 2147483647 200 0 36 3 2147483646 -9 9 -2147483647 0 0 -30 -5 2147483647 -14 -14 -2147483648 10000 0 99 -4 1 -7 -2 -2147483648 100 0 3 -1 2147483647 2 7 -1 100 0 33 4 -2 -28 0 0 0 0 0 -16 1073741823 -2 0 -1 0 0 0 -1 1 0 6 -2147483648 100 0 1 4 2147483647 -5 -1 -1 100 0 35 -1 2147483646 -5 -7 2147483647 0 0 34 -5 0 0 0 0 1 1 0 0 0 1 0 1 0 0 1 1 2147483647 -4 -4 -2147483648 1 0 0 -1 0 1 -1 0 0 0 3 3 -128 -5 5 127 127 0 36 3
