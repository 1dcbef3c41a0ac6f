//! Quantised matrices in the weight image: panels of codes with their scales and zero points, in the matrix unit's own order.

use std::io::Write;
use std::sync::Arc;

use llmc_ir::Const;
use llmc_isa::DType;
use llmc_tensor::{DType as TensorType, Tensor};

use super::access::PANEL;
use super::weights::PackError;

/// Rows of codes that the matrix unit takes at once: k is a multiple of this.
const ROWS: u32 = 64;
/// Longest group: longer ones are cut, their scale repeated, so that a product can be cut between groups on any chip and gives the
/// same bits.
const LONGEST_GROUP: u32 = 128;

/// How a quantised matrix lies in the image: slices of columns, one per core, in whole panels of 16 columns. A panel is
///
/// ```text
/// codes  [k / 4][16][4]   signed, packed
/// scales [groups][16]
/// zeros  [groups][16]     i8; absent if all are 0
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CodePanels {
    /// Rows of the matrix.
    pub k: u32,
    /// Columns of the matrix.
    pub n: u32,
    /// Columns of a slice; the last may be narrower.
    pub slice: u32,
    /// Rows that share a scale in the model.
    pub block: u32,
    /// The constants are `[n, k]`.
    pub transposed: bool,
    /// Type of the codes.
    pub codes: DType,
    /// Type of the scales.
    pub scales: DType,
    /// There are zero points.
    pub zeros: bool,
}

impl CodePanels {
    /// Rows that share a scale in the image.
    pub fn group(&self) -> u32 {
        let whole = if self.block >= self.k {
            LONGEST_GROUP
        } else {
            self.block
        };
        if whole > LONGEST_GROUP && whole.is_multiple_of(LONGEST_GROUP) {
            LONGEST_GROUP
        } else {
            whole
        }
    }

    /// Rows that a tile of the matrix has a multiple of.
    pub fn step(&self) -> u32 {
        lcm(ROWS, self.group())
    }

    /// Rows of the matrix in the image, padding included.
    pub fn rows(&self) -> u32 {
        self.k.next_multiple_of(self.step())
    }

    /// Bytes of `rows` rows of codes of a panel.
    pub fn code_bytes(&self, rows: u32) -> u32 {
        rows * PANEL * self.codes.bits() / 8
    }

    /// Bytes of the scales of `rows` rows of a panel.
    pub fn scale_bytes(&self, rows: u32) -> u32 {
        rows / self.group() * PANEL * self.scales.bytes()
    }

    /// Bytes of the zero points of `rows` rows of a panel.
    pub fn zero_bytes(&self, rows: u32) -> u32 {
        if self.zeros {
            rows / self.group() * PANEL
        } else {
            0
        }
    }

    /// Bytes of `rows` rows of a panel.
    pub fn panel_bytes(&self, rows: u32) -> u32 {
        self.code_bytes(rows) + self.scale_bytes(rows) + self.zero_bytes(rows)
    }

    /// Bytes of the whole matrix.
    pub fn bytes(&self) -> u64 {
        let panels = self.n.div_ceil(self.slice.max(1)) * self.slice.div_ceil(PANEL);
        u64::from(panels) * u64::from(self.panel_bytes(self.rows()))
    }
}

fn lcm(a: u32, b: u32) -> u32 {
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    a / x.max(1) * b
}

/// The chip's type for codes, and what is subtracted from them to fit it: unsigned codes become signed ones.
pub(super) fn code_type(dtype: TensorType) -> Option<(DType, i64)> {
    Some(match dtype {
        TensorType::I8 => (DType::I8, 0),
        TensorType::U8 => (DType::I8, 128),
        TensorType::I4 => (DType::I4, 0),
        TensorType::U4 => (DType::I4, 8),
        TensorType::I2 => (DType::I2, 0),
        TensorType::U2 => (DType::I2, 2),
        _ => return None,
    })
}

/// The chip's type for scales.
pub(super) fn scale_type(dtype: TensorType) -> Option<DType> {
    Some(match dtype {
        TensorType::F32 => DType::F32,
        TensorType::F16 => DType::F16,
        TensorType::Bf16 => DType::Bf16,
        _ => return None,
    })
}

/// The zero points of a constant, less what is subtracted from the codes.
pub(super) fn zero_points(codes: TensorType, zero: &Const) -> Result<Vec<i64>, PackError> {
    let (_, shift) = code_type(codes).unwrap_or((DType::I8, 0));
    let values = bytes_of(zero)?.to_i64_vec();
    let values = values.map_err(|_| PackError::DType {
        name: zero.name().into(),
        dtype: zero.dtype(),
    })?;
    Ok(values.into_iter().map(|z| z - shift).collect())
}

fn bytes_of(constant: &Const) -> Result<&Tensor, PackError> {
    let tensor = constant.tensor();
    tensor.ok_or_else(|| PackError::Opaque(constant.name().into()))
}

/// Scales and zero points of a constant of codes.
#[derive(Clone, Debug, PartialEq)]
pub struct Scales {
    /// Scales: one or one per column, one or one per block of rows.
    pub scale: Arc<Const>,
    /// Zero points, likewise.
    pub zero: Arc<Const>,
}

impl Scales {
    /// Turns of the codes with these, if any of them is a stack.
    pub fn turns(&self, codes: &Const) -> Option<usize> {
        let all = [codes, &self.scale, &self.zero];
        all.into_iter().find_map(Const::turns)
    }
}

/// Writes the panels of a matrix, one at a time.
pub(super) fn write(
    at: &CodePanels,
    codes: &Const,
    [scale, zero]: [&Const; 2],
    sink: &mut impl Write,
) -> Result<(), PackError> {
    let (source, scale) = (bytes_of(codes)?, bytes_of(scale)?);
    let zeros = zero_points(codes.dtype(), zero)?;
    let (_, shift) = code_type(codes.dtype()).unwrap_or((DType::I8, 0));
    let along = usize::from(at.transposed);
    // Element of a constant for a row of its own and a column; an extent of 1 serves all.
    let index = |shape: &[usize], row: usize, column: usize| {
        let (rows, columns) = (shape[along], shape[1 - along]);
        let (row, column) = (row.min(rows - 1), column.min(columns - 1));
        if at.transposed {
            column * rows + row
        } else {
            row * columns + column
        }
    };
    let (k, n, slice) = (at.k as usize, at.n as usize, at.slice.max(1) as usize);
    let (rows, group, panel) = (at.rows() as usize, at.group() as usize, PANEL as usize);
    let bits = at.codes.bits() as usize;
    let width = at.scales.bytes() as usize;
    for start in (0..n).step_by(slice) {
        for first in (0..slice).step_by(panel) {
            let columns = panel
                .min(slice - first)
                .min(n.saturating_sub(start + first));
            let mut codes = vec![0u8; at.code_bytes(at.rows()) as usize];
            let mut scales = vec![0u8; at.scale_bytes(at.rows()) as usize];
            let mut points = vec![0u8; at.zero_bytes(at.rows()) as usize];
            for c in 0..columns {
                let column = start + first + c;
                for row in 0..k {
                    let code = code(source, index(source.shape(), row, column)) - shift;
                    let bit = ((row / 4 * panel + c) * 4 + row % 4) * bits;
                    codes[bit / 8] |= ((code as u8) & (0xffu8 >> (8 - bits))) << (bit % 8);
                }
                for t in 0..rows / group {
                    let row = t * group;
                    if row >= k {
                        break;
                    }
                    let block = row / at.block.max(1) as usize;
                    let from = index(scale.shape(), block, column) * width;
                    let to = (t * panel + c) * width;
                    scales[to..to + width].copy_from_slice(&scale.bytes()[from..from + width]);
                    if at.zeros {
                        let zero = zeros[index(zero.shape(), block, column)];
                        points[t * panel + c] = zero as u8;
                    }
                }
            }
            sink.write_all(&codes)?;
            sink.write_all(&scales)?;
            sink.write_all(&points)?;
        }
    }
    Ok(())
}

/// An element of a tensor of codes.
fn code(tensor: &Tensor, index: usize) -> i64 {
    let bits = tensor.dtype().bits();
    let bit = index * bits;
    let raw = (tensor.bytes()[bit / 8] >> (bit % 8)) << (8 - bits);
    match tensor.dtype().is_signed_int() {
        true => i64::from(raw as i8 >> (8 - bits)),
        false => i64::from(raw >> (8 - bits)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tile::WeightPlan;

    fn constant(name: &str, tensor: Tensor) -> Arc<Const> {
        Arc::new(Const::new(name, tensor))
    }

    /// Codes, scales and zero points of every element, as the matrix unit finds them.
    fn check(k: usize, n: usize, slice: u32, block: usize, transposed: bool, dtype: TensorType) {
        let groups = k.div_ceil(block);
        let turn = |a: usize, b: usize| if transposed { [b, a] } else { [a, b] };
        let value = |r: usize, c: usize| (r * 7 + c * 3) % 13;
        let mut codes = vec![0i64; k * n];
        let mut scales = vec![0f32; groups * n];
        let mut zeros = vec![0i64; groups * n];
        for c in 0..n {
            (0..k).for_each(|r| {
                codes[if transposed { c * k + r } else { r * n + c }] = value(r, c) as i64
            });
            for g in 0..groups {
                let at = if transposed {
                    c * groups + g
                } else {
                    g * n + c
                };
                (scales[at], zeros[at]) = ((g * n + c) as f32 - 3.5, ((g + c) % 5) as i64);
            }
        }
        let codes = Tensor::from_i64(dtype, turn(k, n), &codes).unwrap();
        let zeros = Tensor::from_i64(dtype, turn(groups, n), &zeros).unwrap();
        let by = Scales {
            scale: constant("s", Tensor::from_vec(turn(groups, n), scales).unwrap()),
            zero: constant("z", zeros),
        };
        let mut plan = WeightPlan::default();
        let item = plan
            .add_codes(&constant("w", codes), by, block as u32, transposed, slice)
            .unwrap()
            .clone();
        let mut bytes = Vec::new();
        item.write(&mut bytes).unwrap();
        assert_eq!(bytes.len() as u64, item.bytes);
        let crate::tile::Packing::Codes(at) = item.packing else {
            panic!("{:?}", item.packing)
        };
        assert!(at.zeros && at.rows().is_multiple_of(64));
        let per_slice = slice.div_ceil(16) as usize;
        let size = at.panel_bytes(at.rows()) as usize;
        let bits = at.codes.bits() as usize;
        let shift = code_type(dtype).unwrap().1;
        for r in 0..k {
            for c in 0..n {
                let (s, within) = (c / slice as usize, c % slice as usize);
                let panel = &bytes[(s * per_slice + within / 16) * size..][..size];
                let lane = within % 16;
                let bit = ((r / 4 * 16 + lane) * 4 + r % 4) * bits;
                let raw = panel[bit / 8] >> (bit % 8) << (8 - bits);
                assert_eq!(
                    i64::from(raw as i8 >> (8 - bits)) + shift,
                    value(r, c) as i64,
                    "{r},{c}"
                );
                let t = r / at.group() as usize;
                let scale = at.code_bytes(at.rows()) as usize + (t * 16 + lane) * 4;
                let scale = f32::from_le_bytes(panel[scale..scale + 4].try_into().unwrap());
                assert_eq!(scale, (r / block * n + c) as f32 - 3.5);
                let zero = (at.code_bytes(at.rows()) + at.scale_bytes(at.rows())) as usize;
                let zero = i64::from(panel[zero + t * 16 + lane] as i8) + shift;
                assert_eq!(zero, ((r / block + c) % 5) as i64);
            }
        }
    }

    #[test]
    fn panels_hold_every_code() {
        check(64, 16, 16, 32, false, TensorType::U4);
        check(172, 40, 40, 172, false, TensorType::I8);
        check(172, 24, 8, 32, true, TensorType::U4);
        check(96, 20, 20, 16, true, TensorType::U8);
        check(300, 16, 16, 256, true, TensorType::I8);
    }
}
