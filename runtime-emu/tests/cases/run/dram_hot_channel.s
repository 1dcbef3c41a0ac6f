; Two cores read the same 64 pieces of one channel: the second waits for the first.
;: cores 2x1
;: dram 0x8000
;: ram 0x0 f32 1..4096
;: show 0x4000 f32 8
.entry main
    ctl.core rd=r1
    ctl.li rd=r1, imm=0
    ctl.madd rd=r2, ra=r1, imm=64
    dma.load queue=dma0, dst=[0x0], dst_s0=64, src={r2+0x0}, src_s0=256, n0=64, n1=1, n2=1, bytes=64
    sem.post queue=dma0, sem=0, n=1
    sem.wait queue=dma1, sem=0, n=1
    ctl.core rd=r1
    ctl.madd rd=r3, ra=r1, imm=16
    dma.store queue=dma1, dst={r3+0x4000}, src=[0x40], n0=1, n1=1, n2=1, bytes=16
    ctl.halt
;= cycles 758
;= 0x4000 f32 65 66 67 68 65 66 67 68
