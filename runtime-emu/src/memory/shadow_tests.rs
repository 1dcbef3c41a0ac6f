use super::*;
use proptest::prelude::*;

fn who<'a>(actor: u32, n: u32, clock: &'a [u32]) -> Access<'a> {
    Access {
        epoch: Epoch { actor, clock: n },
        clock,
    }
}

#[test]
fn first_uninitialised_byte_is_named() {
    let mut s = Shadow::new(1 << 16);
    s.write(100, 50, &who(0, 1, &[1, 0])).unwrap();
    s.write(150, 5000, &who(0, 2, &[2, 0])).unwrap();
    assert_eq!(s.read(100, 5050, &who(0, 3, &[3, 0])), Ok(()));
    assert_eq!(
        s.read(120, 5031, &who(0, 3, &[3, 0])),
        Err(Conflict::Uninit { at: 5150 })
    );
    assert_eq!(
        s.read(99, 10, &who(0, 3, &[3, 0])),
        Err(Conflict::Uninit { at: 99 })
    );
}

#[test]
fn launches() {
    let mut s = Shadow::new(1 << 16);
    s.write(0, 64, &who(0, 1, &[1, 0])).unwrap();
    s.settle();
    s.read(0, 64, &who(1, 1, &[0, 1])).unwrap();
    s.write(0, 64, &who(1, 2, &[0, 2])).unwrap();
    s.clear();
    assert_eq!(
        s.read(0, 64, &who(1, 1, &[0, 1])),
        Err(Conflict::Uninit { at: 0 })
    );
}

#[test]
fn neighbours_do_not_conflict() {
    let mut s = Shadow::new(1 << 16);
    s.write(0, 4, &who(0, 1, &[1, 0])).unwrap();
    s.write(4, 4, &who(1, 1, &[0, 1])).unwrap();
    s.write(0, 4, &who(0, 2, &[2, 0])).unwrap();
}

#[test]
fn races_name_the_earlier_access() {
    let mut s = Shadow::new(1 << 16);
    s.write(0, 64, &who(0, 1, &[1, 0])).unwrap();
    let race = |at, len, actor, clock, earlier_writes| {
        Err(Conflict::Race {
            at,
            len,
            earlier: Epoch { actor, clock },
            earlier_writes,
        })
    };
    assert_eq!(s.read(60, 8, &who(1, 1, &[0, 1])), race(60, 4, 0, 1, true));
    s.read(32, 32, &who(1, 1, &[1, 1])).unwrap();
    assert_eq!(
        s.write(0, 64, &who(0, 2, &[2, 0])),
        race(32, 32, 1, 1, false)
    );
    s.write(0, 32, &who(0, 2, &[2, 0])).unwrap();
    s.write(0, 64, &who(0, 3, &[3, 1])).unwrap();
}

/// The same rules, one byte at a time.
struct Model {
    bytes: Vec<Option<(Epoch, Vec<Epoch>)>>,
}

impl Model {
    fn read(&mut self, start: usize, len: usize, who: &Access<'_>) -> Result<(), Conflict> {
        for at in start..start + len {
            match &self.bytes[at] {
                None => return Err(Conflict::Uninit { at: at as u64 }),
                Some((w, _)) if !who.follows(*w) => {
                    return Err(Conflict::Race {
                        at: at as u64,
                        len: 0,
                        earlier: *w,
                        earlier_writes: true,
                    });
                }
                Some(_) => {}
            }
        }
        for (_, readers) in self.bytes[start..start + len].iter_mut().flatten() {
            readers.push(who.epoch);
        }
        Ok(())
    }

    fn write(&mut self, start: usize, len: usize, who: &Access<'_>) -> Result<(), Conflict> {
        for at in start..start + len {
            let Some((w, readers)) = &self.bytes[at] else {
                continue;
            };
            let mut earlier = readers
                .iter()
                .copied()
                .map(|r| (r, false))
                .collect::<Vec<_>>();
            earlier.insert(0, (*w, true));
            if let Some(&(earlier, earlier_writes)) = earlier.iter().find(|(e, _)| !who.follows(*e))
            {
                return Err(Conflict::Race {
                    at: at as u64,
                    len: 0,
                    earlier,
                    earlier_writes,
                });
            }
        }
        self.bytes[start..start + len].fill(Some((who.epoch, Vec::new())));
        Ok(())
    }
}

/// Only what both must agree on: the kind of conflict and its first byte.
fn essence(r: Result<(), Conflict>) -> Option<(bool, u64)> {
    match r {
        Ok(()) => None,
        Err(Conflict::Uninit { at }) => Some((false, at)),
        Err(Conflict::Race { at, .. }) => Some((true, at)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn runs_agree_with_single_bytes(ops in prop::collection::vec((0_u32..3, 0_usize..3, 0_usize..9000, 1_usize..5000, any::<bool>()), 1..60)) {
        let len = 16384;
        let mut model = Model { bytes: vec![None; len] };
        let mut shadow = Shadow::new(len as u64);
        let mut clocks = [[0_u32; 3]; 3];
        // Half of the memory is written before the launch.
        model.write(0, len / 2, &Access::UNORDERED).unwrap();
        shadow.write(0, len as u64 / 2, &Access::UNORDERED).unwrap();
        for (actor, joins, start, n, writes) in ops {
            let a = actor as usize;
            // Mostly ordered: learn what another engine has done so far.
            if joins != a {
                let other = clocks[joins];
                for (mine, theirs) in clocks[a].iter_mut().zip(other) {
                    *mine = (*mine).max(theirs);
                }
            }
            clocks[a][a] += 1;
            let who = Access { epoch: Epoch { actor, clock: clocks[a][a] }, clock: &clocks[a] };
            let (m, s) = if writes {
                (model.write(start, n, &who), shadow.write(start as u64, n as u64, &who))
            } else {
                (model.read(start, n, &who), shadow.read(start as u64, n as u64, &who))
            };
            // A conflict ends a launch; later states may differ in how far the failed access got.
            let found = essence(m);
            prop_assert_eq!(found, essence(s));
            if found.is_some() {
                break;
            }
        }
    }
}
