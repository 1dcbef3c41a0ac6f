; A byte of the weights has changed since they were written.
;: weights 0x0 f32 3.25 -17.5 81.75 5.5
;: flip weights
.entry main
    ctl.li rd=r1, imm=3
    ctl.halt
;= fault weights-hash
;= program fault: case: the weights are damaged: their BLAKE3 hash is 4995a8cdb9b06b2840e9e19264fdae10934f0764e93c06a04e3803512e89a42e, not the one in the manifest
;=     in entry `main`, cycle 0
;=     help: copy or compile the file again
