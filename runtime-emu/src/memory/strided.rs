//! The bytes an operand covers: up to three strided dimensions around a contiguous run.

/// `n[0] x n[1] x n[2]` runs of `bytes` bytes; run (i, j, k) begins at `base + i s[0] + j s[1] + k s[2]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strided {
    /// Address of the first byte.
    pub base: u64,
    /// Counts, outermost first; all at least 1.
    pub n: [u32; 3],
    /// Strides in bytes, outermost first.
    pub s: [u64; 3],
    /// Length of a contiguous run; at least 1.
    pub bytes: u64,
}

impl Strided {
    /// One contiguous run.
    pub fn run(base: u64, bytes: u64) -> Strided {
        Strided {
            base,
            n: [1; 3],
            s: [0; 3],
            bytes,
        }
    }

    /// `rows` runs, `stride` bytes apart.
    pub fn rows(base: u64, rows: u32, stride: u64, bytes: u64) -> Strided {
        Strided {
            base,
            n: [1, 1, rows],
            s: [0, 0, stride],
            bytes,
        }
    }

    /// One past the last byte; saturates instead of wrapping.
    pub fn end(&self) -> u64 {
        let mut last = self.base;
        for (n, s) in self.n.iter().zip(self.s) {
            last = last.saturating_add(u64::from(n.saturating_sub(1)).saturating_mul(s));
        }
        last.saturating_add(self.bytes)
    }

    /// Number of bytes, counting those that are named several times as often; saturates.
    pub fn total(&self) -> u64 {
        self.n
            .iter()
            .fold(self.bytes, |all, &n| all.saturating_mul(n.into()))
    }

    /// The same bytes in fewer, longer runs where the strides allow it.
    pub fn merged(mut self) -> Strided {
        loop {
            if self.n[2] == 1 || self.s[2] == 0 || self.s[2] == self.bytes {
                if self.s[2] != 0 {
                    self.bytes *= u64::from(self.n[2]);
                }
                if self.n[0] == 1 && self.n[1] == 1 {
                    return Strided {
                        n: [1; 3],
                        s: [0; 3],
                        ..self
                    };
                }
                self.n = [1, self.n[0], self.n[1]];
                self.s = [0, self.s[0], self.s[1]];
            } else {
                return self;
            }
        }
    }

    /// Calls `f(a's address, b's address, length)` for corresponding runs of two operands with the same extents; runs that
    /// follow each other in both are one call. Stops at the first error.
    #[inline]
    pub fn pairs<E>(
        a: &Strided,
        b: &Strided,
        mut f: impl FnMut(u64, u64, u64) -> Result<(), E>,
    ) -> Result<(), E> {
        let (mut a, mut b) = (*a, *b);
        for _ in 0..3 {
            let joins = |x: &Strided| x.n[2] == 1 || x.s[2] == x.bytes;
            if !joins(&a) || !joins(&b) {
                break;
            }
            for x in [&mut a, &mut b] {
                x.bytes *= u64::from(x.n[2]);
                x.n = [1, x.n[0], x.n[1]];
                x.s = [0, x.s[0], x.s[1]];
            }
        }
        for i in 0..u64::from(a.n[0]) {
            for j in 0..u64::from(a.n[1]) {
                for k in 0..u64::from(a.n[2]) {
                    let at = |x: &Strided| x.base + i * x.s[0] + j * x.s[1] + k * x.s[2];
                    f(at(&a), at(&b), a.bytes)?;
                }
            }
        }
        Ok(())
    }

    /// Start addresses of the runs, in order; stops at the first error.
    #[inline]
    pub fn each<E>(&self, mut f: impl FnMut(u64) -> Result<(), E>) -> Result<(), E> {
        for i in 0..self.n[0] {
            let a = self.base + u64::from(i) * self.s[0];
            for j in 0..self.n[1] {
                let b = a + u64::from(j) * self.s[1];
                for k in 0..self.n[2] {
                    f(b + u64::from(k) * self.s[2])?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Strided;

    #[test]
    fn pairs_visit_all_bytes_in_step() {
        let a = Strided {
            base: 0,
            n: [2, 3, 4],
            s: [200, 40, 8],
            bytes: 8,
        };
        let b = Strided {
            base: 1000,
            n: [2, 3, 4],
            s: [96, 32, 8],
            bytes: 8,
        };
        let mut seen = Vec::new();
        let done: Result<(), ()> = Strided::pairs(&a, &b, |x, y, len| {
            seen.push((x, y, len));
            Ok(())
        });
        assert!(done.is_ok());
        let expected = [
            (0, 1000),
            (40, 1032),
            (80, 1064),
            (200, 1096),
            (240, 1128),
            (280, 1160),
        ];
        assert_eq!(seen, expected.map(|(x, y)| (x, y, 32)));
    }

    fn bytes(s: &Strided) -> Vec<u64> {
        let mut all = Vec::new();
        let done: Result<(), ()> = s.each(|at| {
            all.extend(at..at + s.bytes);
            Ok(())
        });
        assert!(done.is_ok());
        all.sort_unstable();
        all.dedup();
        all
    }

    #[test]
    fn merging_keeps_the_bytes() {
        for (n, s, len, runs) in [
            ([2, 3, 4], [48, 16, 4], 4, 1),
            ([2, 3, 4], [64, 16, 4], 4, 2),
            ([1, 3, 4], [0, 64, 8], 8, 3),
            ([2, 1, 5], [100, 7, 20], 20, 1),
            ([3, 2, 2], [0, 16, 8], 8, 1),
            ([2, 2, 2], [64, 32, 16], 8, 8),
        ] {
            let a = Strided {
                base: 5,
                n,
                s,
                bytes: len,
            };
            let b = a.merged();
            assert_eq!(bytes(&a), bytes(&b));
            assert_eq!(b.n.iter().product::<u32>(), runs, "{a:?} -> {b:?}");
            assert_eq!(a.end(), b.end());
        }
    }
}
