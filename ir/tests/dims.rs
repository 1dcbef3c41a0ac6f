//! The algebra of dims.

mod common;

use common::Rng;
use llmc_ir::{Bindings, Dim, Symbol};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// A random polynomial of up to three terms over `a`, `b`, `past`.
fn random_dim(rng: &mut Rng) -> Dim {
    (0..1 + rng.below(3)).fold(Dim::zero(), |sum, _| {
        let factors = (0..rng.below(3)).fold(Dim::one(), |p, _| {
            p * Dim::sym(["a", "b", "past"][rng.below(3)])
        });
        sum + Dim::from(rng.below(11) as i64 - 5) * factors
    })
}

fn random_bindings(rng: &mut Rng) -> Bindings {
    ["a", "b", "past"]
        .iter()
        .fold(Bindings::new(), |b, s| b.with(s, rng.below(20) as i64))
}

proptest! {
    #[test]
    fn ring_laws(seed: u64) {
        let rng = &mut Rng::new(seed);
        let (x, y, z) = (random_dim(rng), random_dim(rng), random_dim(rng));
        prop_assert_eq!(&x + &y, &y + &x);
        prop_assert_eq!(&x * &y, &y * &x);
        prop_assert_eq!(&(&x + &y) + &z, &x + &(&y + &z));
        prop_assert_eq!(&(&x * &y) * &z, &x * &(&y * &z));
        prop_assert_eq!(&x * &(&y + &z), &(&x * &y) + &(&x * &z));
        prop_assert_eq!(&x - &x, Dim::zero());
        prop_assert_eq!(&x + &Dim::zero(), x.clone());
        prop_assert_eq!(&x * &Dim::one(), x);
    }

    #[test]
    fn values_agree(seed: u64) {
        let rng = &mut Rng::new(seed);
        let (x, y, b) = (random_dim(rng), random_dim(rng), random_bindings(rng));
        let value = |d: &Dim| d.eval(&b).unwrap();
        prop_assert_eq!(value(&(&x + &y)), value(&x) + value(&y));
        prop_assert_eq!(value(&(&x - &y)), value(&x) - value(&y));
        prop_assert_eq!(value(&(&x * &y)), value(&x) * value(&y));
        if x.known_le(&y) {
            prop_assert!(value(&x) <= value(&y));
        }
        // the bound holds
        let bounds: BTreeMap<Symbol, i64> = b.iter().map(|(s, v)| (s.clone(), v)).collect();
        prop_assert!(value(&x) <= x.upper_bound(&bounds).unwrap());
    }

    #[test]
    fn substitution_is_evaluation_in_two_steps(seed: u64) {
        let rng = &mut Rng::new(seed);
        let (x, y, b) = (random_dim(rng), random_dim(rng), random_bindings(rng));
        let replaced = x.substitute(&Symbol::new("a"), &y);
        let inner = b.clone().with("a", y.eval(&b).unwrap());
        prop_assert_eq!(replaced.eval(&b).unwrap(), x.eval(&inner).unwrap());
    }

    #[test]
    fn division_undoes_multiplication(seed: u64) {
        let rng = &mut Rng::new(seed);
        let (x, y) = (random_dim(rng), random_dim(rng));
        let quotient = (&x * &y).exact_div(&y);
        if y == Dim::zero() {
            prop_assert_eq!(quotient, None);
        } else {
            prop_assert_eq!(quotient, Some(x));
        }
    }

    #[test]
    fn text_round_trips(seed: u64) {
        let x = random_dim(&mut Rng::new(seed));
        prop_assert_eq!(x.to_string().parse::<Dim>(), Ok(x));
    }

    #[test]
    fn parsing_never_panics(text in ".{0,20}") {
        let _ = text.parse::<Dim>();
    }
}

#[test]
fn forms() {
    let text = |d: Dim| d.to_string();
    assert_eq!(text(Dim::past() + Dim::seq()), "past + seq");
    assert_eq!(text(Dim::seq() + Dim::one() + Dim::seq()), "2*seq + 1");
    assert_eq!(
        text(Dim::from(3) - Dim::seq() * Dim::batch()),
        "-batch*seq + 3"
    );
    assert_eq!(text(Dim::sym("s64 + s70")), "`s64 + s70`");
    assert_eq!("2*seq*3 - seq".parse::<Dim>().map(text), Ok("5*seq".into()));
    assert_eq!(
        "seq +".parse::<Dim>().unwrap_err(),
        "expected a number or a symbol, found the end of the line"
    );
    assert_eq!("4".parse::<Dim>().unwrap().as_const(), Some(4));
    assert_eq!(Dim::seq().as_symbol().map(Symbol::name), Some("seq"));
}

#[test]
fn missing_and_overflowing_values_are_errors() {
    let d: Dim = "past*past + seq".parse().unwrap();
    let e = d.eval(&Bindings::new().with("past", 2)).unwrap_err();
    assert_eq!(e.to_string(), "`seq` in `past*past + seq` has no value");
    let e = d
        .eval(&Bindings::new().with("past", i64::MAX).with("seq", 0))
        .unwrap_err();
    assert_eq!(e.to_string(), "`past*past + seq` overflows");
    let e = (Dim::seq() - Dim::from(3))
        .eval_len(&Bindings::new().with("seq", 1))
        .unwrap_err();
    assert_eq!(
        e.to_string(),
        "`seq - 3` is -2, a length cannot be negative"
    );
}
