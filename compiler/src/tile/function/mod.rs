//! Lowering of function programs: a graph of static shapes becomes a tile [`Program`] whose values live in DRAM.
//!
//! A value is a [`slab::Slab`]: strided elements of an input, an output, a constant or scratch. Ops that only move elements
//! make other slabs of the same buffer; all others are kernels, loops over tiles that the cores share: load, compute, store.
//! Kernels follow each other with a barrier between them, so that results do not depend on the number of cores.
//!
//! | file | holds |
//! |---|---|
//! | `slab` | values in DRAM |
//! | `tiles` | cutting boxes into tiles; the elementwise kernel |
//! | `narrow` | element types that the chip lacks |
//! | `elementwise` | functions of elements, conversions |
//! | `movement` | concatenation, padding, reshapes that move |
//! | `reduce`, `matmul`, `gather`, `scatter`, `scan`, `order` | the other kernels |
//! | `compose` | softmax, norms, attention, .. made of these |

mod compose;
mod elementwise;
mod gather;
mod matmul;
mod movement;
mod narrow;
mod order;
mod reduce;
mod scan;
mod scatter;
mod slab;
mod tiles;

use std::collections::BTreeMap;
use std::sync::Arc;

use llmc_ir::{Bindings, Const, Graph, Node, Op, ValueId, eval_op};
use llmc_isa::Chip;
use llmc_tensor::{DType as TensorType, Tensor};

use super::lower::build::Build;
use super::weights::{Packing, WeightPlan};
use super::{Expr, LowerError, LowerProblem, Origin, Program, Space};
use slab::Slab;

pub use narrow::chip_type;
pub(super) use narrow::constant as narrow_constant;

/// Why a node cannot be lowered, in words.
type Reason = String;

/// Lowers a graph without states and symbols for all cores of a chip, adding its constants to `weights`.
///
/// # Errors
/// Every node that cannot be lowered, with the reason.
pub fn lower_function(
    graph: &Graph,
    chip: &Chip,
    weights: &mut WeightPlan,
) -> Result<Program, LowerError> {
    let cores = chip.cores().max(1);
    let mut function = Function {
        graph,
        cores,
        sram: chip.sram_bytes(),
        weights,
        build: Build::new(&graph.name, cores, vec![]),
        values: BTreeMap::new(),
        kernels: 0,
    };
    let problems = function.run();
    if problems.is_empty() {
        Ok(function.build.finish())
    } else {
        Err(LowerError { problems })
    }
}

/// A function program that grows.
struct Function<'a> {
    graph: &'a Graph,
    cores: u32,
    /// SRAM of a core in bytes.
    sram: u64,
    weights: &'a mut WeightPlan,
    build: Build,
    values: BTreeMap<ValueId, Slab>,
    /// Kernels so far; part of the names of what they use.
    kernels: u32,
}

impl Function<'_> {
    fn run(&mut self) -> Vec<LowerProblem> {
        let mut problems = Vec::new();
        let graph = self.graph;
        for id in graph.topological() {
            let node = graph.node(id);
            if node.operands.iter().any(|v| !self.values.contains_key(v)) {
                continue; // of an op that failed
            }
            let origin = origin(id, node);
            self.build.origin(origin.clone());
            match self.node(id, node) {
                Ok(slab) => drop(self.values.insert(id, slab)),
                Err(reason) => problems.push(LowerProblem { origin, reason }),
            }
        }
        for (name, id) in &graph.outputs {
            let Some(value) = self.values.get(id).cloned() else {
                continue;
            };
            if let Err(reason) = self.output(name, &value) {
                let origin = origin(*id, graph.node(*id));
                problems.push(LowerProblem { origin, reason });
            }
        }
        problems
    }

    /// The value of a node. The kernels of its op are in the program afterwards.
    fn node(&mut self, id: ValueId, node: &Node) -> Result<Slab, Reason> {
        let shape = shape(node)?;
        let ins: Vec<Slab> = node
            .operands
            .iter()
            .filter_map(|v| self.values.get(v).cloned())
            .collect();
        let types: Vec<TensorType> = node
            .operands
            .iter()
            .map(|v| self.graph.ty(*v).dtype)
            .collect();
        let dtype = node.ty.dtype;
        if let Op::Input = node.op {
            let name = self.graph.input_name(id).unwrap_or("input").to_string();
            let chip = chip_type(dtype);
            let bytes = shape.iter().product::<u64>() * u64::from(chip.bytes());
            let buffer = self.build.buffer(&name, Space::Input(name.clone()), bytes);
            return Ok(Slab::dense(buffer, chip, &shape));
        }
        if let Op::Const(_) = node.op {
            let constant = self.graph.as_const(id).ok_or("it is not in the table")?;
            return self.constant(constant);
        }
        if node.operands.is_empty() {
            // A function of nothing is a constant.
            let value = eval_op(&node.op, &[], &Bindings::new()).map_err(|e| e.to_string())?;
            return self.constant(&Arc::new(Const::new(node.op.to_string(), value)));
        }
        match (&node.op, ins.as_slice()) {
            (Op::Unary(op), [x]) => self.unary(*op, x, dtype, types[0]),
            (Op::Binary(op), [a, b]) => self.binary(*op, a, b, &shape, types[0], types[1]),
            (Op::Compare(op), [a, b]) => self.compare(*op, a, b, &shape, types[0]),
            (Op::Where, [c, a, b]) => self.select(c, a, b, &shape, dtype),
            (Op::Cast(to), [x]) => self.cast(x, types[0], *to),
            (Op::Reshape { .. }, [x]) => self.reshaped(x, &shape),
            (Op::Transpose { perm }, [x]) => Ok(x.transpose(perm)),
            (Op::Expand { .. }, [x]) => Ok(x.expand(&shape)),
            (
                Op::Slice {
                    axis, start, step, ..
                },
                [x],
            ) => {
                let start = start.as_const().ok_or("its start is not known")?;
                Ok(x.slice(*axis, start, *step, shape[*axis]))
            }
            (Op::PositionRows { start, short, .. }, [x]) => {
                let start = start.as_const().ok_or("its start is not known")?;
                let short = i64::try_from(*short).unwrap_or(i64::MAX);
                let long = short > 0 && start + shape[0] as i64 > short;
                Ok(x.slice(0, if long { start + short } else { start }, 1, shape[0]))
            }
            (Op::LastRow { axis }, [x]) => {
                let last = x.dim(*axis).n.saturating_sub(1);
                Ok(x.slice(*axis, last as i64, 1, 1))
            }
            (Op::AllGather, [x]) => Ok(x.clone()),
            (Op::Concat { axis }, parts) => self.concat(parts, *axis, &shape),
            (Op::Pad { before, .. }, [x, value]) => self.pad(x, value, before, &shape),
            (
                Op::Windows {
                    kernel,
                    strides,
                    dilations,
                },
                [x],
            ) => {
                let first = x.dims.len() - kernel.len();
                let positions: Vec<(u64, usize)> = shape[first..]
                    .iter()
                    .copied()
                    .zip(strides.iter().copied())
                    .collect();
                let inside: Vec<(usize, usize)> = kernel
                    .iter()
                    .copied()
                    .zip(dilations.iter().copied())
                    .collect();
                Ok(x.windows(&positions, &inside))
            }
            (Op::TopK { axis, k, largest }, [x]) => self.top_k(x, *axis, *k as u64, *largest),
            (op @ Op::ScatterNd { .. }, [data, indices, updates]) => {
                self.scatter_nd(op, data, indices, updates, !dtype.is_float())
            }
            (Op::BitCast(to), [x]) => {
                let bits = |model: TensorType| chip_type(model).bits() as usize == model.bits();
                if !bits(types[0]) || !bits(*to) {
                    return Err(format!(
                        "the chip has not the bits of {} and {to}",
                        types[0]
                    ));
                }
                Ok(Slab {
                    dtype: chip_type(*to),
                    ..x.clone()
                })
            }
            (Op::MatMul, [a, b]) => self.matmul(a, b, &shape, types[0]),
            (Op::Reduce { op, axes, .. }, [x]) => {
                let out = self.reduce(*op, x, axes, dtype)?;
                out.reshape(&shape)
                    .ok_or_else(|| "bug: a reduction is dense".into())
            }
            (Op::Gather { axis }, [data, indices]) => self.gather(data, indices, *axis, &shape),
            (Op::GatherNd { batch_dims }, [data, indices]) => {
                self.gather_nd(data, indices, *batch_dims, &shape)
            }
            (
                Op::CumSum {
                    axis,
                    exclusive,
                    reverse,
                },
                [x],
            ) => self.cumsum(x, *axis, *exclusive, *reverse, dtype),
            (Op::Trilu { upper, k }, [x]) => {
                let k = k.as_const().ok_or("its diagonal is not known")?;
                self.trilu(x, *upper, k, dtype)
            }
            (Op::Softmax { axis }, [x]) => self.softmax(x, *axis),
            (Op::RmsNorm { eps }, [x, w]) => self.rms_norm(x, w, eps.get()),
            (Op::LayerNorm { eps }, [x, w, b]) => self.layer_norm(x, w, b, eps.get()),
            (Op::SiluMul, [g, u]) => self.silu_mul(g, u),
            (
                Op::Rope {
                    heads,
                    head_dim,
                    rotary_dim,
                    interleaved,
                },
                [x, cos, sin],
            ) => self.rope(x, cos, sin, [*heads, *head_dim, *rotary_dim], *interleaved),
            (op @ Op::Attention { .. }, [q, k, v, sink @ ..]) => {
                self.attention(op, q, k, v, sink.first())
            }
            (op, _) => Err(format!(
                "`{}` is not supported in function programs yet",
                op.name()
            )),
        }
    }

    /// A constant in the weight image, in a type that the chip has.
    fn constant(&mut self, constant: &Arc<Const>) -> Result<Slab, Reason> {
        let constant = narrow::constant(constant)?;
        let shape: Vec<u64> = constant.shape().iter().map(|d| *d as u64).collect();
        let item = self
            .weights
            .add(&constant, Packing::Plain)
            .map_err(|e| e.to_string())?;
        let (name, bytes, dtype) = (item.name.clone(), item.bytes, item.dtype);
        let buffer = self.build.dram(&name, Space::Weights(name.clone()), bytes);
        Ok(Slab::dense(buffer, dtype, &shape))
    }

    /// `0, step, 2 * step, ..`, `n` integers.
    fn iota(&mut self, n: u64, step: i64) -> Result<Slab, Reason> {
        let values: Option<Vec<i32>> = (0..n as i64)
            .map(|i| i.checked_mul(step).and_then(|v| i32::try_from(v).ok()))
            .collect();
        let values = values.ok_or("it has more elements than 32-bit indices reach")?;
        let tensor = Tensor::from_vec(vec![values.len()], values).map_err(|e| e.to_string())?;
        let name = format!("iota {n} step {step}");
        self.constant(&Arc::new(Const::new(name, tensor)))
    }

    /// Room in DRAM for a value.
    fn scratch(&mut self, dtype: llmc_isa::DType, shape: &[u64]) -> Slab {
        let bytes = shape.iter().product::<u64>() * u64::from(dtype.bytes());
        let name = self.label("v");
        let buffer = self.build.buffer(&name, Space::Scratch, bytes);
        Slab::dense(buffer, dtype, shape)
    }

    /// What the kernels before stored may be loaded after this.
    fn barrier(&mut self) {
        if self.kernels > 0 {
            self.build.barrier();
        }
        self.kernels += 1;
    }

    /// A name for something of the kernel.
    fn label(&self, name: &str) -> String {
        format!("{name}{}", self.kernels)
    }

    /// Opens a loop; `self.build.end()` closes it.
    fn begin(&mut self, name: &str, trip: Expr, max_trip: u64) -> Expr {
        let name = self.label(name);
        self.build.begin(&name, trip, max_trip)
    }

    /// Copies a value to an output.
    fn output(&mut self, name: &str, value: &Slab) -> Result<(), Reason> {
        let bytes = value.elements() * u64::from(value.dtype.bytes());
        let buffer = self.build.buffer(name, Space::Output(name.into()), bytes);
        let out = Slab::dense(buffer, value.dtype, &value.shape());
        self.map(&out, std::slice::from_ref(value), None)
    }
}

fn origin(id: ValueId, node: &Node) -> Origin {
    Origin {
        node: format!("{id} {}", node.op.name()),
        onnx: node.origin.clone(),
    }
}

/// The static shape of a node's value.
fn shape(node: &Node) -> Result<Vec<u64>, Reason> {
    let shape = node.ty.const_shape();
    let shape = shape.ok_or_else(|| format!("its shape {} is not known", node.ty))?;
    let bytes = shape.iter().try_fold(8u64, |n, d| n.checked_mul(*d as u64));
    match bytes {
        Some(bytes) if bytes < 1 << 45 => Ok(shape.iter().map(|d| *d as u64).collect()),
        _ => Err(format!("its shape {} is too large", node.ty)),
    }
}
