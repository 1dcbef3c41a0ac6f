//! Inflate (RFC 1951): what `numpy.savez_compressed` writes. Small, not fast.

use crate::error::TensorError;

/// Lengths and distances by symbol: base value and extra bits (RFC 1951 section 3.2.5).
#[rustfmt::skip]
const LENGTH: [(u16, u8); 29] = [
    (3, 0), (4, 0), (5, 0), (6, 0), (7, 0), (8, 0), (9, 0), (10, 0), (11, 1), (13, 1), (15, 1), (17, 1), (19, 2),
    (23, 2), (27, 2), (31, 2), (35, 3), (43, 3), (51, 3), (59, 3), (67, 4), (83, 4), (99, 4), (115, 4), (131, 5),
    (163, 5), (195, 5), (227, 5), (258, 0),
];
#[rustfmt::skip]
const DISTANCE: [(u16, u8); 30] = [
    (1, 0), (2, 0), (3, 0), (4, 0), (5, 1), (7, 1), (9, 2), (13, 2), (17, 3), (25, 3), (33, 4), (49, 4), (65, 5),
    (97, 5), (129, 6), (193, 6), (257, 7), (385, 7), (513, 8), (769, 8), (1025, 9), (1537, 9), (2049, 10),
    (3073, 10), (4097, 11), (6145, 11), (8193, 12), (12289, 12), (16385, 13), (24577, 13),
];
/// Order in which lengths of the code-length code are written.
const ORDER: [usize; 19] = [
    16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15,
];

/// Inflates to at most `limit` bytes.
///
/// # Errors
/// If the stream is not valid, is cut off, or gives more than `limit` bytes.
pub(crate) fn inflate(input: &[u8], limit: usize) -> Result<Vec<u8>, TensorError> {
    let mut s = Stream { input, bit: 0 };
    let mut out = Vec::with_capacity(limit.min(1 << 24));
    let run = |s: &mut Stream<'_>, out: &mut Vec<u8>| -> Result<(), String> {
        loop {
            let last = s.bits(1)? == 1;
            match s.bits(2)? {
                0 => s.stored(out, limit)?,
                1 => s.block(out, limit, &Code::fixed_lengths(), &Code::new(&[5; 30])?)?,
                2 => {
                    let (lengths, distances) = s.codes()?;
                    s.block(out, limit, &lengths, &distances)?;
                }
                _ => return Err("block type 3".into()),
            }
            if last {
                return Ok(());
            }
        }
    };
    let result = run(&mut s, &mut out);
    let fail = |message| TensorError::Format {
        format: "deflate",
        message,
        offset: s.bit / 8,
    };
    result.map(|()| out).map_err(fail)
}

/// A canonical Huffman code: number of codes of each length, symbols in order of their code.
struct Code {
    counts: [u16; 16],
    symbols: Vec<u16>,
}

impl Code {
    fn new(lengths: &[u8]) -> Result<Code, String> {
        let mut counts = [0; 16];
        lengths
            .iter()
            .for_each(|l| counts[usize::from(*l & 15)] += 1);
        counts[0] = 0;
        let space = counts
            .iter()
            .skip(1)
            .fold(1i32, |left, n| (left * 2 - i32::from(*n)).max(-1));
        if space < 0 {
            return Err("a Huffman code has too many words".into());
        }
        let mut symbols: Vec<u16> = (0..lengths.len() as u16)
            .filter(|s| lengths[usize::from(*s)] > 0)
            .collect();
        symbols.sort_by_key(|s| lengths[usize::from(*s)]); // stable: by symbol within a length
        Ok(Code { counts, symbols })
    }

    fn fixed_lengths() -> Code {
        let length = |s: u16| match s {
            0..144 => 8,
            144..256 => 9,
            256..280 => 7,
            _ => 8,
        };
        let lengths: Vec<u8> = (0..288).map(length).collect();
        Code::new(&lengths).unwrap_or(Code {
            counts: [0; 16],
            symbols: Vec::new(),
        })
    }
}

struct Stream<'a> {
    input: &'a [u8],
    bit: usize,
}

impl Stream<'_> {
    fn bits(&mut self, n: u8) -> Result<usize, String> {
        let mut value = 0;
        for i in 0..n {
            let byte = self
                .input
                .get(self.bit / 8)
                .ok_or("the stream is cut off")?;
            value |= usize::from(byte >> (self.bit % 8) & 1) << i;
            self.bit += 1;
        }
        Ok(value)
    }

    /// Codes are read bit by bit, most significant first.
    fn symbol(&mut self, code: &Code) -> Result<usize, String> {
        let (mut word, mut first, mut index) = (0usize, 0usize, 0usize);
        for n in code.counts.iter().skip(1).map(|n| usize::from(*n)) {
            word |= self.bits(1)?;
            if word < first + n {
                return Ok(usize::from(code.symbols[index + word - first]));
            }
            index += n;
            first = (first + n) << 1;
            word <<= 1;
        }
        Err("a word is not in the Huffman code".into())
    }

    fn stored(&mut self, out: &mut Vec<u8>, limit: usize) -> Result<(), String> {
        self.bit = self.bit.div_ceil(8) * 8;
        let (n, inverse) = (self.bits(16)?, self.bits(16)?);
        if n ^ inverse != 0xffff {
            return Err("length of a stored block and its inverse do not agree".into());
        }
        let start = self.bit / 8;
        let data = self
            .input
            .get(start..start + n)
            .ok_or("the stream is cut off")?;
        check_room(out, n, limit)?;
        out.extend_from_slice(data);
        self.bit += n * 8;
        Ok(())
    }

    fn codes(&mut self) -> Result<(Code, Code), String> {
        let (lengths, distances, words) =
            (self.bits(5)? + 257, self.bits(5)? + 1, self.bits(4)? + 4);
        let mut small = [0u8; 19];
        for at in ORDER.iter().take(words) {
            small[*at] = self.bits(3)? as u8;
        }
        let small = Code::new(&small)?;
        let mut all: Vec<u8> = Vec::new();
        while all.len() < lengths + distances {
            let (value, repeat) = match self.symbol(&small)? {
                16 => (
                    *all.last().ok_or("a repeated length has none before it")?,
                    3 + self.bits(2)?,
                ),
                17 => (0, 3 + self.bits(3)?),
                18 => (0, 11 + self.bits(7)?),
                length => (length as u8, 1),
            };
            all.extend(std::iter::repeat_n(value, repeat));
        }
        if all.len() > lengths + distances {
            return Err("more code lengths than announced".into());
        }
        Ok((Code::new(&all[..lengths])?, Code::new(&all[lengths..])?))
    }

    fn block(
        &mut self,
        out: &mut Vec<u8>,
        limit: usize,
        lengths: &Code,
        distances: &Code,
    ) -> Result<(), String> {
        loop {
            match self.symbol(lengths)? {
                256 => return Ok(()),
                literal @ 0..256 => {
                    check_room(out, 1, limit)?;
                    out.push(literal as u8);
                }
                symbol => {
                    let (base, extra) = LENGTH
                        .get(symbol - 257)
                        .ok_or("a length symbol is not defined")?;
                    let length = usize::from(*base) + self.bits(*extra)?;
                    let symbol = self.symbol(distances)?;
                    let (base, extra) = DISTANCE
                        .get(symbol)
                        .ok_or("a distance symbol is not defined")?;
                    let distance = usize::from(*base) + self.bits(*extra)?;
                    let from = out
                        .len()
                        .checked_sub(distance)
                        .ok_or("a distance reaches before the start")?;
                    check_room(out, length, limit)?;
                    (from..from + length).for_each(|i| out.push(out[i])); // may read what it wrote
                }
            }
        }
    }
}

fn check_room(out: &[u8], more: usize, limit: usize) -> Result<(), String> {
    if out.len() + more <= limit {
        Ok(())
    } else {
        Err(format!("gives more than the announced {limit} bytes"))
    }
}
