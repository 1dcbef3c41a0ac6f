//! Picks the next token from logits.
//!
//! Everything is deterministic: the same logits, options and seed give the same tokens on every host.

/// How to sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Divides the logits; 0 takes the best token always.
    pub temperature: f64,
    /// Keeps this many best tokens; 0 keeps all.
    pub top_k: usize,
    /// Keeps the fewest best tokens that together have at least this probability; 1 keeps all.
    pub top_p: f64,
    /// Seed of the random numbers.
    pub seed: u64,
}

impl Sampling {
    /// Takes the best token always.
    pub const GREEDY: Sampling = Sampling {
        temperature: 0.0,
        top_k: 0,
        top_p: 1.0,
        seed: 0,
    };
}

/// Draws tokens from logits.
#[derive(Clone, Debug)]
pub struct Sampler {
    sampling: Sampling,
    random: SplitMix64,
}

impl Sampler {
    /// A sampler at the start of its random sequence.
    pub fn new(sampling: Sampling) -> Sampler {
        Sampler {
            sampling,
            random: SplitMix64::new(sampling.seed),
        }
    }

    /// The next token, or `None` if no logit is a number.
    ///
    /// Equal logits count in order of their ids: the lower id is the better one. One random number is drawn per
    /// token unless the choice is greedy.
    pub fn next(&mut self, logits: &[f32]) -> Option<u32> {
        let Sampling {
            temperature,
            top_k,
            top_p,
            ..
        } = self.sampling;
        if temperature <= 0.0 {
            return best(logits);
        }
        let mut kept: Vec<(u32, f32)> = (0..)
            .zip(logits.iter().copied())
            .filter(|(_, x)| !x.is_nan())
            .collect();
        kept.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        if top_k > 0 {
            kept.truncate(top_k);
        }
        let top = f64::from(kept.first()?.1);
        let weight = |x: f32| {
            let below = (f64::from(x) - top) / temperature;
            // inf - inf: several infinite logits weigh the same.
            f64::from(llmc_isa::numerics::exp(if below.is_nan() {
                0.0
            } else {
                below as f32
            }))
        };
        let mut weights: Vec<f64> = kept.iter().map(|&(_, x)| weight(x)).collect();
        let total: f64 = weights.iter().sum();
        let mut mass = 0.0;
        let enough = weights.iter().position(|w| {
            mass += w;
            mass >= top_p * total
        });
        weights.truncate(enough.map_or(weights.len(), |at| at + 1));

        let mut left = self.random.unit() * weights.iter().sum::<f64>();
        for (&(id, _), w) in kept.iter().zip(&weights) {
            left -= w;
            if left < 0.0 {
                return Some(id);
            }
        }
        // Rounding can leave a last crumb; it belongs to the last token.
        kept.get(weights.len().saturating_sub(1)).map(|&(id, _)| id)
    }
}

/// The id of the largest logit (the lowest such id), or `None` if no logit is a number.
pub fn best(logits: &[f32]) -> Option<u32> {
    let mut found: Option<(u32, f32)> = None;
    for (id, &x) in (0..).zip(logits) {
        if !x.is_nan() && found.is_none_or(|(_, y)| x > y) {
            found = Some((id, x));
        }
    }
    found.map(|(id, _)| id)
}

/// The SplitMix64 generator (Steele, Lea, Flood 2014): a counter with an increment of 2^64 / golden ratio, mixed.
///
/// Not for cryptography. Any seed is good.
#[derive(Clone, Debug)]
pub struct SplitMix64(u64);

impl SplitMix64 {
    /// A generator that starts at `seed`.
    pub fn new(seed: u64) -> SplitMix64 {
        SplitMix64(seed)
    }

    /// The next 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `[0, 1)`: the upper 53 bits of [`SplitMix64::bits`].
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(sampling: Sampling, logits: &[f32], n: usize) -> Vec<u32> {
        let mut sampler = Sampler::new(sampling);
        (0..n).map(|_| sampler.next(logits).unwrap()).collect()
    }

    fn counts(ids: &[u32], n: usize) -> Vec<usize> {
        (0..n)
            .map(|id| ids.iter().filter(|&&x| x as usize == id).count())
            .collect()
    }

    #[test]
    fn the_generator_is_splitmix64() {
        // The published reference sequence of seed 1234567.
        let mut random = SplitMix64::new(1234567);
        let bits: Vec<u64> = (0..3).map(|_| random.bits()).collect();
        assert_eq!(
            bits,
            [
                6457827717110365317,
                3203168211198807973,
                9817491932198370423
            ]
        );
    }

    #[test]
    fn greedy_takes_the_first_of_equals_and_skips_nan() {
        assert_eq!(best(&[f32::NAN, 1.0, 3.0, 3.0]), Some(2));
        assert_eq!(best(&[f32::NAN]), None);
        assert_eq!(best(&[]), None);
        assert_eq!(draws(Sampling::GREEDY, &[0.0, 2.0, 1.0], 3), [1, 1, 1]);
    }

    #[test]
    fn same_seed_same_tokens() {
        let sampling = Sampling {
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            seed: 7,
        };
        let logits = [0.1, 0.2, 0.3, 0.4];
        assert_eq!(draws(sampling, &logits, 50), draws(sampling, &logits, 50));
        assert_ne!(
            draws(sampling, &logits, 50),
            draws(
                Sampling {
                    seed: 8,
                    ..sampling
                },
                &logits,
                50
            )
        );
    }

    #[test]
    fn probabilities_are_those_of_softmax() {
        let logits = [1.0f32.ln(), 2.0f32.ln(), 5.0f32.ln()];
        let sampling = Sampling {
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            seed: 1,
        };
        let found = counts(&draws(sampling, &logits, 8000), 3);
        for (got, expected) in found.iter().zip([1000.0, 2000.0, 5000.0]) {
            assert!((*got as f64 - expected).abs() < 150.0, "{found:?}");
        }
    }

    #[test]
    fn low_temperature_sharpens() {
        let cold = Sampling {
            temperature: 0.01,
            top_k: 0,
            top_p: 1.0,
            seed: 1,
        };
        assert_eq!(counts(&draws(cold, &[0.0, 1.0], 100), 2), [0, 100]);
    }

    #[test]
    fn top_k_and_top_p_cut_the_tail() {
        let logits = [0.0, 3.0, 2.0, 1.0];
        let k = Sampling {
            temperature: 5.0,
            top_k: 2,
            top_p: 1.0,
            seed: 3,
        };
        let found = counts(&draws(k, &logits, 500), 4);
        assert_eq!((found[0], found[3]), (0, 0));
        assert!(found[1] > 0 && found[2] > 0);
        // 0.64 of the mass is on the best token, 0.88 on the best two.
        let p = Sampling {
            temperature: 1.0,
            top_k: 0,
            top_p: 0.7,
            seed: 3,
        };
        let found = counts(&draws(p, &logits, 500), 4);
        assert_eq!((found[0], found[3]), (0, 0));
        assert!(found[1] > 0 && found[2] > 0);
        let least = Sampling { top_p: 0.0, ..p };
        assert_eq!(counts(&draws(least, &logits, 20), 4), [0, 20, 0, 0]);
    }

    #[test]
    fn infinities_do_not_break_it() {
        let sampling = Sampling {
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            seed: 0,
        };
        assert_eq!(draws(sampling, &[f32::NEG_INFINITY, 0.0], 5), [1; 5]);
        assert!(
            draws(sampling, &[f32::INFINITY, f32::INFINITY, 0.0], 50)
                .iter()
                .all(|&id| id < 2)
        );
        let mut sampler = Sampler::new(sampling);
        assert_eq!(sampler.next(&[f32::NAN]), None);
    }
}
