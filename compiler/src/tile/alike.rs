//! Loops whose turns are alike: they differ in DRAM addresses only, as layers do. One turn tells the cost of all, and a few
//! tell what all do to SRAM and to semaphores.

use super::{Expr, Extent, OpKind, Place, Program, Space, Stmt, VarId};

impl Program {
    /// Whether the turns of a loop over `var` differ in DRAM addresses only.
    pub fn turns_alike(&self, var: VarId, body: &[Stmt]) -> bool {
        body.iter().all(|stmt| match stmt {
            Stmt::Loop { trip, body, .. } => !uses(trip, var) && self.turns_alike(var, body),
            Stmt::Let { value, .. } => !uses(value, var),
            Stmt::Op(op) => self.op_alike(op, var),
            Stmt::Stream { fill, consume, .. } => {
                fill.iter().chain(consume).all(|op| self.op_alike(op, var))
            }
            Stmt::Wait { .. } | Stmt::Post { .. } | Stmt::Advance(_) | Stmt::Barrier => true,
        })
    }

    fn op_alike(&self, op: &super::Op, var: VarId) -> bool {
        let sized = |n: &Extent| n.clamp.as_ref().is_some_and(|e| uses(e, var));
        let in_dram = |place: Place| match place {
            Place::Buffer(id) => self
                .buffers
                .get(id.index())
                .is_some_and(|b| b.space != Space::Sram),
            Place::Page(_) => false,
        };
        let accesses = op.accesses();
        let moves = accesses.regions.iter().any(|r| {
            let shape = r.dims.iter().map(|(_, n)| n).chain([&r.bytes]);
            shape.into_iter().any(sized) || !in_dram(r.view.place) && uses(&r.view.offset, var)
        });
        let masks = match &op.kind {
            OpKind::AttStep { q_pos, kv_pos, .. } | OpKind::AttRound { q_pos, kv_pos, .. } => {
                uses(q_pos, var) || uses(kv_pos, var)
            }
            _ => false,
        };
        !moves && !masks && !accesses.guards.iter().any(sized)
    }
}

fn uses(expr: &Expr, var: VarId) -> bool {
    match expr {
        Expr::Const(_) | Expr::Core | Expr::Launch(_) => false,
        Expr::Var(v) => *v == var,
        Expr::Mul(a, _) | Expr::Div(a, _) | Expr::Mod(a, _) => uses(a, var),
        Expr::Add(a, b) | Expr::Sub(a, b) | Expr::Min(a, b) | Expr::Max(a, b) => {
            uses(a, var) || uses(b, var)
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::*;
    use crate::tile::{Expr, Stmt, VarId};

    fn alike(offsets: impl Fn(Expr) -> [Expr; 2]) -> bool {
        let mut b = Build::new(1);
        let (x, w) = (b.sram("x", 256), b.weights("w", 256));
        b.looped("i", 4, |b| {
            let [to, from] = offsets(Expr::Var(VarId(0)));
            b.op(load(at(x, to), at(w, from), 64));
        });
        match &b.program.body[0] {
            Stmt::Loop { var, body, .. } => b.program.turns_alike(*var, body),
            _ => panic!("a loop"),
        }
    }

    #[test]
    fn only_addresses_in_dram_may_differ() {
        assert!(alike(|i| [Expr::ZERO, i * 64]));
        assert!(!alike(|i| [i * 64, Expr::ZERO]));
    }
}
