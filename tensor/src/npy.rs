//! NumPy `.npy` files: one array each.
//!
//! Format: the bytes `\x93NUMPY`, version (major, minor), header length (u16 in version 1, u32 later), the header as a
//! Python dict of `descr`, `fortran_order` and `shape`, padded with blanks to a multiple of 64 and ended by a newline,
//! then the elements. Little-endian arrays of bool, integers and floats are read in place; arrays in Fortran order
//! are transposed.

use crate::dtype::DType;
use crate::error::TensorError;
use crate::file::{map_file, write_atomic};
use crate::tensor::{Tensor, elements};
use bytes::Bytes;
use std::path::Path;

const MAGIC: &[u8] = b"\x93NUMPY";

/// The dtypes that NumPy has, with their `descr`; the byte-order character of one-byte types may be anything.
const DESCR: [(DType, &str); 12] = [
    (DType::F32, "<f4"),
    (DType::F16, "<f2"),
    (DType::F64, "<f8"),
    (DType::I8, "|i1"),
    (DType::U8, "|u1"),
    (DType::I16, "<i2"),
    (DType::U16, "<u2"),
    (DType::I32, "<i4"),
    (DType::U32, "<u4"),
    (DType::I64, "<i8"),
    (DType::U64, "<u8"),
    (DType::Bool, "|b1"),
];

/// Reads a file; the elements stay in its memory map.
///
/// # Errors
/// If it cannot be read or is not an array this crate has a type for; the path is in the error.
pub fn read_npy(path: impl AsRef<Path>) -> Result<Tensor, TensorError> {
    let path = path.as_ref();
    parse_npy(&map_file(path)?).map_err(|e| e.within(path.display().to_string()))
}

/// Writes a file, or nothing.
///
/// # Errors
/// If the dtype is one that NumPy does not have, or the file cannot be written.
pub fn write_npy(path: impl AsRef<Path>, tensor: &Tensor) -> Result<(), TensorError> {
    write_atomic(path, &npy_bytes(tensor)?)
}

/// The array in the bytes of a file, which are not copied.
///
/// # Errors
/// If they are not an array this crate has a type for.
pub fn parse_npy(bytes: &Bytes) -> Result<Tensor, TensorError> {
    if !bytes.starts_with(MAGIC) {
        return Err(bad(0, "does not begin with \\x93NUMPY"));
    }
    let version = bytes.get(6).copied().unwrap_or(0);
    let length = match version {
        1 => bytes
            .get(8..10)
            .map(|b| (10, usize::from(u16::from_le_bytes([b[0], b[1]])))),
        2 | 3 => bytes
            .get(8..12)
            .map(|b| (12, u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize)),
        v => return Err(bad(6, format!("version {v} is not known"))),
    };
    let (start, length) = length.ok_or_else(|| bad(8, "the file ends in its header"))?;
    let end = start + length;
    let header = bytes.get(start..end).ok_or_else(|| {
        bad(
            start,
            format!(
                "the header takes {length} bytes, the file has {} more",
                bytes.len().saturating_sub(start)
            ),
        )
    })?;
    let header = std::str::from_utf8(header).map_err(|_| bad(start, "the header is not text"))?;
    let (dtype, fortran, shape) = parse_header(header).map_err(|message| bad(start, message))?;
    let size = elements(&shape).and_then(|n| dtype.bytes_for(n));
    let size = size.ok_or_else(|| TensorError::TooLarge {
        dtype,
        shape: shape.clone(),
    })?;
    let data = bytes.slice(end..);
    if data.len() < size {
        return Err(bad(
            end,
            format!(
                "the file is cut off: {dtype}{shape:?} takes {size} bytes, {} are left",
                data.len()
            ),
        ));
    }
    let data = data.slice(..size);
    if !fortran || shape.len() < 2 {
        return Tensor::new(dtype, shape, data);
    }
    Tensor::new(
        dtype,
        shape.clone(),
        from_fortran(&data, &shape, dtype.bytes().unwrap_or(1)),
    )
}

/// The bytes of a file of version 1, as NumPy writes it.
///
/// # Errors
/// If the dtype is one that NumPy does not have.
pub fn npy_bytes(tensor: &Tensor) -> Result<Vec<u8>, TensorError> {
    let found = DESCR.iter().find(|(d, _)| *d == tensor.dtype());
    let (_, descr) = found.ok_or_else(|| TensorError::DType {
        expected: "a type that NumPy has (cast it first)".into(),
        found: tensor.dtype(),
    })?;
    let dims: Vec<String> = tensor.shape().iter().map(usize::to_string).collect();
    let comma = if dims.len() == 1 { "," } else { "" };
    let mut header = format!(
        "{{'descr': '{descr}', 'fortran_order': False, 'shape': ({}{comma}), }}",
        dims.join(", ")
    );
    let padding = 64 - (10 + header.len() + 1) % 64;
    header.extend(std::iter::repeat_n(' ', padding % 64));
    header.push('\n');
    let length = u16::try_from(header.len()).map_err(|_| {
        bad(
            8,
            format!("{} dims do not fit a header of version 1", tensor.rank()),
        )
    })?;
    let mut out = MAGIC.to_vec();
    out.extend([1, 0]);
    out.extend(length.to_le_bytes());
    out.extend(header.as_bytes());
    out.extend(tensor.bytes());
    Ok(out)
}

fn bad(offset: usize, message: impl Into<String>) -> TensorError {
    TensorError::Format {
        format: "npy",
        message: message.into(),
        offset,
    }
}

/// The value of a key in the header's dict, up to the next key or the end.
fn value<'a>(header: &'a str, key: &str) -> Result<&'a str, String> {
    let quoted = [format!("'{key}'"), format!("\"{key}\"")];
    let found = quoted
        .iter()
        .find_map(|q| header.find(q.as_str()).map(|at| at + q.len()));
    let rest = found.and_then(|at| header[at..].trim_start().strip_prefix(':'));
    rest.map(str::trim_start)
        .ok_or_else(|| format!("the header has no '{key}': {}", header.trim_end()))
}

fn parse_header(header: &str) -> Result<(DType, bool, Vec<usize>), String> {
    let descr = value(header, "descr")?;
    let descr = match descr.chars().next() {
        Some(quote @ ('\'' | '"')) => descr[1..].split(quote).next().unwrap_or(""),
        _ => return Err("arrays of records are not supported".into()),
    };
    let found = DESCR.iter().find(|(d, name)| match d.bits() {
        8 => descr.get(1..) == Some(&name[1..]),
        _ => descr == *name || descr.starts_with('=') && descr.get(1..) == Some(&name[1..]),
    });
    let (dtype, _) = found.ok_or_else(|| match descr.starts_with('>') {
        true => format!("'{descr}': big-endian arrays are not supported"),
        false => format!("arrays of '{descr}' are not supported"),
    })?;
    let order = value(header, "fortran_order")?;
    let fortran = match (order.starts_with("True"), order.starts_with("False")) {
        (true, _) => true,
        (_, true) => false,
        _ => return Err("'fortran_order' is neither True nor False".into()),
    };
    let shape = value(header, "shape")?;
    let inner = shape.strip_prefix('(').and_then(|s| s.split(')').next());
    let inner = inner.ok_or("'shape' is not a tuple")?;
    let dims = inner.split(',').map(str::trim).filter(|d| !d.is_empty());
    let dims = dims.map(|d| {
        d.parse()
            .map_err(|_| format!("'{d}' in 'shape' is not a length"))
    });
    Ok((*dtype, fortran, dims.collect::<Result<_, _>>()?))
}

/// Row-major bytes of an array whose first index runs fastest.
fn from_fortran(data: &[u8], shape: &[usize], size: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len());
    let mut index = vec![0; shape.len()];
    for _ in 0..data.len() / size {
        let at = index
            .iter()
            .zip(shape)
            .rev()
            .fold(0, |at, (i, d)| at * d + i);
        out.extend_from_slice(&data[at * size..(at + 1) * size]);
        for (i, d) in index.iter_mut().zip(shape).rev() {
            *i += 1;
            if *i < *d {
                break;
            }
            *i = 0;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: &[u8]) -> Bytes {
        let mut out = MAGIC.to_vec();
        out.extend([1, 0]);
        out.extend((header.len() as u16).to_le_bytes());
        out.extend(header.as_bytes());
        out.extend(data);
        out.into()
    }

    #[test]
    fn round_trip() {
        for d in DESCR.map(|(d, _)| d) {
            for shape in [vec![], vec![3], vec![2, 0], vec![2, 3]] {
                let n = elements(&shape).unwrap() as i64;
                let t = Tensor::from_i64(d, shape, &(0..n).collect::<Vec<_>>()).unwrap();
                let bytes = npy_bytes(&t).unwrap();
                assert_eq!((bytes.len() - t.bytes().len()) % 64, 0);
                assert_eq!(parse_npy(&bytes.into()).unwrap(), t);
            }
        }
        let b = Tensor::zeros(DType::Bf16, [1]).unwrap();
        assert!(npy_bytes(&b).unwrap_err().to_string().contains("bf16"));
    }

    #[test]
    fn fortran_order_is_transposed() {
        let f = file(
            "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3)}\n",
            &[1, 4, 2, 5, 3, 6],
        );
        assert_eq!(
            parse_npy(&f).unwrap().to_vec::<u8>().unwrap(),
            [1, 2, 3, 4, 5, 6]
        );
    }

    #[test]
    fn bad_files_are_explained() {
        let check = |bytes: Bytes, want: &str| {
            let e = parse_npy(&bytes).unwrap_err().to_string();
            assert!(e.contains(want), "{e}");
        };
        check(Bytes::from_static(b"PK"), "does not begin with");
        check(Bytes::from_static(b"\x93NUMPY\x09\x00"), "version 9");
        check(
            Bytes::from_static(b"\x93NUMPY\x01\x00\xff\x00{"),
            "takes 255 bytes, the file has 1 more",
        );
        check(
            file(
                "{'descr': '>f4', 'fortran_order': False, 'shape': (1,)}",
                &[0; 4],
            ),
            "big-endian",
        );
        check(
            file(
                "{'descr': '<c8', 'fortran_order': False, 'shape': (1,)}",
                &[0; 8],
            ),
            "'<c8' are not",
        );
        check(
            file(
                "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
                &[],
            ),
            "'-1' in 'shape'",
        );
        check(
            file(
                "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}",
                &[0; 7],
            ),
            "8 bytes, 7 are left",
        );
        check(
            file("{'fortran_order': False, 'shape': (2,)}", &[0; 7]),
            "no 'descr'",
        );
    }
}
