; Two engines write the same element.
.entry main
    vpu.fill dst=f32[0x0], n0=1, n1=1, n2=16
    att.init state=[0x3c], rows=1, heads=1, d=1
    ctl.halt
;= fault race
;= program fault: race: write of SRAM of core 0 0x3c..0x40 (4 bytes, operand `state`) is not ordered with a write of the same bytes
;=     other core 0 vpu pc 0: vpu.fill n0=1, n1=1, n2=16
;=     at core 0 att pc 1: att.init state=[0x3c], rows=1, heads=1, d=1
;=     in entry `main`, cycle 1
;=     help: order them: a sem.post in the earlier queue and a sem.wait in the later one
