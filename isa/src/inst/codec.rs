//! The machinery between rows and words: the macro that expands the table, and generic encode, decode and resolve.

use super::rows::{Inst, ROWS};
use crate::field::Field;
use crate::operand::Regs;

/// Size of an instruction word in bytes.
pub const WORD_BYTES: usize = 64;

/// One encoded instruction.
pub type Word = [u8; WORD_BYTES];

/// A field of a row, for generators of documents.
#[derive(Clone, Copy, Debug)]
pub struct FieldInfo {
    /// Name, as in the struct and in the text form.
    pub name: &'static str,
    /// Name of the operand type.
    pub ty: &'static str,
    /// First byte in the word.
    pub lo: usize,
    /// One past the last byte in the word.
    pub hi: usize,
    /// Meaning.
    pub doc: &'static str,
}

impl FieldInfo {
    /// Width of the encoding in bits.
    pub const fn bits(&self) -> u32 {
        ((self.hi - self.lo) * 8) as u32
    }
}

/// A row of the instruction table.
#[derive(Clone, Copy, Debug)]
pub struct RowInfo {
    /// Name of the struct and of the variant of [`Inst`].
    pub name: &'static str,
    /// Byte 0 of the word.
    pub opcode: u8,
    /// Mnemonic; ends in a dot if the field `op` completes it.
    pub mnemonic: &'static str,
    /// Engine: `ctl`, `mxu`, `vpu`, `att`, or `queue` if the field `queue` names it.
    pub engine: &'static str,
    /// Lines of documentation; the first is a summary.
    pub doc: &'static [&'static str],
    /// Fields in text order.
    pub fields: &'static [FieldInfo],
}

impl RowInfo {
    /// True if the mnemonic is completed by the field `op`.
    pub fn is_family(&self) -> bool {
        self.mnemonic.ends_with('.')
    }

    /// The row with this opcode.
    pub fn by_opcode(opcode: u8) -> Option<&'static RowInfo> {
        ROWS.iter().find(|row| row.opcode == opcode).copied()
    }

    /// The field with this name.
    pub fn field(&self, name: &str) -> Option<&'static FieldInfo> {
        self.fields.iter().find(|f| f.name == name)
    }
}

/// What the table derives for every instruction struct.
pub trait Row: Sized + Copy + Default {
    /// The row.
    const INFO: &'static RowInfo;
    /// Writes all fields into `word`; the error names the field.
    fn pack(&self, word: &mut Word) -> Result<(), (&'static FieldInfo, String)>;
    /// Reads all fields from `word`; the error names the field.
    fn unpack(word: &Word) -> Result<Self, (&'static FieldInfo, String)>;
    /// The same instruction with registers folded into constants; the error names the field.
    fn resolve(&self, regs: &Regs) -> Result<Self, (&'static FieldInfo, String)>;
    /// Name, text, and "is zero, so left out of assembly text" of each field in row order.
    fn texts(&self) -> Vec<(&'static str, String, bool)>;
    /// Sets the field `name` from text; `None` if there is no such field.
    fn set(&mut self, name: &str, text: &str) -> Option<Result<(), String>>;
}

/// A field value that has no encoding.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{mnemonic}`: field `{field}`: {reason}")]
pub struct EncodeError {
    /// Mnemonic of the instruction.
    pub mnemonic: String,
    /// Name of the field.
    pub field: &'static str,
    /// Offending value and what was expected.
    pub reason: String,
}

/// A word that is no instruction.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bad encoding at byte {at:#x} of the code: {reason}")]
pub struct DecodeError {
    /// Byte position in the code.
    pub at: u64,
    /// Where in the instruction, offending value, and what was expected.
    pub reason: String,
}

/// An operand whose run-time value is out of range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{mnemonic}`: field `{field}` is out of range at run time: {reason}")]
pub struct ResolveError {
    /// Mnemonic of the instruction.
    pub mnemonic: String,
    /// Name of the field.
    pub field: &'static str,
    /// Offending value.
    pub reason: String,
}

/// Reads the bytes `lo..hi` of `word` as an integer.
pub(super) fn get<F: Field>(
    word: &Word,
    field: &'static FieldInfo,
) -> Result<F, (&'static FieldInfo, String)> {
    let mut raw = [0; 16];
    raw[..field.hi - field.lo].copy_from_slice(&word[field.lo..field.hi]);
    F::unpack(u128::from_le_bytes(raw), field.bits()).map_err(|reason| (field, reason))
}

/// Writes `value` to its bytes in `word`.
pub(super) fn put<F: Field>(
    word: &mut Word,
    field: &'static FieldInfo,
    value: &F,
) -> Result<(), (&'static FieldInfo, String)> {
    let raw = value.pack(field.bits()).map_err(|reason| (field, reason))?;
    word[field.lo..field.hi].copy_from_slice(&raw.to_le_bytes()[..field.hi - field.lo]);
    Ok(())
}

/// Encodes an instruction. Fails if a field value is out of the range of its encoding, or not allowed in its row.
pub fn encode(inst: &Inst) -> Result<Word, EncodeError> {
    let error = |(field, reason): (&FieldInfo, String)| EncodeError {
        mnemonic: inst.mnemonic(),
        field: field.name,
        reason,
    };
    let mut word = [0; WORD_BYTES];
    word[0] = inst.row().opcode;
    inst.pack(&mut word).map_err(error)?;
    inst.check().map_err(error)?;
    Ok(word)
}

/// Decodes the instruction in `word`, which lies at byte `pos` of the code. Every word that decodes is the encoding of the
/// instruction it decodes to: undefined opcodes, non-zero unused bytes and field values out of range are errors.
pub fn decode(word: &Word, pos: u64) -> Result<Inst, DecodeError> {
    let undefined = || DecodeError {
        at: pos,
        reason: format!("undefined opcode {:#04x}", word[0]),
    };
    let row = RowInfo::by_opcode(word[0]).ok_or_else(undefined)?;
    let error = |(field, reason): (&FieldInfo, String)| DecodeError {
        at: pos + field.lo as u64,
        reason: format!("field `{}` of `{}`: {reason}", field.name, row.mnemonic),
    };
    for (at, byte) in word.iter().enumerate().skip(1) {
        if *byte != 0 && !row.fields.iter().any(|f| (f.lo..f.hi).contains(&at)) {
            let reason = format!(
                "reserved byte {at} of `{}` is {byte:#04x}, it must be 0",
                row.mnemonic
            );
            return Err(DecodeError {
                at: pos + at as u64,
                reason,
            });
        }
    }
    let inst = Inst::unpack(row.opcode, word)
        .ok_or_else(undefined)?
        .map_err(error)?;
    inst.check().map_err(error)?;
    Ok(inst)
}

/// Expands the instruction table.
macro_rules! instructions {
    ($(
        $(#[doc = $doc:literal])*
        $name:ident $method:ident = $opcode:literal $mnemonic:literal on $engine:ident {
            $($(#[doc = $fdoc:literal])* $field:ident: $ty:ident @ $lo:literal .. $hi:literal,)*
        }
    )*) => {
        $(
            $(#[doc = $doc])*
            #[derive(Clone, Copy, Debug, Default, PartialEq)]
            pub struct $name {
                $($(#[doc = $fdoc])* pub $field: $ty,)*
            }

            impl Row for $name {
                const INFO: &'static RowInfo = &RowInfo {
                    name: stringify!($name),
                    opcode: $opcode,
                    mnemonic: $mnemonic,
                    engine: stringify!($engine),
                    doc: &[$($doc),*],
                    fields: &[$(FieldInfo {
                        name: stringify!($field),
                        ty: <$ty as Field>::NAME,
                        lo: $lo,
                        hi: $hi,
                        doc: concat!($($fdoc),*),
                    }),*],
                };

                #[allow(unused_variables, unused_mut, unused_assignments)]
                fn pack(&self, word: &mut Word) -> Result<(), (&'static FieldInfo, String)> {
                    let mut fields = Self::INFO.fields.iter();
                    $(if let Some(info) = fields.next() { put(word, info, &self.$field)?; })*
                    Ok(())
                }

                #[allow(unused_variables, unused_mut)]
                fn unpack(word: &Word) -> Result<Self, (&'static FieldInfo, String)> {
                    let mut inst = Self::default();
                    let mut fields = Self::INFO.fields.iter();
                    $(if let Some(info) = fields.next() { inst.$field = get(word, info)?; })*
                    Ok(inst)
                }

                #[allow(unused_variables, unused_mut)]
                fn resolve(&self, regs: &Regs) -> Result<Self, (&'static FieldInfo, String)> {
                    let mut inst = *self;
                    let mut fields = Self::INFO.fields.iter();
                    $(if let Some(info) = fields.next() {
                        inst.$field = self.$field.resolve(regs).map_err(|reason| (info, reason))?;
                    })*
                    Ok(inst)
                }

                fn texts(&self) -> Vec<(&'static str, String, bool)> {
                    vec![$((stringify!($field), self.$field.print(), self.$field.is_zero(($hi - $lo) * 8))),*]
                }

                #[allow(unused_variables)]
                fn set(&mut self, name: &str, text: &str) -> Option<Result<(), String>> {
                    match name {
                        $(stringify!($field) => Some(Field::parse(text).map(|value| self.$field = value)),)*
                        _ => None,
                    }
                }
            }

            impl From<$name> for Inst {
                fn from(inst: $name) -> Inst {
                    Inst::$name(inst)
                }
            }
        )*

        /// Any instruction.
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub enum Inst {
            $($(#[doc = $doc])* $name($name),)*
        }

        /// All rows, in the order of the table.
        pub const ROWS: &[&RowInfo] = &[$($name::INFO),*];

        impl Inst {
            /// The row of this instruction.
            pub fn row(&self) -> &'static RowInfo {
                match self { $(Inst::$name(_) => $name::INFO),* }
            }

            /// The instruction of a row with all fields zero; `None` if no row has this opcode.
            pub fn zeroed(opcode: u8) -> Option<Inst> {
                match opcode { $($opcode => Some($name::default().into()),)* _ => None }
            }

            pub(super) fn pack(&self, word: &mut Word) -> Result<(), (&'static FieldInfo, String)> {
                match self { $(Inst::$name(i) => i.pack(word)),* }
            }

            /// The fields of `word`; `None` if no row has this opcode.
            pub(super) fn unpack(opcode: u8, word: &Word) -> Option<Result<Inst, (&'static FieldInfo, String)>> {
                match opcode { $($opcode => Some($name::unpack(word).map(Inst::$name)),)* _ => None }
            }

            /// The engine queue this instruction is pushed to; `None` if `ctl` executes it itself.
            pub fn queue(&self) -> Option<Queue> {
                match self { $(Inst::$name(i) => engine_of!(i, $engine)),* }
            }

            /// The same instruction with base and clamp registers folded into constants and `r0` in their place. Destination
            /// and source registers of `ctl` instructions stay.
            pub fn resolve(&self, regs: &Regs) -> Result<Inst, ResolveError> {
                let result = match self { $(Inst::$name(i) => i.resolve(regs).map(Inst::$name)),* };
                result.map_err(|(field, reason)| ResolveError { mnemonic: self.mnemonic(), field: field.name, reason })
            }

            /// Name, text, and "is zero, so left out of assembly text" of each field in row order.
            pub fn texts(&self) -> Vec<(&'static str, String, bool)> {
                match self { $(Inst::$name(i) => i.texts()),* }
            }

            /// Sets the field `name` from text; `None` if there is no such field.
            pub fn set(&mut self, name: &str, text: &str) -> Option<Result<(), String>> {
                match self { $(Inst::$name(i) => i.set(name, text)),* }
            }
        }

        /// One method per instruction: what an executor of programs must provide.
        pub trait Execute {
            /// What each method returns.
            type Output;
            $($(#[doc = $doc])* fn $method(&mut self, inst: &$name) -> Self::Output;)*

            /// Calls the method of `inst`.
            fn execute(&mut self, inst: &Inst) -> Self::Output {
                match inst { $(Inst::$name(i) => self.$method(i)),* }
            }
        }
    };
}

/// The engine of a row as an expression.
macro_rules! engine_of {
    ($inst:ident, ctl) => {{
        let _ = $inst;
        None
    }};
    ($inst:ident, queue) => {
        Some($inst.queue)
    };
    ($inst:ident, mxu) => {{
        let _ = $inst;
        Some(Queue::Mxu)
    }};
    ($inst:ident, vpu) => {{
        let _ = $inst;
        Some(Queue::Vpu)
    }};
    ($inst:ident, att) => {{
        let _ = $inst;
        Some(Queue::Att)
    }};
}

pub(super) use {engine_of, instructions};
