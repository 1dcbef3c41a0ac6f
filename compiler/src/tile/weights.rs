//! The weight image: which constants the programs read from DRAM, in which order of bytes.

use std::io::{self, Write};
use std::sync::Arc;

use llmc_ir::Const;
use llmc_isa::DType;
use llmc_tensor::{DType as TensorType, Tensor};
use thiserror::Error;

use super::access::PANEL;
use super::codes::{self, CodePanels, Scales};

/// How a constant's elements are ordered in the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Packing {
    /// Row-major, as in the model.
    Rows,
    /// Row-major, in the model's element type, which the chip has.
    Plain,
    /// A matrix `[k, n]` for the matrix unit: the columns are cut into slices of `slice` columns, one per core (the last
    /// may be narrower); each slice is padded with zeros to whole panels of 16 columns; a panel is `[k][16]`.
    /// All in all `[ceil(n / slice)][ceil(slice / 16)][k][16]`.
    Panels {
        /// Rows of the matrix.
        k: u32,
        /// Columns of the matrix.
        n: u32,
        /// Columns of a slice.
        slice: u32,
    },
    /// A quantised matrix for the matrix unit, with its scales.
    Codes(CodePanels),
}

/// A constant in one packing. [`Space::Weights`](super::Space::Weights) refers to it by name.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightItem {
    /// Its name in the image, unique there: the constant's name, if that is not taken by another packing of it.
    pub name: String,
    /// The constant.
    pub constant: Arc<Const>,
    /// Scales and zero points of the constant, if it holds codes.
    pub scales: Option<Scales>,
    /// Order of the elements.
    pub packing: Packing,
    /// Element type in the image.
    pub dtype: DType,
    /// Size in bytes; of a stack, that of all turns.
    pub bytes: u64,
}

/// Bytes that every turn of a stack starts at a multiple of.
const TURN_ALIGN: u64 = 64;

/// All items of the weight image, in order of first use. The entries of a program share one plan.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WeightPlan {
    /// Matrices of bf16 become f32.
    exact: bool,
    items: Vec<WeightItem>,
}

/// Why an item cannot be planned or packed.
#[derive(Debug, Error)]
pub enum PackError {
    /// The element type has no form in the image.
    #[error("constant `{name}` has element type {}, weights are f32, f16 or bf16", dtype.name())]
    DType {
        /// The constant.
        name: String,
        /// Its type.
        dtype: TensorType,
    },
    /// The constant is known by description only.
    #[error("constant `{0}` has no bytes: the graph was read from text without its model")]
    Opaque(String),
    /// The bytes are fewer than the packing asks for.
    #[error("constant `{name}` has shape {shape:?}, which does not fit its packing {packing:?}")]
    Shape {
        /// The constant.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
        /// The packing.
        packing: Packing,
    },
    /// The sink failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl WeightPlan {
    /// An empty plan. If `exact`, bf16 matrices become f32: the matrix unit rounds the other operand of a bf16 matrix to bf16, too.
    pub fn new(exact: bool) -> WeightPlan {
        WeightPlan {
            exact,
            items: Vec::new(),
        }
    }

    /// The items in the order in which they were first used.
    pub fn items(&self) -> &[WeightItem] {
        &self.items
    }

    /// The item of a name.
    pub fn item(&self, name: &str) -> Option<&WeightItem> {
        self.items.iter().find(|i| i.name == name)
    }

    /// The item of this constant in this packing, added if it is not there yet.
    ///
    /// # Errors
    /// [`PackError::DType`], if the element type has no form in the image.
    pub fn add(
        &mut self,
        constant: &Arc<Const>,
        packing: Packing,
    ) -> Result<&WeightItem, PackError> {
        let found = self
            .items
            .iter()
            .position(|i| i.constant == *constant && i.packing == packing);
        let index = match found {
            Some(i) => i,
            None => {
                let dtype = match image_type(constant, packing)? {
                    DType::Bf16 if self.exact && matches!(packing, Packing::Panels { .. }) => {
                        DType::F32
                    }
                    dtype => dtype,
                };
                let one = packing.elements(constant.shape()) * u64::from(dtype.bytes());
                let bytes = match constant.turns() {
                    Some(turns) => one.next_multiple_of(TURN_ALIGN) * turns as u64,
                    None => one,
                };
                let name = self.free_name(constant.name(), packing);
                self.items.push(WeightItem {
                    name,
                    constant: constant.clone(),
                    scales: None,
                    packing,
                    dtype,
                    bytes,
                });
                self.items.len() - 1
            }
        };
        Ok(&self.items[index])
    }

    /// The item of these codes (`[k, n]`, or `[n, k]` if `transposed`, one scale per `block` rows of k) in slices of `slice` columns,
    /// added if it is not there yet.
    ///
    /// # Errors
    /// Types that have no form in the image, or zero points that are not known.
    pub fn add_codes(
        &mut self,
        constant: &Arc<Const>,
        scales: Scales,
        block: u32,
        transposed: bool,
        slice: u32,
    ) -> Result<&WeightItem, PackError> {
        let no_type = |constant: &Const| PackError::DType {
            name: constant.name().into(),
            dtype: constant.dtype(),
        };
        let (dtype, _) = codes::code_type(constant.dtype()).ok_or_else(|| no_type(constant))?;
        let scale_type = codes::scale_type(scales.scale.dtype());
        let turns = scales.turns(constant);
        let mut zeros = false;
        for turn in 0..turns.unwrap_or(1) {
            let points = codes::zero_points(constant.dtype(), of_turn(&scales.zero, turn)?)?;
            zeros |= points.iter().any(|z| *z != 0);
        }
        let along = usize::from(transposed);
        let extent = |axis: usize| constant.shape().get(axis).map_or(0, |n| *n as u32);
        let panels = CodePanels {
            k: extent(along),
            n: extent(1 - along),
            slice,
            block,
            transposed,
            codes: dtype,
            scales: scale_type.ok_or_else(|| no_type(&scales.scale))?,
            zeros,
        };
        let packing = Packing::Codes(panels);
        let same = |i: &WeightItem| {
            i.constant == *constant && i.scales.as_ref() == Some(&scales) && i.packing == packing
        };
        let index = match self.items.iter().position(same) {
            Some(i) => i,
            None => {
                let bytes = match turns {
                    Some(turns) => panels.bytes().next_multiple_of(TURN_ALIGN) * turns as u64,
                    None => panels.bytes(),
                };
                self.items.push(WeightItem {
                    name: self.free_name(constant.name(), packing),
                    constant: constant.clone(),
                    scales: Some(scales),
                    packing,
                    dtype,
                    bytes,
                });
                self.items.len() - 1
            }
        };
        Ok(&self.items[index])
    }

    fn free_name(&self, name: &str, packing: Packing) -> String {
        let suffix = match packing {
            Packing::Rows => "rows",
            Packing::Plain => "plain",
            Packing::Panels { .. } => "panels",
            Packing::Codes(_) => "codes",
        };
        let more = (1..).map(|i| {
            if i == 1 {
                format!("{name}.{suffix}")
            } else {
                format!("{name}.{suffix}{i}")
            }
        });
        let mut names = std::iter::once(name.to_string()).chain(more);
        names.find(|n| self.item(n).is_none()).unwrap_or_default()
    }
}

/// The element type that a constant has in the image: unless plain, f16 becomes f32, which holds it exactly.
fn image_type(constant: &Const, packing: Packing) -> Result<DType, PackError> {
    match constant.dtype() {
        TensorType::F16 if packing == Packing::Plain => Ok(DType::F16),
        TensorType::I32 if packing == Packing::Plain => Ok(DType::I32),
        TensorType::I8 if packing == Packing::Plain => Ok(DType::I8),
        TensorType::U8 if packing == Packing::Plain => Ok(DType::U8),
        TensorType::F8E4m3 if packing == Packing::Plain => Ok(DType::F8E4M3),
        TensorType::F8E5m2 if packing == Packing::Plain => Ok(DType::F8E5M2),
        TensorType::F32 | TensorType::F16 => Ok(DType::F32),
        TensorType::Bf16 => Ok(DType::Bf16),
        dtype => Err(PackError::DType {
            name: constant.name().into(),
            dtype,
        }),
    }
}

impl Packing {
    /// Number of elements, padding included, of a constant of this shape.
    fn elements(self, shape: &[usize]) -> u64 {
        match self {
            Packing::Rows | Packing::Plain => shape.iter().map(|d| *d as u64).product(),
            Packing::Panels { k, n, slice } => {
                let panels = n.div_ceil(slice.max(1)) * slice.div_ceil(PANEL);
                u64::from(panels) * u64::from(k) * u64::from(PANEL)
            }
            Packing::Codes(panels) => u64::from(panels.rows()) * u64::from(panels.n),
        }
    }
}

impl WeightItem {
    /// Bytes from turn to turn, if it is a stack.
    pub fn stride(&self) -> Option<u64> {
        let turns = match &self.scales {
            Some(scales) => scales.turns(&self.constant)?,
            None => self.constant.turns()?,
        };
        Some(self.bytes / (turns as u64).max(1))
    }

    /// Writes the item's bytes, exactly [`WeightItem::bytes`] of them, without holding more than a panel in memory.
    ///
    /// # Errors
    /// If the constant has no bytes or another shape than its packing says, or the sink fails.
    pub fn write(&self, sink: &mut impl Write) -> Result<(), PackError> {
        if let (Packing::Codes(panels), Some(scales)) = (self.packing, &self.scales) {
            return self.write_codes(&panels, scales, sink);
        }
        let Some(stride) = self.stride() else {
            return self.write_one(&self.constant, sink);
        };
        if self.constant.each_turn().is_empty() {
            return Err(PackError::Opaque(self.constant.name().into()));
        }
        let elements = self.packing.elements(self.constant.shape());
        let padding = stride - elements * u64::from(self.dtype.bytes());
        for constant in self.constant.each_turn() {
            self.write_one(constant, sink)?;
            sink.write_all(&[0; TURN_ALIGN as usize][..padding as usize])?;
        }
        Ok(())
    }

    fn write_codes(
        &self,
        panels: &CodePanels,
        scales: &Scales,
        sink: &mut impl Write,
    ) -> Result<(), PackError> {
        let size = panels.bytes();
        let padding = self.stride().map_or(0, |stride| stride - size);
        for turn in 0..scales.turns(&self.constant).unwrap_or(1) {
            let [codes, scale, zero] = [&self.constant, &scales.scale, &scales.zero];
            let by = [of_turn(scale, turn)?, of_turn(zero, turn)?];
            codes::write(panels, of_turn(codes, turn)?, by, sink)?;
            sink.write_all(&[0; TURN_ALIGN as usize][..padding as usize])?;
        }
        Ok(())
    }

    fn write_one(&self, constant: &Const, sink: &mut impl Write) -> Result<(), PackError> {
        let tensor = constant.tensor();
        let tensor = tensor.ok_or_else(|| PackError::Opaque(constant.name().into()))?;
        match self.packing {
            Packing::Plain => Ok(sink.write_all(tensor.bytes())?),
            Packing::Rows => self.write_rows(tensor, sink),
            // Codes have scales, and are written elsewhere.
            Packing::Codes(_) => Err(PackError::Opaque(self.constant.name().into())),
            Packing::Panels { k, n, slice } => {
                if tensor.shape() != [k as usize, n as usize] {
                    let (name, shape) = (self.constant.name().into(), tensor.shape().to_vec());
                    return Err(PackError::Shape {
                        name,
                        shape,
                        packing: self.packing,
                    });
                }
                self.write_panels(tensor, [k, n, slice].map(|d| d as usize), sink)
            }
        }
    }

    fn write_rows(&self, tensor: &Tensor, sink: &mut impl Write) -> Result<(), PackError> {
        if tensor.dtype() != TensorType::F16 {
            return Ok(sink.write_all(tensor.bytes())?);
        }
        for chunk in tensor.bytes().chunks(2 << 12) {
            let wide: Vec<u8> = chunk
                .chunks_exact(2)
                .flat_map(|e| widen([e[0], e[1]], TensorType::F16))
                .collect();
            sink.write_all(&wide)?;
        }
        Ok(())
    }

    fn write_panels(
        &self,
        tensor: &Tensor,
        [k, n, slice]: [usize; 3],
        sink: &mut impl Write,
    ) -> Result<(), PackError> {
        let (from, to) = (
            tensor.dtype().bytes().unwrap_or(1),
            self.dtype.bytes() as usize,
        );
        let panel = PANEL as usize;
        let source = tensor.bytes();
        let mut bytes = vec![0u8; k * panel * to];
        for start in (0..n).step_by(slice.max(1)) {
            for first in (0..slice).step_by(panel) {
                let columns = panel
                    .min(slice - first)
                    .min(n.saturating_sub(start + first));
                bytes.fill(0);
                for row in 0..k {
                    let at = (row * n + start + first) * from;
                    let out = &mut bytes[row * panel * to..][..columns * to];
                    if columns == 0 {
                        continue;
                    }
                    let run = &source[at..at + columns * from];
                    if from == to {
                        out.copy_from_slice(run);
                    } else {
                        let halves = run.chunks_exact(2).map(|e| [e[0], e[1]]);
                        let wide = halves.flat_map(|e| widen(e, tensor.dtype()));
                        out.iter_mut().zip(wide).for_each(|(o, b)| *o = b);
                    }
                }
                sink.write_all(&bytes)?;
            }
        }
        Ok(())
    }
}

/// The constant of a turn; a constant that is no stack serves all turns.
fn of_turn(constant: &Arc<Const>, turn: usize) -> Result<&Const, PackError> {
    match constant.turns() {
        None => Ok(constant),
        Some(_) => {
            let own = constant.each_turn().get(turn);
            own.map(Arc::as_ref)
                .ok_or_else(|| PackError::Opaque(constant.name().into()))
        }
    }
}

/// A bf16, or else an f16, as an f32, both little endian.
fn widen(half: [u8; 2], dtype: TensorType) -> [u8; 4] {
    match dtype {
        TensorType::Bf16 => [0, 0, half[0], half[1]],
        _ => llmc_tensor::f16::from_le_bytes(half).to_f32().to_le_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use llmc_tensor::bf16;

    fn packed(item: &WeightItem) -> Vec<u8> {
        let mut out = Vec::new();
        item.write(&mut out).unwrap();
        assert_eq!(out.len() as u64, item.bytes);
        out
    }

    fn f32s(bytes: &[u8]) -> Vec<f32> {
        bytes
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect()
    }

    fn matrix(k: usize, n: usize) -> Arc<Const> {
        let values = (0..k * n).map(|i| i as f32 + 1.0).collect();
        Arc::new(Const::new(
            "w",
            Tensor::from_vec(vec![k, n], values).unwrap(),
        ))
    }

    /// Element (row, column) of the matrix as the matrix unit finds it, for every element; padding is zero.
    fn check_panels(k: usize, n: usize, slice: usize) {
        let mut plan = WeightPlan::default();
        let packing = Packing::Panels {
            k: k as u32,
            n: n as u32,
            slice: slice as u32,
        };
        let item = plan.add(&matrix(k, n), packing).unwrap();
        let values = f32s(&packed(item));
        let per_slice = slice.div_ceil(16);
        let mut padding = values.clone();
        for row in 0..k {
            for column in 0..n {
                let panel = column / slice * per_slice + column % slice / 16;
                let at = (panel * k + row) * 16 + column % slice % 16;
                assert_eq!(
                    values[at],
                    (row * n + column) as f32 + 1.0,
                    "row {row} column {column}"
                );
                padding[at] = 0.0;
            }
        }
        assert!(padding.iter().all(|v| *v == 0.0));
    }

    #[test]
    fn panels_hold_every_element() {
        check_panels(3, 16, 16);
        check_panels(3, 40, 40);
        check_panels(5, 40, 16);
        check_panels(2, 32, 8);
        check_panels(2, 30, 8);
        check_panels(4, 100, 48);
    }

    #[test]
    fn rows_are_as_in_the_model_and_halves_are_widened() {
        let mut plan = WeightPlan::default();
        let item = plan.add(&matrix(2, 3), Packing::Rows).unwrap();
        assert_eq!(f32s(&packed(item)), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let tensor = matrix(2, 3)
            .tensor()
            .unwrap()
            .cast(TensorType::F16)
            .unwrap();
        let item = plan
            .add(&Arc::new(Const::new("h", tensor)), Packing::Rows)
            .unwrap();
        assert_eq!(f32s(&packed(item)), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    }

    #[test]
    fn bf16_stays_bf16() {
        let tensor =
            Tensor::from_vec(vec![1, 2], vec![bf16::from_f32(1.0), bf16::from_f32(2.0)]).unwrap();
        let mut plan = WeightPlan::default();
        let item = plan
            .add(
                &Arc::new(Const::new("b", tensor)),
                Packing::Panels {
                    k: 1,
                    n: 2,
                    slice: 2,
                },
            )
            .unwrap();
        let bytes = packed(item);
        assert_eq!(bytes.len(), 32);
        assert_eq!(bytes[..4], [0x80, 0x3f, 0x00, 0x40]);
    }

    #[test]
    fn equal_uses_share_an_item() {
        let mut plan = WeightPlan::default();
        let panels = Packing::Panels {
            k: 2,
            n: 3,
            slice: 3,
        };
        let first = plan.add(&matrix(2, 3), panels).unwrap().name.clone();
        let second = plan.add(&matrix(2, 3), Packing::Rows).unwrap().name.clone();
        assert_eq!((first.as_str(), second.as_str()), ("w", "w.rows"));
        assert_eq!(plan.add(&matrix(2, 3), panels).unwrap().name, "w");
        assert_eq!(plan.items().len(), 2);
    }

    #[test]
    fn what_cannot_be_packed_is_said() {
        let ids = Arc::new(Const::new(
            "ids",
            Tensor::from_vec(vec![1], vec![1i64]).unwrap(),
        ));
        let error = WeightPlan::default().add(&ids, Packing::Rows).unwrap_err();
        assert_eq!(
            error.to_string(),
            "constant `ids` has element type i64, weights are f32, f16 or bf16"
        );
        let opaque = Arc::new(Const::opaque("o", TensorType::F32, vec![1], 0));
        let mut plan = WeightPlan::default();
        let error = plan
            .add(&opaque, Packing::Rows)
            .unwrap()
            .write(&mut Vec::new())
            .unwrap_err();
        assert!(error.to_string().contains("has no bytes"));
    }
}
