; 64-bit indices at an address that is a multiple of 4.
.entry main
    dma.gather queue=dma1, dst=[0x100], index=[0x4], index_type=i64, count=1, table={0x0}, bytes=4, rows=1
    ctl.halt
;= fault misaligned
;= program fault: misaligned: operand `index` in SRAM of core 0: address 0x4 is no multiple of its element size 8
;=     at core 0 dma1 pc 0: dma.gather queue=dma1, dst=[0x100], index=[0x4], index_type=i64, count=1, bytes=4, rows=1
;=     in entry `main`, cycle 0
