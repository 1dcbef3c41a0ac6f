//! How a field type is packed into an instruction word, checked, printed, parsed and resolved.
//!
//! A row of the instruction table gives each field a range of bytes; the width of the range is the width of the encoding,
//! so that a type may be narrower in one instruction than in another. Addresses, extents and scalars keep their register
//! in the top six bits of the range and their constant in the rest.

use crate::operand::*;

/// A type that can be a field of an instruction. The default value is encoded as zeros and is
/// left out of the text. Errors are phrases such as `register 77 (r0 to r63 exist)`.
pub trait Field: Sized + Copy + PartialEq + Default {
    /// Name of the type in the manual.
    const NAME: &'static str;
    /// The value as a `bits` wide integer; an error if it does not fit.
    fn pack(&self, bits: u32) -> Result<u128, String>;
    /// The value of a `bits` wide integer; an error if no value has this encoding.
    fn unpack(raw: u128, bits: u32) -> Result<Self, String>;
    /// Canonical text.
    fn print(&self) -> String;
    /// Reads what [`Field::print`] writes, and a little more (hexadecimal numbers).
    fn parse(text: &str) -> Result<Self, String>;
    /// The value with registers folded into constants; an error if the result is out of range.
    fn resolve(&self, _regs: &Regs) -> Result<Self, String> {
        Ok(*self)
    }
    /// True if the packed value is zero, sign of zero included.
    fn is_zero(&self, bits: u32) -> bool {
        self.pack(bits) == Ok(0)
    }
}

/// Bits of a packed register number.
const REG_BITS: u32 = 6;

/// A mask of the low `bits` bits.
const fn mask(bits: u32) -> u128 {
    if bits >= 128 {
        u128::MAX
    } else {
        (1 << bits) - 1
    }
}

fn pack_reg(reg: Reg) -> Result<u128, String> {
    if usize::from(reg.0) < REGISTERS {
        Ok(u128::from(reg.0))
    } else {
        Err(bad_reg(u128::from(reg.0)))
    }
}

fn bad_reg(number: u128) -> String {
    format!("register {number} (r0 to r63 exist)")
}

fn unpack_reg(raw: u128) -> Result<Reg, String> {
    match u8::try_from(raw) {
        Ok(n) if usize::from(n) < REGISTERS => Ok(Reg(n)),
        _ => Err(bad_reg(raw)),
    }
}

fn fit(value: u128, bits: u32) -> Result<u128, String> {
    if value <= mask(bits) {
        Ok(value)
    } else {
        Err(format!("{value} (at most {} fits)", mask(bits)))
    }
}

fn fit_signed(value: i64, bits: u32) -> Result<u128, String> {
    let wide = i128::from(value);
    let limit = 1_i128 << (bits - 1);
    if (-limit..limit).contains(&wide) {
        Ok(wide as u128 & mask(bits))
    } else {
        Err(format!("{value} ({} to {} fits)", -limit, limit - 1))
    }
}

fn sign_extend(raw: u128, bits: u32) -> i128 {
    let shift = 128 - bits;
    ((raw << shift) as i128) >> shift
}

/// Register in the top six bits, constant in the rest.
fn pack_based(base: Reg, rest: u128, bits: u32) -> Result<u128, String> {
    Ok(pack_reg(base)? << (bits - REG_BITS) | rest)
}

fn unpack_based(raw: u128, bits: u32) -> Result<(Reg, u128), String> {
    Ok((
        unpack_reg(raw >> (bits - REG_BITS))?,
        raw & mask(bits - REG_BITS),
    ))
}

/// Offsets of DRAM addresses stay below 2^48.
const DRAM_BITS: u32 = 48;

// --- numbers in text -------------------------------------------------------------------------------------------------

/// A decimal or `0x` hexadecimal integer with optional sign.
fn parse_int(text: &str) -> Result<i128, String> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let value = match digits.strip_prefix("0x") {
        Some(hex) if hex.bytes().all(|b| b.is_ascii_hexdigit()) => {
            i128::from_str_radix(hex, 16).ok()
        }
        None if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok(),
        _ => None,
    };
    match value {
        Some(v) => Ok(if negative { -v } else { v }),
        None => Err(format!("`{text}` is not a number")),
    }
}

fn parse_uint<T: TryFrom<i128>>(text: &str) -> Result<T, String> {
    T::try_from(parse_int(text)?).map_err(|_| format!("`{text}` is out of range"))
}

fn parse_reg(text: &str) -> Result<Reg, String> {
    let number = text
        .strip_prefix('r')
        .filter(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit()));
    match number.and_then(|d| d.parse::<u128>().ok()) {
        Some(n) => unpack_reg(n),
        None => Err(format!("`{text}` is not a register (r0 to r63)")),
    }
}

/// `r3+0x10`, `r3`, `0x10`: register and offset.
fn parse_based(text: &str) -> Result<(Reg, i128), String> {
    if !text.starts_with('r') {
        return Ok((Reg::ZERO, parse_int(text)?));
    }
    match text.find(['+', '-']) {
        None => Ok((parse_reg(text)?, 0)),
        Some(at) => {
            let offset = text[at..].strip_prefix('+').unwrap_or(&text[at..]);
            Ok((parse_reg(&text[..at])?, parse_int(offset)?))
        }
    }
}

fn print_address(base: Reg, off: u64) -> String {
    match (base, off) {
        (Reg::ZERO, off) => format!("{off:#x}"),
        (base, 0) => format!("r{}", base.0),
        (base, off) => format!("r{}+{off:#x}", base.0),
    }
}

fn between<'a>(text: &'a str, open: char, close: char, what: &str) -> Result<&'a str, String> {
    text.strip_prefix(open)
        .and_then(|t| t.strip_suffix(close))
        .ok_or_else(|| format!("`{text}` is not {what}, which is written {open}r3+0x100{close}"))
}

// --- implementations -------------------------------------------------------------------------------------------------

impl Field for Reg {
    const NAME: &'static str = "Reg";
    fn pack(&self, _bits: u32) -> Result<u128, String> {
        pack_reg(*self)
    }
    fn unpack(raw: u128, _bits: u32) -> Result<Self, String> {
        unpack_reg(raw)
    }
    fn print(&self) -> String {
        format!("r{}", self.0)
    }
    fn parse(text: &str) -> Result<Self, String> {
        parse_reg(text)
    }
}

impl Field for Val {
    const NAME: &'static str = "Val";
    fn pack(&self, bits: u32) -> Result<u128, String> {
        pack_based(
            self.base,
            fit_signed(i64::from(self.off), bits - REG_BITS)?,
            bits,
        )
    }
    fn unpack(raw: u128, bits: u32) -> Result<Self, String> {
        let (base, rest) = unpack_based(raw, bits)?;
        let off = sign_extend(rest, bits - REG_BITS);
        Ok(Val {
            base,
            off: i32::try_from(off).map_err(|_| format!("offset {off}"))?,
        })
    }
    fn print(&self) -> String {
        match (self.base, self.off) {
            (Reg::ZERO, off) => off.to_string(),
            (base, 0) => format!("r{}", base.0),
            (base, off) => format!("r{}{off:+}", base.0),
        }
    }
    fn parse(text: &str) -> Result<Self, String> {
        let (base, off) = parse_based(text)?;
        let off = i32::try_from(off).map_err(|_| format!("`{text}` is out of range"))?;
        Ok(Val { base, off })
    }
    fn resolve(&self, regs: &Regs) -> Result<Self, String> {
        let value = i128::from(regs.get(self.base)) + i128::from(self.off);
        match i32::try_from(value) {
            Ok(off) => Ok(Val::imm(off)),
            Err(_) => Err(format!("{value} does not fit 32 bits")),
        }
    }
}

impl Field for SAddr {
    const NAME: &'static str = "SAddr";
    fn pack(&self, bits: u32) -> Result<u128, String> {
        pack_based(self.base, fit(u128::from(self.off), bits - REG_BITS)?, bits)
    }
    fn unpack(raw: u128, bits: u32) -> Result<Self, String> {
        let (base, rest) = unpack_based(raw, bits)?;
        Ok(SAddr {
            base,
            off: u32::try_from(rest).map_err(|_| format!("offset {rest}"))?,
        })
    }
    fn print(&self) -> String {
        format!("[{}]", print_address(self.base, u64::from(self.off)))
    }
    fn parse(text: &str) -> Result<Self, String> {
        let (base, off) = parse_based(between(text, '[', ']', "an SRAM address")?)?;
        let off = u32::try_from(off).map_err(|_| format!("`{text}` is out of range"))?;
        Ok(SAddr { base, off })
    }
    fn resolve(&self, regs: &Regs) -> Result<Self, String> {
        let value = i128::from(regs.get(self.base)) + i128::from(self.off);
        match u32::try_from(value) {
            Ok(off) => Ok(SAddr::at(off)),
            Err(_) => Err(format!("SRAM address {value}")),
        }
    }
}

impl Field for DAddr {
    const NAME: &'static str = "DAddr";
    fn pack(&self, bits: u32) -> Result<u128, String> {
        pack_based(
            self.base,
            fit(u128::from(self.off), DRAM_BITS.min(bits - REG_BITS))?,
            bits,
        )
    }
    fn unpack(raw: u128, bits: u32) -> Result<Self, String> {
        let (base, rest) = unpack_based(raw, bits)?;
        let off = u64::try_from(rest).map_err(|_| format!("offset {rest}"))?;
        if off >> DRAM_BITS != 0 {
            return Err(format!(
                "offset {off:#x} (DRAM offsets have {DRAM_BITS} bits)"
            ));
        }
        Ok(DAddr { base, off })
    }
    fn print(&self) -> String {
        format!("{{{}}}", print_address(self.base, self.off))
    }
    fn parse(text: &str) -> Result<Self, String> {
        let (base, off) = parse_based(between(text, '{', '}', "a DRAM address")?)?;
        let off = u64::try_from(off).map_err(|_| format!("`{text}` is out of range"))?;
        Ok(DAddr { base, off })
    }
    fn resolve(&self, regs: &Regs) -> Result<Self, String> {
        let value = i128::from(regs.get(self.base)) + i128::from(self.off);
        match u64::try_from(value) {
            Ok(off) if off >> DRAM_BITS == 0 => Ok(DAddr::at(off)),
            _ => Err(format!("DRAM address {value}")),
        }
    }
}

impl Field for Ext {
    const NAME: &'static str = "Ext";
    fn pack(&self, bits: u32) -> Result<u128, String> {
        pack_based(self.clamp, fit(u128::from(self.n), bits - REG_BITS)?, bits)
    }
    fn unpack(raw: u128, bits: u32) -> Result<Self, String> {
        let (clamp, rest) = unpack_based(raw, bits)?;
        Ok(Ext {
            n: u32::try_from(rest).map_err(|_| format!("extent {rest}"))?,
            clamp,
        })
    }
    fn print(&self) -> String {
        match self.clamp {
            Reg::ZERO => self.n.to_string(),
            clamp => format!("{}?r{}", self.n, clamp.0),
        }
    }
    fn parse(text: &str) -> Result<Self, String> {
        match text.split_once('?') {
            None => Ok(Ext::of(parse_uint(text)?)),
            Some((n, clamp)) => Ok(Ext {
                n: parse_uint(n)?,
                clamp: parse_reg(clamp)?,
            }),
        }
    }
    fn resolve(&self, regs: &Regs) -> Result<Self, String> {
        Ok(Ext::of(self.effective(regs)))
    }
}

impl Field for f32 {
    const NAME: &'static str = "f32";
    fn pack(&self, bits: u32) -> Result<u128, String> {
        fit(u128::from(self.to_bits()), bits)
    }
    fn unpack(raw: u128, _bits: u32) -> Result<Self, String> {
        u32::try_from(raw)
            .map(f32::from_bits)
            .map_err(|_| format!("{raw:#x} (f32 has 32 bits)"))
    }
    fn print(&self) -> String {
        if self.is_nan() {
            format!("nan:{:#x}", self.to_bits())
        } else {
            format!("{self:?}")
        }
    }
    fn parse(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not an f32 number");
        match text.strip_prefix("nan:") {
            Some(bits) => {
                let value = f32::from_bits(parse_uint(bits)?);
                if value.is_nan() {
                    Ok(value)
                } else {
                    Err(bad())
                }
            }
            None if text.eq_ignore_ascii_case("nan") => Err(format!(
                "write a NaN with its bits, `nan:{:#x}`",
                f32::NAN.to_bits()
            )),
            None => text.parse().map_err(|_| bad()),
        }
    }
}

impl Field for bool {
    const NAME: &'static str = "bool";
    fn pack(&self, _bits: u32) -> Result<u128, String> {
        Ok(u128::from(*self))
    }
    fn unpack(raw: u128, _bits: u32) -> Result<Self, String> {
        match raw {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(format!("{raw} (a flag is 0 or 1)")),
        }
    }
    fn print(&self) -> String {
        self.to_string()
    }
    fn parse(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|_| format!("`{text}` is neither true nor false"))
    }
}

/// Plain integers.
macro_rules! int_fields {
    ($($ty:ident $pack:expr, $unpack:expr;)*) => {$(
        impl Field for $ty {
            const NAME: &'static str = stringify!($ty);
            fn pack(&self, bits: u32) -> Result<u128, String> {
                let pack: fn($ty, u32) -> Result<u128, String> = $pack;
                pack(*self, bits)
            }
            fn unpack(raw: u128, bits: u32) -> Result<Self, String> {
                let unpack: fn(u128, u32) -> Option<$ty> = $unpack;
                unpack(raw, bits).ok_or_else(|| format!("{raw:#x} is out of range"))
            }
            fn print(&self) -> String {
                self.to_string()
            }
            fn parse(text: &str) -> Result<Self, String> {
                parse_uint(text)
            }
        }
    )*};
}

int_fields! {
    u16 |v, bits| fit(u128::from(v), bits), |raw, _| u16::try_from(raw).ok();
    u32 |v, bits| fit(u128::from(v), bits), |raw, _| u32::try_from(raw).ok();
    i64 |v, bits| fit_signed(v, bits), |raw, bits| i64::try_from(sign_extend(raw, bits)).ok();
}

impl Field for Sem {
    const NAME: &'static str = "Sem";
    fn pack(&self, bits: u32) -> Result<u128, String> {
        fit(u128::from(self.0), bits)
    }
    fn unpack(raw: u128, _bits: u32) -> Result<Self, String> {
        u8::try_from(raw)
            .map(Sem)
            .map_err(|_| format!("semaphore {raw}"))
    }
    fn print(&self) -> String {
        self.0.to_string()
    }
    fn parse(text: &str) -> Result<Self, String> {
        parse_uint(text).map(Sem)
    }
}

/// Closed sets: encoded as their discriminant, written as their name.
macro_rules! set_fields {
    ($($ty:ident),*) => {$(
        impl Field for $ty {
            const NAME: &'static str = stringify!($ty);
            fn pack(&self, bits: u32) -> Result<u128, String> {
                fit(*self as u128, bits)
            }
            fn unpack(raw: u128, _bits: u32) -> Result<Self, String> {
                let found = $ty::ALL.iter().find(|v| **v as u128 == raw);
                found.copied().ok_or_else(|| format!("{raw} ({} has values 0 to {})", stringify!($ty), $ty::ALL.len() - 1))
            }
            fn print(&self) -> String {
                self.name().to_string()
            }
            fn parse(text: &str) -> Result<Self, String> {
                $ty::ALL.iter().find(|v| v.name() == text).copied().ok_or_else(|| {
                    let names: Vec<&str> = $ty::ALL.iter().map(|v| v.name()).collect();
                    format!("`{text}` is none of {}", names.join(", "))
                })
            }
        }
    )*};
}

set_fields!(
    Queue, DType, IndexType, Scope, UnaryFn, BinaryFn, IntFn, QuantFn, ActFn, ReduceFn
);

/// Layout of a packed vector operand, from bit 0: address 32, s0 32, s1 32, flag 1, type the rest.
impl Field for VOp {
    const NAME: &'static str = "VOp";
    fn pack(&self, bits: u32) -> Result<u128, String> {
        let dtype = self.dtype.pack(bits - 97)?;
        let strides = u128::from(self.s0) << 32 | u128::from(self.s1) << 64;
        Ok(self.addr.pack(32)? | strides | u128::from(self.bcast) << 96 | dtype << 97)
    }
    fn unpack(raw: u128, bits: u32) -> Result<Self, String> {
        let part = |at: u32| (raw >> at) & mask(32);
        Ok(VOp {
            addr: SAddr::unpack(part(0), 32)?,
            s0: part(32) as u32,
            s1: part(64) as u32,
            bcast: (raw >> 96) & 1 == 1,
            dtype: DType::unpack(raw >> 97, bits - 97)?,
        })
    }
    fn print(&self) -> String {
        let mut text = format!(
            "{}[{}",
            self.dtype.name(),
            print_address(self.addr.base, u64::from(self.addr.off))
        );
        if self.s0 != 0 || self.s1 != 0 {
            text += &format!(":{}", self.s0);
        }
        if self.s1 != 0 {
            text += &format!(":{}", self.s1);
        }
        if self.bcast {
            text += ":bcast";
        }
        text + "]"
    }
    fn parse(text: &str) -> Result<Self, String> {
        let shape = || {
            format!("`{text}` is not a vector operand, which is written f32[r3+0x100:s0:s1:bcast]")
        };
        let (dtype, rest) = text.split_once('[').ok_or_else(shape)?;
        let mut parts: Vec<&str> = rest
            .strip_suffix(']')
            .ok_or_else(shape)?
            .split(':')
            .collect();
        let bcast = parts.len() > 1 && parts.last() == Some(&"bcast");
        if bcast {
            parts.pop();
        }
        let (address, strides) = match parts.as_slice() {
            [address, strides @ ..] if strides.len() <= 2 => (address, strides),
            _ => return Err(shape()),
        };
        let (base, off) = parse_based(address)?;
        let off = u32::try_from(off).map_err(|_| format!("`{text}` is out of range"))?;
        let stride = |i: usize| strides.get(i).map_or(Ok(0), |s| parse_uint(s));
        Ok(VOp {
            addr: SAddr { base, off },
            s0: stride(0)?,
            s1: stride(1)?,
            dtype: DType::parse(dtype)?,
            bcast,
        })
    }
    fn resolve(&self, regs: &Regs) -> Result<Self, String> {
        Ok(VOp {
            addr: self.addr.resolve(regs)?,
            ..*self
        })
    }
}
