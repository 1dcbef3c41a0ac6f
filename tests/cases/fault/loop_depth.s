; Nine loops.
.entry main
    ctl.li rd=r1, imm=2
    ctl.loop count=r1 {
        ctl.loop count=r1 {
            ctl.loop count=r1 {
                ctl.loop count=r1 {
                    ctl.loop count=r1 {
                        ctl.loop count=r1 {
                            ctl.loop count=r1 {
                                ctl.loop count=r1 {
                                    ctl.loop count=r1 {
                                        ctl.li rd=r2
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
    ctl.halt
;= fault loop-depth
;= program fault: loops are nested more than 8 deep
;=     at core 0 ctl pc 9: ctl.loop count=r1, body=1
;=     in entry `main`, cycle 9
