//! Puts the entries together: manifest, debug map, weight image.

use crate::alloc::{ALIGN, DramMap, Region, align_up};
use crate::emit::Code;
use crate::error::CompileError;
use crate::import::Imported;
use crate::options::CompileOptions;
use crate::tile::{Launch, PackError, Program, WeightItem, WeightPlan, chip_type};
use llmc_ir::{Graph, Module, Type};
use llmc_isa::container::{
    BinaryBuilder, DebugBuffer, DebugMap, Entry, IoTensor, LaunchRegister, Manifest, ModelInfo,
    StateTensor, WeightSource, WeightsImage,
};
use std::io::{self, Write};

/// An entry that is done.
pub struct Linked<'a> {
    /// Its graph, for the types of inputs and outputs.
    pub graph: &'a Graph,
    /// Its program, for the launch registers.
    pub program: &'a Program,
    /// Its instructions.
    pub code: &'a Code,
}

/// Where the items of the weight image are, relative to its start, and its size in bytes.
pub fn image_layout(plan: &WeightPlan) -> (Vec<Region>, u64) {
    let mut at = 0;
    let place = |item: &WeightItem| {
        let region = Region {
            name: item.name.clone(),
            addr: at,
            bytes: item.bytes,
        };
        at = align_up(at + item.bytes, ALIGN);
        region
    };
    let regions = plan.items().iter().map(place).collect();
    (regions, at)
}

/// The weight image, packed as it is written.
#[derive(Clone, Copy, Debug)]
pub struct Image<'a>(pub &'a WeightPlan);

impl WeightSource for Image<'_> {
    fn bytes(&self) -> u64 {
        image_layout(self.0).1
    }

    fn write_to(&mut self, mut out: &mut dyn Write) -> io::Result<()> {
        for item in self.0.items() {
            item.write(&mut out).map_err(|e| match e {
                PackError::Io(e) => e,
                other => io::Error::other(other.to_string()),
            })?;
            let padding = align_up(item.bytes, ALIGN) - item.bytes;
            out.write_all(&[0; ALIGN as usize][..padding as usize])?;
        }
        Ok(())
    }
}

/// The binary of all entries.
///
/// # Errors
/// [`CompileError::Bug`] if an input or output has no known size.
pub fn link(
    entries: &[Linked<'_>],
    module: &Module,
    map: &DramMap,
    imported: &Imported,
    sizes: (u64, u64),
    options: &CompileOptions,
) -> Result<BinaryBuilder, CompileError> {
    let (mut code, mut debug) = (Vec::new(), DebugMap::default());
    let mut manifest = Manifest {
        compiler_version: env!("CARGO_PKG_VERSION").to_string(),
        chip_name: options.chip.name().to_string(),
        chip_fingerprint: options.chip.fingerprint(),
        dram_bytes: map.bytes,
        weights: WeightsImage {
            dram_addr: map.image.0,
            bytes: map.image.1,
            blake3: Vec::new(),
        },
        ..Manifest::default()
    };
    for entry in entries {
        manifest
            .entries
            .push(manifest_entry(entry, map, code.len())?);
        let first = u32::try_from(debug.ops.len())
            .map_err(|_| CompileError::Bug("too many ops".to_string()))?;
        debug.inst_op.extend(
            entry
                .code
                .inst_op
                .iter()
                .map(|&op| if op == 0 { 0 } else { op + first }),
        );
        debug.ops.extend(entry.code.ops.iter().cloned());
        let offset = code.len() as u64;
        debug
            .buffers
            .extend(entry.code.buffers.iter().map(|b| DebugBuffer {
                first: b.first + offset,
                last: b.last + offset,
                ..b.clone()
            }));
        code.extend(entry.code.insts.iter().copied());
    }
    let bounds = module
        .entries
        .first()
        .map(|g| g.bounds.clone())
        .unwrap_or_default();
    for state in module.states() {
        let region = map.states.get(&state.name);
        let Some(region) = region else { continue };
        let dims = state
            .shape
            .iter()
            .map(|d| d.upper_bound(&bounds).and_then(|n| u64::try_from(n).ok()));
        let dims = dims
            .collect::<Option<Vec<u64>>>()
            .ok_or_else(|| CompileError::Bug(format!("state `{}` has no size", state.name)))?;
        let names = state.names();
        let stride = region.bytes / names.len().max(1) as u64;
        let size = state.dtype.bytes().unwrap_or(1) as u64;
        let bytes = stride.min(dims.iter().product::<u64>() * size);
        for (name, turn) in names.iter().zip(0..) {
            manifest.states.push(StateTensor {
                name: name.clone(),
                dtype: state.dtype.name().to_string(),
                dims: dims.clone(),
                dram_addr: region.addr + turn * stride,
                bytes,
            });
        }
    }
    let info = &imported.info;
    let (max_context, prefill) = sizes;
    let vocab = manifest
        .entries
        .iter()
        .flat_map(|e| &e.outputs)
        .filter_map(|o| o.dims.last())
        .next()
        .copied();
    manifest.model = ModelInfo {
        vocab: if max_context == 0 {
            None
        } else {
            info.vocab.or(vocab)
        }
        .unwrap_or(0),
        max_context,
        prefill,
        bos: info.bos.map(i64::from),
        eos: info.eos.iter().map(|t| i64::from(*t)).collect(),
    };
    let tokenizer = info
        .tokenizer
        .as_ref()
        .map(|t| t.to_vec())
        .unwrap_or_default();
    Ok(BinaryBuilder {
        manifest,
        debug,
        chip: options.chip.clone(),
        code,
        tokenizer,
    })
}

fn manifest_entry(entry: &Linked<'_>, map: &DramMap, offset: usize) -> Result<Entry, CompileError> {
    let graph = entry.graph;
    let io = map.io.get(&entry.program.name).cloned().unwrap_or_default();
    let tensor = |region: &Region, ty: &Type| io_tensor(graph, &entry.program.launch, region, ty);
    let typed = |region: &Region, ty: Option<&Type>| match ty {
        Some(ty) => tensor(region, ty),
        None => Err(CompileError::Bug(format!(
            "entry `{}` has no tensor `{}`",
            graph.name, region.name
        ))),
    };
    let inputs = io
        .inputs
        .iter()
        .map(|r| typed(r, graph.input(&r.name).map(|v| graph.ty(v))))
        .collect::<Result<_, _>>()?;
    let outputs = io
        .outputs
        .iter()
        .map(|r| typed(r, graph.output(&r.name).map(|v| graph.ty(v))))
        .collect::<Result<_, _>>()?;
    Ok(Entry {
        name: entry.program.name.clone(),
        code_offset: offset as u64,
        code_len: entry.code.insts.len() as u64,
        launch: entry
            .program
            .launch
            .iter()
            .map(|l| LaunchRegister {
                name: l.name.clone(),
                max: l.max,
            })
            .collect(),
        inputs,
        outputs,
    })
}

/// Of entries of language models the batch dim, which is 1, is left out.
fn io_tensor(
    graph: &Graph,
    launch: &[Launch],
    region: &Region,
    ty: &Type,
) -> Result<IoTensor, CompileError> {
    let dims = ty.shape.iter().map(|d| {
        d.upper_bound(&graph.bounds)
            .and_then(|n| u64::try_from(n).ok())
    });
    let mut dims = dims.collect::<Option<Vec<u64>>>().ok_or_else(|| {
        CompileError::Bug(format!(
            "entry `{}`: `{}` has no size",
            graph.name, region.name
        ))
    })?;
    let function = launch.is_empty();
    if !function && dims.len() > 1 && dims[0] == 1 {
        dims.remove(0);
    }
    let (model, chip) = (ty.dtype.name(), chip_type(ty.dtype).name());
    let narrowed = function && model != chip;
    Ok(IoTensor {
        name: region.name.clone(),
        dtype: if function { chip } else { model }.to_string(),
        model_dtype: if narrowed { model } else { "" }.to_string(),
        dims,
        dram_addr: region.addr,
        bytes: region.bytes,
    })
}
