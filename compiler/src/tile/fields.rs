//! The text of ops: one row per kind of op, from which both its printer and its parser come.
//!
//! An op is `queue mnemonic field=value field=value ..`, fields in the order of the row. Strides and flags that are zero
//! and copies' extents that are all 1 are left out.

use llmc_isa::{DType, Queue};

use super::expr::Expr;
use super::parse::{ParseError, Parser};
use super::print::Names;
use super::program::*;

/// A type that can be a field of an op.
trait Field: Sized {
    fn print(&self, names: &Names) -> String;
    fn parse(p: &mut Parser) -> Result<Self, ParseError>;
    /// The value that is left out of the text, if there is one.
    fn omitted() -> Option<Self> {
        None
    }
    fn is_omitted(&self) -> bool {
        false
    }
}

impl Field for u32 {
    fn print(&self, _: &Names) -> String {
        self.to_string()
    }
    fn parse(p: &mut Parser) -> Result<Self, ParseError> {
        p.number()
    }
    fn omitted() -> Option<Self> {
        Some(0)
    }
    fn is_omitted(&self) -> bool {
        *self == 0
    }
}

impl Field for bool {
    fn print(&self, _: &Names) -> String {
        if *self { "yes" } else { "no" }.into()
    }
    fn parse(p: &mut Parser) -> Result<Self, ParseError> {
        p.one_of(&[("yes", true), ("no", false)])
    }
    fn omitted() -> Option<Self> {
        Some(false)
    }
    fn is_omitted(&self) -> bool {
        !*self
    }
}

impl Field for f32 {
    fn print(&self, _: &Names) -> String {
        format!("{self:?}")
    }
    fn parse(p: &mut Parser) -> Result<Self, ParseError> {
        p.float()
    }
    fn omitted() -> Option<Self> {
        Some(0.0)
    }
    fn is_omitted(&self) -> bool {
        self.to_bits() == 0
    }
}

impl Field for DType {
    fn print(&self, _: &Names) -> String {
        self.name().into()
    }
    fn parse(p: &mut Parser) -> Result<Self, ParseError> {
        p.dtype()
    }
}

impl Field for Expr {
    fn print(&self, names: &Names) -> String {
        names.expr(self)
    }
    fn parse(p: &mut Parser) -> Result<Self, ParseError> {
        p.expr()
    }
}

impl Field for View {
    fn print(&self, names: &Names) -> String {
        format!("{}[{}]", names.place(self.place), names.expr(&self.offset))
    }
    fn parse(p: &mut Parser) -> Result<Self, ParseError> {
        let place = p.place()?;
        p.mark('[')?;
        let offset = p.expr()?;
        p.mark(']')?;
        Ok(View { place, offset })
    }
}

impl Field for Extent {
    fn print(&self, names: &Names) -> String {
        match &self.clamp {
            None => self.n.to_string(),
            Some(e) => format!("{}?{}", self.n, names.expr(e)),
        }
    }
    fn parse(p: &mut Parser) -> Result<Self, ParseError> {
        let n = p.number()?;
        let clamp = if p.eat_mark('?') {
            Some(p.expr()?)
        } else {
            None
        };
        Ok(Extent { n, clamp })
    }
}

impl Field for [Extent; 3] {
    fn print(&self, names: &Names) -> String {
        format!(
            "[{}, {}, {}]",
            self[0].print(names),
            self[1].print(names),
            self[2].print(names)
        )
    }
    fn parse(p: &mut Parser) -> Result<Self, ParseError> {
        three(p, Extent::parse)
    }
    fn omitted() -> Option<Self> {
        Some([1.into(), 1.into(), 1.into()])
    }
    fn is_omitted(&self) -> bool {
        self.iter().all(|e| *e == Extent::from(1))
    }
}

impl Field for [u32; 3] {
    fn print(&self, _: &Names) -> String {
        format!("[{}, {}, {}]", self[0], self[1], self[2])
    }
    fn parse(p: &mut Parser) -> Result<Self, ParseError> {
        three(p, u32::parse)
    }
    fn omitted() -> Option<Self> {
        Some([0; 3])
    }
    fn is_omitted(&self) -> bool {
        *self == [0; 3]
    }
}

fn three<T>(
    p: &mut Parser,
    item: impl Fn(&mut Parser) -> Result<T, ParseError>,
) -> Result<[T; 3], ParseError> {
    p.mark('[')?;
    let a = item(p)?;
    p.mark(',')?;
    let b = item(p)?;
    p.mark(',')?;
    let c = item(p)?;
    p.mark(']')?;
    Ok([a, b, c])
}

/// `place[offset]:s0:s1:dtype`, then `:bcast`; strides that are both 0 and `f32` are left out.
impl Field for Operand {
    fn print(&self, names: &Names) -> String {
        let mut out = self.view.print(names);
        if (self.s0, self.s1) != (0, 0) {
            out += &format!(":{}:{}", self.s0, self.s1);
        }
        if self.dtype != DType::F32 {
            out += &format!(":{}", self.dtype.name());
        }
        out + if self.bcast { ":bcast" } else { "" }
    }
    fn parse(p: &mut Parser) -> Result<Self, ParseError> {
        let mut out = Operand {
            view: View::parse(p)?,
            s0: 0,
            s1: 0,
            dtype: DType::F32,
            bcast: false,
        };
        while p.eat_mark(':') {
            if p.at_number() {
                out.s0 = p.number()?;
                p.mark(':')?;
                out.s1 = p.number()?;
            } else if p.eat_word("bcast") {
                out.bcast = true;
            } else {
                out.dtype = p.dtype()?;
            }
        }
        Ok(out)
    }
}

/// A set of functions, each with the word that the assembler has for it.
trait Word: Sized + std::marker::Copy + 'static {
    const ALL: &'static [Self];
    fn word(self) -> &'static str;
    fn of(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|f| f.word() == word)
    }
}

macro_rules! words {
    ($($ty:ident)+) => {$(
        impl Word for $ty {
            const ALL: &'static [$ty] = $ty::ALL;
            fn word(self) -> &'static str {
                self.name()
            }
        }
    )+};
}

words!(BinaryFn UnaryFn ReduceFn IntFn QuantFn);

macro_rules! print_fields {
    ($out:ident, $names:ident, $($field:ident)+) => {
        $(if !$field.is_omitted() {
            $out += concat!(" ", stringify!($field), "=");
            $out += &$field.print($names);
        })+
    };
}

fn parse_field<T: Field>(p: &mut Parser, name: &str) -> Result<T, ParseError> {
    if p.eat_key(name) {
        return T::parse(p);
    }
    T::omitted().ok_or_else(|| p.expected(&format!("`{name}=`")))
}

/// Makes printer and parser from rows `mnemonic Variant(Copy)`, `mnemonic Variant { fields }` and
/// `words of Fn: Variant { fields }`, where the mnemonic is the word of the variant's field `op`.
macro_rules! rows {
    (
        copies { $($cword:literal $copy:ident,)+ }
        words { $($fn:ident $wvariant:ident { $($wfield:ident)+ })+ }
        plain { $($pword:literal $variant:ident { $($field:ident)+ })+ }
    ) => {
        fn print_kind(kind: &OpKind, names: &Names) -> String {
            match kind {
                $(OpKind::$copy(Copy { dst, dst_s, src, src_s, n, bytes }) => {
                    let mut out = String::from($cword);
                    print_fields!(out, names, dst dst_s src src_s n bytes);
                    out
                })+
                $(OpKind::$wvariant { op, $($wfield),+ } => {
                    let mut out = String::from(op.word());
                    print_fields!(out, names, $($wfield)+);
                    out
                })+
                $(OpKind::$variant { $($field),+ } => {
                    let mut out = String::from($pword);
                    print_fields!(out, names, $($field)+);
                    out
                })+
            }
        }

        fn parse_kind(p: &mut Parser, mnemonic: &str) -> Result<Option<OpKind>, ParseError> {
            match mnemonic {
                $($cword => return Ok(Some(OpKind::$copy(Copy {
                    dst: parse_field(p, "dst")?,
                    dst_s: parse_field(p, "dst_s")?,
                    src: parse_field(p, "src")?,
                    src_s: parse_field(p, "src_s")?,
                    n: parse_field(p, "n")?,
                    bytes: parse_field(p, "bytes")?,
                }))),)+
                $($pword => return Ok(Some(OpKind::$variant {
                    $($field: parse_field(p, stringify!($field))?),+
                })),)+
                _ => {}
            }
            $(if let Some(op) = $fn::of(mnemonic) {
                return Ok(Some(OpKind::$wvariant { op, $($wfield: parse_field(p, stringify!($wfield))?),+ }));
            })+
            Ok(None)
        }
    };
}

rows! {
    copies {
        "load" Load,
        "store" Store,
        "push_all" PushAll,
        "all_gather" AllGather,
    }
    words {
        BinaryFn Binary { dst a b n }
        UnaryFn Unary { dst a n scale bias }
        ReduceFn Reduce { dst a n }
        IntFn Int { dst a b n }
        QuantFn Quant { dst a scale zero n }
    }
    plain {
        "gather" Gather { dst dst_s0 index index_i64 count table row_stride bytes rows }
        "scatter" Scatter { src src_s0 index index_i64 count table row_stride bytes rows }
        "matmul" MatMul { dst dst_s0 a a_s0 b b_panel m n k a_type b_type acc }
        "matmul_codes" MatMulCodes {
            dst dst_s0 a a_s0 b b_panel scale scale_panel zero zero_panel m n k group b_type scale_type acc zeros
        }
        "fill" Fill { dst n value }
        "select" Select { dst a b mask n }
        "att_init" AttInit { state rows heads d sink sinks }
        "att_step" AttStep {
            state q q_s0 q_s1 k k_s0 v v_s0 rows heads d kv q_pos kv_pos scale causal window softcap kv_type
        }
        "att_round" AttRound {
            state q q_s0 q_s1 k k_s0 v v_s0 rows heads d kv q_pos kv_pos by causal window weigh kv_type
        }
        "att_fin" AttFin { dst dst_s0 dst_s1 state rows heads d weighed }
    }
}

/// The op as one line, without its origin.
pub(super) fn print_op(op: &Op, names: &Names) -> String {
    format!("{} {}", op.queue.name(), print_kind(&op.kind, names))
}

/// Reads an op whose queue has been read.
pub(super) fn parse_op(p: &mut Parser, queue: Queue) -> Result<Op, ParseError> {
    let here = p.mark_position();
    let mnemonic = p.word()?;
    let kind = parse_kind(p, &mnemonic)?
        .ok_or_else(|| here.error(format!("no op is called `{mnemonic}`")))?;
    p.mark('@')?;
    Ok(Op {
        queue,
        kind,
        origin: OriginId(p.number()?),
    })
}
