; Further functions, each on a row of eight.
;: ram 0x1000 f32 -2 -0.75 -0.1 0 0.25 1 2.5 inf
;: ram 0x1020 f32 3 -2 0.5 0 2 -1.5 2 -3
;: ram 0x1040 i32 -7 7 -7 7 -1 256 2147483647 5
;: ram 0x1060 i32 2 -2 -2 0 28 4 3 32
;: show 0x2000 f32 72
;: show 0x2120 i32 24
;: show 0x2180 f32 1
;: show 0x2184 i32 1
.entry main
    dma.load queue=dma0, dst=[0x0], src={0x1000}, n0=1, n1=1, n2=1, bytes=128
    sem.post queue=dma0, sem=0, n=1
    sem.wait queue=vpu, sem=0, n=1
    vpu.isinf dst=f32[0x100], a=f32[0x0], scale=1.0, n0=1, n1=1, n2=8
    vpu.tan dst=f32[0x120], a=f32[0x0], scale=1.0, n0=1, n1=1, n2=8
    vpu.asin dst=f32[0x140], a=f32[0x0], scale=1.0, n0=1, n1=1, n2=8
    vpu.atan dst=f32[0x160], a=f32[0x0], scale=1.0, n0=1, n1=1, n2=8
    vpu.expm1 dst=f32[0x180], a=f32[0x0], scale=1.0, n0=1, n1=1, n2=8
    vpu.log1p dst=f32[0x1a0], a=f32[0x0], scale=1.0, n0=1, n1=1, n2=8
    vpu.pow dst=f32[0x1c0], a=f32[0x0], b=f32[0x20], n0=1, n1=1, n2=8
    vpu.rem dst=f32[0x1e0], a=f32[0x0], b=f32[0x20], n0=1, n1=1, n2=8
    vpu.mod dst=f32[0x200], a=f32[0x0], b=f32[0x20], n0=1, n1=1, n2=8
    vpu.iquo dst=i32[0x220], a=i32[0x40], b=i32[0x60], n0=1, n1=1, n2=8
    vpu.irem dst=i32[0x240], a=i32[0x40], b=i32[0x60], n0=1, n1=1, n2=8
    vpu.ilshr dst=i32[0x260], a=i32[0x40], b=i32[0x60], n0=1, n1=1, n2=8
    vpu.prod dst=f32[0x280], a=f32[0x20], n0=1, n1=1, n2=3
    vpu.argmin dst=i32[0x284], a=f32[0x20], n0=1, n1=1, n2=8
    sem.post queue=vpu, sem=2, n=1
    sem.wait queue=dma1, sem=2, n=1
    dma.store queue=dma1, dst={0x2000}, src=[0x100], n0=1, n1=1, n2=1, bytes=392
    ctl.halt
;= cycles 607
;= 0x2000 f32 0 0 0 0 0 0 0 1 2.18504 -0.9315965 -0.100334674 0 0.25534192 1.5574079 -0.74702233 NaN NaN -0.84806216 -0.10016742 0 0.25268024 1.5707964 NaN NaN -1.1071488 -0.6435011 -0.09966866 0 0.24497865 0.7853982 1.19029 1.5707964 -0.86466473 -0.5276334 -0.095162585 0 0.28402543 1.7182817 11.182494 inf NaN -1.3862944 -0.10536052 0 0.22314355 0.6931472 1.252763 inf -8 1.7777778 NaN 1 0.0625 1 6.25 0 -2 -0.75 -0.1 NaN 0.25 1 0.5 NaN 1 -0.75 0.4 NaN 0.25 -0.5 0.5 NaN
;= 0x2120 i32 -3 -3 3 0 0 64 715827882 0 -1 1 -1 7 -1 0 1 5 1073741822 0 0 7 15 16 268435455 0
;= 0x2180 f32 -3
;= 0x2184 i32 7
