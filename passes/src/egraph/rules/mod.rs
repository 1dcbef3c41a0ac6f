//! The rules, one file per topic. `../README.md` is the law they obey.

mod algebra;
mod attention;
mod mlp;
mod movement;
mod norm;
mod quant;
mod rope;
mod sink;

pub(super) use movement::SWAP_HEADS;

use super::rule::Rule;

/// All rules, in the order in which they are tried.
pub fn all() -> Vec<Rule> {
    [
        algebra::rules(),
        movement::rules(),
        norm::rules(),
        rope::rules(),
        attention::rules(),
        sink::rules(),
        mlp::rules(),
        quant::rules(),
    ]
    .concat()
}
