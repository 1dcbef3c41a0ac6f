//! NumPy `.npz` files: zip archives of `.npy` members.
//!
//! Read: stored members in place, deflated ones inflated; checksums are verified; zip64 sizes are understood. Written:
//! stored members, as `numpy.savez` does, with a fixed date, so that the same arrays give the same bytes.

use crate::error::TensorError;
use crate::file::{map_file, write_atomic};
use crate::inflate::inflate;
use crate::npy::{npy_bytes, parse_npy};
use crate::tensor::Tensor;
use bytes::Bytes;
use std::path::Path;

const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END64: u32 = 0x0606_4b50;
const LOCATOR64: u32 = 0x0706_4b50;

/// Reads a file: arrays in the order of its directory, named without `.npy`.
///
/// # Errors
/// If it cannot be read or is not an archive of arrays; path and member are in the error.
pub fn read_npz(path: impl AsRef<Path>) -> Result<Vec<(String, Tensor)>, TensorError> {
    let path = path.as_ref();
    parse_npz(&map_file(path)?).map_err(|e| e.within(path.display().to_string()))
}

/// Writes a file, or nothing.
///
/// # Errors
/// As [`npz_bytes`], or if the file cannot be written.
pub fn write_npz<N: AsRef<str>>(
    path: impl AsRef<Path>,
    arrays: &[(N, &Tensor)],
) -> Result<(), TensorError> {
    write_atomic(path, &npz_bytes(arrays)?)
}

/// The arrays in the bytes of a file. Stored members are not copied.
///
/// # Errors
/// If they are not an archive of arrays.
pub fn parse_npz(bytes: &Bytes) -> Result<Vec<(String, Tensor)>, TensorError> {
    let (mut at, count) = directory(bytes)?;
    let mut arrays = Vec::new();
    for _ in 0..count {
        let (member, next) = Member::read(bytes, at)?;
        at = next;
        let name = member
            .name
            .strip_suffix(".npy")
            .unwrap_or(&member.name)
            .to_string();
        let array = member.contents(bytes).and_then(|b| parse_npy(&b));
        arrays.push((name, array.map_err(|e| e.within(&member.name))?));
    }
    Ok(arrays)
}

/// The bytes of a file of stored members.
///
/// # Errors
/// If a dtype is one that NumPy does not have, or the file would be of 4 GiB or more.
pub fn npz_bytes<N: AsRef<str>>(arrays: &[(N, &Tensor)]) -> Result<Vec<u8>, TensorError> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, tensor) in arrays {
        let name = format!("{}.npy", name.as_ref());
        let data = npy_bytes(tensor).map_err(|e| e.within(&name))?;
        let (offset, size) = (fits(out.len(), &name)?, fits(data.len(), &name)?);
        let name_len =
            u16::try_from(name.len()).map_err(|_| bad(0, "a name is longer than 65535 bytes"))?;
        // version 2.0, UTF-8 names, stored, 1980-01-01 00:00
        let mut common: Vec<u8> = Vec::new();
        [20u16, 0x0800, 0, 0, 0x21]
            .iter()
            .for_each(|v| common.extend(v.to_le_bytes()));
        [crc32(&data), size, size]
            .iter()
            .for_each(|v| common.extend(v.to_le_bytes()));
        common.extend(name_len.to_le_bytes());
        common.extend(0u16.to_le_bytes());
        out.extend(LOCAL.to_le_bytes());
        out.extend(&common);
        out.extend(name.as_bytes());
        out.extend(&data);
        directory.extend(CENTRAL.to_le_bytes());
        directory.extend(20u16.to_le_bytes());
        directory.extend(&common);
        directory.extend([0; 10]); // no comment, disk 0, attributes 0
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let count = u16::try_from(arrays.len()).map_err(|_| bad(0, "more than 65535 arrays"))?;
    let (start, size) = (
        fits(out.len(), "the directory")?,
        fits(directory.len(), "the directory")?,
    );
    out.extend(directory);
    out.extend(END.to_le_bytes());
    [0u16, 0, count, count]
        .iter()
        .for_each(|v| out.extend(v.to_le_bytes()));
    [size, start]
        .iter()
        .for_each(|v| out.extend(v.to_le_bytes()));
    out.extend(0u16.to_le_bytes());
    Ok(out)
}

fn fits(n: usize, what: &str) -> Result<u32, TensorError> {
    u32::try_from(n).map_err(|_| {
        bad(
            n,
            format!("{what} is beyond the 4 GiB that a zip file without zip64 holds"),
        )
    })
}

fn bad(offset: usize, message: impl Into<String>) -> TensorError {
    TensorError::Format {
        format: "npz",
        message: message.into(),
        offset,
    }
}

/// A little-endian number of `N` bytes.
fn number<const N: usize>(bytes: &[u8], at: usize) -> Result<u64, TensorError> {
    let raw = at.checked_add(N).and_then(|end| bytes.get(at..end));
    let raw =
        raw.ok_or_else(|| bad(at, format!("the file of {} bytes is cut off", bytes.len())))?;
    Ok(raw.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)))
}

fn offset(n: u64, at: usize) -> Result<usize, TensorError> {
    usize::try_from(n).map_err(|_| bad(at, format!("{n} is beyond the address space")))
}

/// Offset of the first directory entry and number of entries.
fn directory(bytes: &[u8]) -> Result<(usize, usize), TensorError> {
    // the end record is 22 bytes and a comment of at most 65535
    let first = bytes.len().saturating_sub(22 + 0xffff);
    let found = (first..(bytes.len() + 1).saturating_sub(22))
        .rev()
        .find(|at| bytes[*at..].starts_with(&END.to_le_bytes()));
    let end = found.ok_or_else(|| {
        bad(
            bytes.len(),
            "has no zip directory: not an npz file, or cut off",
        )
    })?;
    let (count, start) = (number::<2>(bytes, end + 10)?, number::<4>(bytes, end + 16)?);
    if count != 0xffff && start != 0xffff_ffff {
        return Ok((offset(start, end)?, count as usize));
    }
    let locator = end
        .checked_sub(20)
        .filter(|at| bytes[*at..].starts_with(&LOCATOR64.to_le_bytes()));
    let Some(locator) = locator else {
        return Ok((offset(start, end)?, count as usize));
    };
    let end64 = offset(number::<8>(bytes, locator + 8)?, locator)?;
    if number::<4>(bytes, end64)? != u64::from(END64) {
        return Err(bad(end64, "no zip64 directory where the file says it is"));
    }
    let (count, start) = (
        number::<8>(bytes, end64 + 32)?,
        number::<8>(bytes, end64 + 48)?,
    );
    Ok((offset(start, end64)?, offset(count, end64)?))
}

struct Member {
    name: String,
    method: u64,
    crc: u32,
    packed: usize,
    size: usize,
    local: usize,
}

impl Member {
    /// The directory entry at `at`, and where the next one is.
    fn read(bytes: &[u8], at: usize) -> Result<(Member, usize), TensorError> {
        if number::<4>(bytes, at)? != u64::from(CENTRAL) {
            return Err(bad(at, "expected an entry of the zip directory"));
        }
        let (name_len, extra_len) = (
            number::<2>(bytes, at + 28)? as usize,
            number::<2>(bytes, at + 30)? as usize,
        );
        let comment_len = number::<2>(bytes, at + 32)? as usize;
        let (name_at, extra_at) = (at + 46, at + 46 + name_len);
        let name = bytes
            .get(name_at..extra_at)
            .ok_or_else(|| bad(name_at, "the file is cut off in a name"))?;
        let extra = bytes.get(extra_at..extra_at + extra_len);
        let extra = extra.ok_or_else(|| bad(extra_at, "the file is cut off in an extra field"))?;
        let mut sizes = [
            number::<4>(bytes, at + 24)?,
            number::<4>(bytes, at + 20)?,
            number::<4>(bytes, at + 42)?,
        ];
        widen(&mut sizes, extra).map_err(|m| bad(extra_at, m))?;
        let member = Member {
            name: String::from_utf8_lossy(name).into_owned(),
            method: number::<2>(bytes, at + 10)?,
            crc: number::<4>(bytes, at + 16)? as u32,
            size: offset(sizes[0], at)?,
            packed: offset(sizes[1], at)?,
            local: offset(sizes[2], at)?,
        };
        Ok((member, extra_at + extra_len + comment_len))
    }

    fn contents(&self, bytes: &Bytes) -> Result<Bytes, TensorError> {
        let at = self.local;
        if number::<4>(bytes, at)? != u64::from(LOCAL) {
            return Err(bad(at, "no member where the directory says it is"));
        }
        // name and extra field may have other lengths here than in the directory
        let start =
            at + 30 + number::<2>(bytes, at + 26)? as usize + number::<2>(bytes, at + 28)? as usize;
        let end = start
            .checked_add(self.packed)
            .filter(|end| *end <= bytes.len());
        let end = end.ok_or_else(|| {
            bad(
                start,
                format!("the file is cut off: {} bytes are needed", self.packed),
            )
        })?;
        let packed = bytes.slice(start..end);
        let contents = match self.method {
            0 => packed,
            8 => inflate(&packed, self.size)?.into(),
            m => {
                return Err(bad(
                    at + 8,
                    format!("compression method {m} is not supported (only 0 and 8 are)"),
                ));
            }
        };
        if contents.len() != self.size {
            return Err(bad(
                start,
                format!("has {} bytes, should have {}", contents.len(), self.size),
            ));
        }
        let crc = crc32(&contents);
        if crc != self.crc {
            return Err(bad(
                start,
                format!("checksum is {crc:08x}, should be {:08x}", self.crc),
            ));
        }
        Ok(contents)
    }
}

/// Takes size, packed size and offset that are all ones in the entry from its zip64 extra field.
fn widen(sizes: &mut [u64; 3], mut extra: &[u8]) -> Result<(), String> {
    while let [a, b, c, d, rest @ ..] = extra {
        let (tag, len) = (
            u16::from_le_bytes([*a, *b]),
            usize::from(u16::from_le_bytes([*c, *d])),
        );
        let mut body = rest
            .get(..len)
            .ok_or("an extra field is longer than its entry")?;
        extra = &rest[len..];
        if tag != 1 {
            continue;
        }
        for size in sizes.iter_mut().filter(|s| **s == 0xffff_ffff) {
            let (head, tail) = body
                .split_at_checked(8)
                .ok_or("a zip64 field is too short")?;
            *size = head.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b));
            body = tail;
        }
    }
    Ok(())
}

/// CRC-32 as zip uses it: polynomial 0xedb88320 (reflected), start and end inverted.
pub fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut i = 0;
        while i < 256 {
            let (mut c, mut k) = (i as u32, 0);
            while k < 8 {
                c = if c & 1 == 1 {
                    0xedb8_8320 ^ (c >> 1)
                } else {
                    c >> 1
                };
                k += 1;
            }
            table[i] = c;
            i += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |c, b| {
        TABLE[((c ^ u32::from(*b)) & 0xff) as usize] ^ (c >> 8)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> Bytes {
        let (a, b) = (
            Tensor::from_vec([2], vec![1.0f32, 2.0]).unwrap(),
            Tensor::scalar(7i64),
        );
        npz_bytes(&[("a", &a), ("past.0/key", &b)]).unwrap().into()
    }

    #[test]
    fn round_trip() {
        let arrays = parse_npz(&sample()).unwrap();
        assert_eq!(arrays[0].0, "a");
        assert_eq!(arrays[0].1.to_f32_vec(), [1.0, 2.0]);
        assert_eq!(
            (arrays[1].0.as_str(), arrays[1].1.to_i64_vec().unwrap()),
            ("past.0/key", vec![7])
        );
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn reads_what_numpy_writes() {
        // made with Python's zipfile as numpy.savez and savez_compressed do, with zip64 local headers
        let arrays = parse_npz(&Bytes::from_static(include_bytes!(
            "../tests/data/compressed.npz"
        )))
        .unwrap();
        assert_eq!(arrays.len(), 2);
        assert_eq!(
            (arrays[0].0.as_str(), arrays[0].1.shape()),
            ("x", &[2, 3][..])
        );
        assert_eq!(arrays[0].1.to_i64_vec().unwrap(), [0, 1, 0, 1, 0, 1]);
        let want: Vec<f32> = (0..5000).map(|i| (i * i % 977) as f32).collect();
        assert_eq!(
            (arrays[1].0.as_str(), arrays[1].1.to_f32_vec()),
            ("y", want)
        );
        let arrays = parse_npz(&Bytes::from_static(include_bytes!(
            "../tests/data/stored.npz"
        )))
        .unwrap();
        assert_eq!(
            (arrays[0].0.as_str(), arrays[0].1.to_bool_vec()),
            ("mask", vec![true, false])
        );
    }

    #[test]
    fn damage_is_found() {
        let good = sample();
        let mut data = good.to_vec();
        let at = data
            .windows(4)
            .position(|w| w == 2.0f32.to_le_bytes())
            .unwrap();
        data[at] ^= 1;
        let e = parse_npz(&data.into()).unwrap_err().to_string();
        assert!(e.starts_with("a.npy: npz: checksum is"), "{e}");
        let e = parse_npz(&Bytes::from_static(b"no zip"))
            .unwrap_err()
            .to_string();
        assert!(e.contains("no zip directory"), "{e}");
    }

    proptest! {
        #[test]
        fn never_panics(at in 0usize..600, value: u8, cut in 0usize..600) {
            let mut data = sample().to_vec();
            let n = data.len();
            data[at % n] = value;
            let _ = parse_npz(&data.clone().into());
            data.truncate(n - cut % n);
            let _ = parse_npz(&data.into());
        }
    }
}
