//! DRAM: the weights, mapped from the binary and read only, and everything else, owned and kept across launches.

use super::bytes::AlignedBytes;
use super::shadow::Shadow;
use std::ops::Range;
use std::sync::Arc;
use thiserror::Error;

/// Bytes of the weight image, usually a view of the mapped binary.
pub type WeightBytes = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// Why the memory of a program cannot be set up.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum DramError {
    /// The weights do not lie inside the memory.
    #[error(
        "weights at {start:#x}..{end:#x} do not lie inside the program's DRAM of {len:#x} bytes"
    )]
    Weights {
        /// First address.
        start: u64,
        /// One past the last address.
        end: u64,
        /// Size of the DRAM.
        len: u64,
    },
    /// The host has not enough memory.
    #[error("this host cannot provide {0} bytes of memory for the DRAM of the emulated chip")]
    Host(u64),
}

/// What lies at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The read-only weights.
    Weights,
    /// State, inputs and outputs, scratch.
    Ram,
}

/// A piece of owned memory.
struct Segment {
    range: Range<u64>,
    /// Absent if the machine carries no data.
    bytes: Option<AlignedBytes>,
}

/// The DRAM of a chip with one program loaded.
pub struct Dram {
    len: u64,
    weights: Range<u64>,
    image: Option<WeightBytes>,
    /// Below and above the weights.
    ram: [Segment; 2],
    shadow: Shadow,
}

impl Dram {
    /// A memory of `len` bytes with the weights at `weights`. Without `data` nothing is stored, only recorded.
    ///
    /// # Errors
    /// If the weights do not lie inside, or the host cannot provide the memory.
    pub fn new(
        len: u64,
        weights: Range<u64>,
        image: Option<WeightBytes>,
        data: bool,
    ) -> Result<Dram, DramError> {
        if weights.start > weights.end || weights.end > len {
            return Err(DramError::Weights {
                start: weights.start,
                end: weights.end,
                len,
            });
        }
        let segment = |range: Range<u64>| -> Result<Segment, DramError> {
            let size = range.end - range.start;
            let bytes = if data {
                let bytes = usize::try_from(size).ok().and_then(AlignedBytes::zeroed);
                Some(bytes.ok_or(DramError::Host(size))?)
            } else {
                None
            };
            Ok(Segment { range, bytes })
        };
        // The upper segment begins at a multiple of 64 so that its storage is aligned as its addresses are.
        let ram = [
            segment(0..weights.start)?,
            segment(weights.end / 64 * 64..len)?,
        ];
        let has_image = image
            .as_ref()
            .is_some_and(|i| (**i).as_ref().len() as u64 >= weights.end - weights.start);
        let image = image.filter(|_| has_image && data);
        Ok(Dram {
            len,
            weights,
            image,
            ram,
            shadow: Shadow::new(len),
        })
    }

    /// Size in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// True if there is no DRAM at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Addresses of the weights.
    pub fn weights(&self) -> Range<u64> {
        self.weights.clone()
    }

    /// What lies at `range`; `None` if it leaves the memory or straddles an edge of the weights.
    #[inline]
    pub fn place(&self, range: &Range<u64>) -> Option<Place> {
        let w = &self.weights;
        if range.start > range.end || range.end > self.len {
            None
        } else if w.start <= range.start && range.end <= w.end && w.start < w.end {
            Some(Place::Weights)
        } else if range.end <= w.start || range.start >= w.end {
            Some(Place::Ram)
        } else {
            None
        }
    }

    /// The bytes at `range`, or nothing if it is not one place or no data is carried.
    #[inline]
    pub fn bytes(&self, range: Range<u64>) -> Option<&[u8]> {
        let (base, bytes): (u64, &[u8]) = match self.place(&range)? {
            Place::Weights => (self.weights.start, (**self.image.as_ref()?).as_ref()),
            Place::Ram => {
                let segment = self
                    .ram
                    .iter()
                    .find(|s| s.range.start <= range.start && range.end <= s.range.end)?;
                (segment.range.start, segment.bytes.as_deref()?)
            }
        };
        bytes.get((range.start - base) as usize..(range.end - base) as usize)
    }

    /// The bytes at `range` for writing, or nothing if it is not inside the owned memory or no data is carried.
    #[inline]
    pub fn bytes_mut(&mut self, range: Range<u64>) -> Option<&mut [u8]> {
        if self.place(&range)? != Place::Ram {
            return None;
        }
        let segment = self
            .ram
            .iter_mut()
            .find(|s| s.range.start <= range.start && range.end <= s.range.end)?;
        let base = segment.range.start;
        segment
            .bytes
            .as_deref_mut()?
            .get_mut((range.start - base) as usize..(range.end - base) as usize)
    }

    /// The record of accesses to the owned memory.
    pub fn shadow(&mut self) -> &mut Shadow {
        &mut self.shadow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_bytes() {
        let image: WeightBytes = Arc::new(vec![7_u8; 100]);
        let mut dram = Dram::new(4096, 128..228, Some(image), true).unwrap();
        assert_eq!(dram.place(&(0..128)), Some(Place::Ram));
        assert_eq!(dram.place(&(128..228)), Some(Place::Weights));
        assert_eq!(dram.place(&(228..4096)), Some(Place::Ram));
        assert_eq!(dram.place(&(100..129)), None);
        assert_eq!(dram.place(&(4000..4097)), None);
        assert_eq!(dram.bytes(200..204), Some(&[7_u8; 4][..]));
        assert!(dram.bytes_mut(200..204).is_none());
        dram.bytes_mut(300..304)
            .unwrap()
            .copy_from_slice(&[1, 2, 3, 4]);
        assert_eq!(dram.bytes(302..304), Some(&[3_u8, 4][..]));
        assert_eq!(dram.bytes(0..4), Some(&[0_u8; 4][..]));
    }

    #[test]
    fn weights_must_fit() {
        assert!(matches!(
            Dram::new(100, 50..150, None, true),
            Err(DramError::Weights { .. })
        ));
    }
}
