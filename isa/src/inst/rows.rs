//! The rows. Lines of a row's documentation after the first say what it does, as pseudo-code where that is shorter.

use super::codec::{
    FieldInfo, ResolveError, Row, RowInfo, Word, engine_of, get, instructions, put,
};
use crate::field::Field;
use crate::operand::*;

instructions! {
    // --- ctl: executed by the controller itself ----------------------------------------------------------------------

    /// Loads a constant.
    /// `rd = imm`
    CtlLi ctl_li = 0x01 "ctl.li" on ctl {
        /// Destination.
        rd: Reg @ 1..2,
        /// Value.
        imm: i64 @ 8..16,
    }

    /// Adds a constant.
    /// `rd = ra + imm` (wrapping)
    CtlAddi ctl_addi = 0x02 "ctl.addi" on ctl {
        /// Destination.
        rd: Reg @ 1..2,
        /// Operand.
        ra: Reg @ 2..3,
        /// Constant added.
        imm: i64 @ 8..16,
    }

    /// Multiplies by a constant and adds a register.
    /// `rd = ra * imm + rb` (wrapping)
    CtlMadd ctl_madd = 0x03 "ctl.madd" on ctl {
        /// Destination.
        rd: Reg @ 1..2,
        /// Multiplied operand.
        ra: Reg @ 2..3,
        /// Constant factor.
        imm: i64 @ 8..16,
        /// Added operand.
        rb: Reg @ 3..4,
    }

    /// Adds.
    /// `rd = ra + rb` (wrapping)
    CtlAdd ctl_add = 0x04 "ctl.add" on ctl {
        /// Destination.
        rd: Reg @ 1..2,
        /// First operand.
        ra: Reg @ 2..3,
        /// Second operand.
        rb: Reg @ 3..4,
    }

    /// Subtracts.
    /// `rd = ra - rb` (wrapping)
    CtlSub ctl_sub = 0x05 "ctl.sub" on ctl {
        /// Destination.
        rd: Reg @ 1..2,
        /// First operand.
        ra: Reg @ 2..3,
        /// Second operand.
        rb: Reg @ 3..4,
    }

    /// Multiplies.
    /// `rd = ra * rb` (wrapping)
    CtlMul ctl_mul = 0x06 "ctl.mul" on ctl {
        /// Destination.
        rd: Reg @ 1..2,
        /// First operand.
        ra: Reg @ 2..3,
        /// Second operand.
        rb: Reg @ 3..4,
    }

    /// Takes the smaller value.
    /// `rd = min(ra, rb)`
    CtlMin ctl_min = 0x07 "ctl.min" on ctl {
        /// Destination.
        rd: Reg @ 1..2,
        /// First operand.
        ra: Reg @ 2..3,
        /// Second operand.
        rb: Reg @ 3..4,
    }

    /// Takes the larger value.
    /// `rd = max(ra, rb)`
    CtlMax ctl_max = 0x08 "ctl.max" on ctl {
        /// Destination.
        rd: Reg @ 1..2,
        /// First operand.
        ra: Reg @ 2..3,
        /// Second operand.
        rb: Reg @ 3..4,
    }

    /// Divides by a positive constant, rounding down.
    /// `rd = floor(ra / imm)`
    CtlDiv ctl_div = 0x09 "ctl.div" on ctl {
        /// Destination.
        rd: Reg @ 1..2,
        /// Dividend.
        ra: Reg @ 2..3,
        /// Divisor, above 0.
        imm: i64 @ 8..16,
    }

    /// Takes the remainder of a division by a positive constant.
    /// `rd = ra - floor(ra / imm) * imm`, between 0 and imm - 1
    CtlMod ctl_mod = 0x0a "ctl.mod" on ctl {
        /// Destination.
        rd: Reg @ 1..2,
        /// Dividend.
        ra: Reg @ 2..3,
        /// Divisor, above 0.
        imm: i64 @ 8..16,
    }

    /// Reads a launch register, which the host sets before the launch.
    /// `rd = launch[index]`; a fault if the entry declares fewer launch registers.
    CtlLaunch ctl_launch = 0x0b "ctl.launch" on ctl {
        /// Destination.
        rd: Reg @ 1..2,
        /// Number of the launch register.
        index: u16 @ 2..4,
    }

    /// Reads the number of this core.
    /// `rd = core`, between 0 and cores - 1
    CtlCore ctl_core = 0x0c "ctl.core" on ctl {
        /// Destination.
        rd: Reg @ 1..2,
    }

    /// Repeats the following instructions.
    /// The next `body` instructions run `max(regs[count], 0)` times, with no cost per turn.
    /// The count is read once. Loops nest up to 8 deep; a body ends within the body around it and within the entry.
    /// A count of 0 or 1, which `ctl.min`, `ctl.max` and arithmetic make of any condition, is an `if`; there is no other branch.
    CtlLoop ctl_loop = 0x0d "ctl.loop" on ctl {
        /// Register with the number of turns.
        count: Reg @ 1..2,
        /// Number of instructions in the body, above 0.
        body: u32 @ 4..8,
    }

    /// Ends the program of this core.
    /// The launch is over when all cores have halted and all queues are empty; then every semaphore must be 0.
    CtlHalt ctl_halt = 0x0e "ctl.halt" on ctl {}

    // --- sem: run in the queue of an engine --------------------------------------------------------------------------

    /// Blocks a queue until a semaphore of this core has `n` tokens, and takes them.
    /// `wait until sem >= n; sem -= n`
    SemWait sem_wait = 0x10 "sem.wait" on queue {
        /// Queue that waits.
        queue: Queue @ 1..2,
        /// Semaphore.
        sem: Sem @ 2..3,
        /// Tokens taken, above 0.
        n: u16 @ 4..6,
    }

    /// Adds `n` tokens to a semaphore once all earlier instructions of the queue have completed.
    /// `sem += n` on this core, on all cores, or on one; more than 65535 tokens are a fault.
    /// A post arrives at another core after the pushes that precede it in the same queue.
    SemPost sem_post = 0x11 "sem.post" on queue {
        /// Queue that posts.
        queue: Queue @ 1..2,
        /// Semaphore.
        sem: Sem @ 2..3,
        /// Tokens added, above 0.
        n: u16 @ 4..6,
        /// Cores that receive them.
        scope: Scope @ 3..4,
        /// The receiving core if `scope` is `core`.
        core: Val @ 8..12,
    }

    // --- dma ---------------------------------------------------------------------------------------------------------

    /// Copies from DRAM to SRAM.
    /// `for i0 < n0, i1 < n1, i2 < n2: dst[i0*dst_s0 + i1*dst_s1 + i2*dst_s2 ..][..bytes] = src[likewise][..bytes]`
    DmaLoad dma_load = 0x20 "dma.load" on queue {
        /// Engine, `dma0` or `dma1`.
        queue: Queue @ 1..2,
        /// Destination in SRAM.
        dst: SAddr @ 4..8,
        /// Bytes between destination blocks, outermost dimension.
        dst_s0: u32 @ 8..12,
        /// Bytes between destination blocks, second dimension.
        dst_s1: u32 @ 12..16,
        /// Bytes between destination blocks, third dimension.
        dst_s2: u32 @ 16..20,
        /// Source in DRAM.
        src: DAddr @ 20..28,
        /// Bytes between source blocks, outermost dimension.
        src_s0: u32 @ 28..32,
        /// Bytes between source blocks, second dimension.
        src_s1: u32 @ 32..36,
        /// Bytes between source blocks, third dimension.
        src_s2: u32 @ 36..40,
        /// Outermost extent.
        n0: Ext @ 40..44,
        /// Second extent.
        n1: Ext @ 44..48,
        /// Third extent.
        n2: Ext @ 48..52,
        /// Bytes of a contiguous block.
        bytes: Ext @ 52..56,
    }

    /// Copies from SRAM to DRAM.
    /// As `dma.load`, with the memories exchanged. Blocks of the destination must not overlap.
    DmaStore dma_store = 0x21 "dma.store" on queue {
        /// Engine, `dma0` or `dma1`.
        queue: Queue @ 1..2,
        /// Destination in DRAM.
        dst: DAddr @ 4..12,
        /// Bytes between destination blocks, outermost dimension.
        dst_s0: u32 @ 12..16,
        /// Bytes between destination blocks, second dimension.
        dst_s1: u32 @ 16..20,
        /// Bytes between destination blocks, third dimension.
        dst_s2: u32 @ 20..24,
        /// Source in SRAM.
        src: SAddr @ 24..28,
        /// Bytes between source blocks, outermost dimension.
        src_s0: u32 @ 28..32,
        /// Bytes between source blocks, second dimension.
        src_s1: u32 @ 32..36,
        /// Bytes between source blocks, third dimension.
        src_s2: u32 @ 36..40,
        /// Outermost extent.
        n0: Ext @ 40..44,
        /// Second extent.
        n1: Ext @ 44..48,
        /// Third extent.
        n2: Ext @ 48..52,
        /// Bytes of a contiguous block.
        bytes: Ext @ 52..56,
    }

    /// Copies from this core's SRAM to the SRAM of this core, of one core, or of all cores (multicast).
    /// As `dma.load`; `dst` is the same address on every receiving core, and a `post` of the same queue follows the data.
    DmaPush dma_push = 0x22 "dma.push" on queue {
        /// Engine, `dma0` or `dma1`.
        queue: Queue @ 1..2,
        /// Destination in the SRAM of each receiving core.
        dst: SAddr @ 4..8,
        /// Bytes between destination blocks, outermost dimension.
        dst_s0: u32 @ 8..12,
        /// Bytes between destination blocks, second dimension.
        dst_s1: u32 @ 12..16,
        /// Bytes between destination blocks, third dimension.
        dst_s2: u32 @ 16..20,
        /// Source in this core's SRAM.
        src: SAddr @ 20..24,
        /// Bytes between source blocks, outermost dimension.
        src_s0: u32 @ 24..28,
        /// Bytes between source blocks, second dimension.
        src_s1: u32 @ 28..32,
        /// Bytes between source blocks, third dimension.
        src_s2: u32 @ 32..36,
        /// Outermost extent.
        n0: Ext @ 40..44,
        /// Second extent.
        n1: Ext @ 44..48,
        /// Third extent.
        n2: Ext @ 48..52,
        /// Bytes of a contiguous block.
        bytes: Ext @ 52..56,
        /// Cores that receive the data.
        scope: Scope @ 2..3,
        /// The receiving core if `scope` is `core`.
        core: Val @ 56..60,
    }

    /// Copies rows of a table in DRAM, chosen by a list of indices in SRAM.
    /// `for i < count: dst[i*dst_s0 ..][..bytes] = table[index[i]*row_stride ..][..bytes]`
    /// An index below 0 or not below `rows` is a fault.
    DmaGather dma_gather = 0x23 "dma.gather" on queue {
        /// Engine, `dma0` or `dma1`.
        queue: Queue @ 1..2,
        /// Destination in SRAM.
        dst: SAddr @ 4..8,
        /// Bytes between destination rows.
        dst_s0: u32 @ 8..12,
        /// Index list in SRAM, contiguous.
        index: SAddr @ 12..16,
        /// Type of an index.
        index_type: IndexType @ 2..3,
        /// Number of indices.
        count: Ext @ 16..20,
        /// Row 0 of the table in DRAM.
        table: DAddr @ 20..28,
        /// Bytes between table rows.
        row_stride: u32 @ 28..32,
        /// Bytes copied of each row.
        bytes: u32 @ 32..36,
        /// Number of table rows.
        rows: u32 @ 36..40,
    }

    /// Copies rows from SRAM to rows of a table in DRAM, chosen by a list of indices in SRAM: the inverse of `dma.gather`.
    /// `for i < count: table[index[i]*row_stride ..][..bytes] = src[i*src_s0 ..][..bytes]`, i ascending: of equal indices the last wins.
    /// An index below 0 or not below `rows` is a fault.
    DmaScatter dma_scatter = 0x24 "dma.scatter" on queue {
        /// Engine, `dma0` or `dma1`.
        queue: Queue @ 1..2,
        /// Source in SRAM.
        src: SAddr @ 4..8,
        /// Bytes between source rows.
        src_s0: u32 @ 8..12,
        /// Index list in SRAM, contiguous.
        index: SAddr @ 12..16,
        /// Type of an index.
        index_type: IndexType @ 2..3,
        /// Number of indices.
        count: Ext @ 16..20,
        /// Row 0 of the table in DRAM.
        table: DAddr @ 20..28,
        /// Bytes between table rows.
        row_stride: u32 @ 28..32,
        /// Bytes copied of each row.
        bytes: u32 @ 32..36,
        /// Number of table rows.
        rows: u32 @ 36..40,
    }

    // --- mxu ---------------------------------------------------------------------------------------------------------

    /// Multiplies two matrices into f32.
    /// `C[m,n] = (acc ? C[m,n] : 0) + A[m,k] x B[k,n]`
    /// B lies in panels of 16 columns: panel p at `b + p*b_panel_stride` holds k rows of 16 elements each, contiguous. If n is no
    /// multiple of 16, the surplus columns of the last panel are read but not written.
    /// Each element of C is one chain in f32, k ascending: `c = fma(a[k], b[k], c)`. bf16 operands are widened exactly;
    /// if B is bf16 and A is f32, A is first rounded to bf16 (to nearest, ties to even), as a bf16 array does.
    /// Both types are f32 or bf16; the others are those of `mxu.mmq`.
    MxuMm mxu_mm = 0x30 "mxu.mm" on mxu {
        /// C, f32, columns contiguous.
        dst: SAddr @ 4..8,
        /// Bytes between rows of C.
        dst_s0: u32 @ 8..12,
        /// A, k contiguous.
        a: SAddr @ 12..16,
        /// Bytes between rows of A.
        a_s0: u32 @ 16..20,
        /// B, panel 0.
        b: SAddr @ 20..24,
        /// Bytes between panels of B.
        b_panel_stride: u32 @ 24..28,
        /// Rows of A and C.
        m: Ext @ 28..32,
        /// Columns of B and C.
        n: Ext @ 32..36,
        /// Columns of A, rows of B.
        k: Ext @ 36..40,
        /// Element type of A.
        a_type: DType @ 1..2,
        /// Element type of B.
        b_type: DType @ 2..3,
        /// Add to C instead of overwriting it.
        acc: bool @ 3..4,
    }

    /// Multiplies by a quantised matrix: codes with scales per column or per group of k.
    /// `C[m,n] = (acc ? C[m,n] : 0) + sum over groups t of scale[t,n] * sum over k in t of A[m,k] * (B[k,n] - zero[t,n])`
    /// B lies in panels of 16 columns: panel p at `b + p*b_panel_stride` holds `[k/4][16][4]` codes: four consecutive k of column 0,
    /// the same four of column 1, .., then the next four k. Codes are packed, the first in the lowest bits. k is a multiple of 64.
    /// Scales of panel p are `[groups][16]` at `scale + p*scale_panel_stride`, may be negative, and are widened to f32 exactly; zero points
    /// are i8, `[groups][16]` at `zero + p*zero_panel_stride`, and 0 without `zeros`. A group has `group` k, or all if that is 0.
    /// Surplus columns of the last panel are read but not written. Each element is one chain over the groups in ascending order:
    /// A of i8 (B of integers): `s = sum of a[k] * (b[k] - zero)` in i32, exact up to k = 65793, wrapping; `c = fma(f32(s) * a_scale[m], scale, c)`.
    /// A of floats, widened exactly: `s = 0; for k ascending: s = fma(a[k], f32(b[k] - zero), s)`; then `c = fma(s, scale, c)`.
    /// As groups are one chain, a product may be cut between groups into several instructions with `acc`, and gives the same bits.
    MxuMmq mxu_mmq = 0x31 "mxu.mmq" on mxu {
        /// C, f32, columns contiguous.
        dst: SAddr @ 4..8,
        /// Bytes between rows of C.
        dst_s0: u32 @ 8..12,
        /// A, k contiguous.
        a: SAddr @ 12..16,
        /// Bytes between rows of A.
        a_s0: u32 @ 16..20,
        /// Scales of the rows of A, f32, contiguous; read if A is i8.
        a_scale: SAddr @ 20..24,
        /// B, panel 0.
        b: SAddr @ 24..28,
        /// Bytes between panels of B.
        b_panel_stride: u32 @ 28..32,
        /// Scales of B, panel 0.
        scale: SAddr @ 32..36,
        /// Bytes between panels of scales.
        scale_panel_stride: u32 @ 36..40,
        /// Zero points of B, panel 0.
        zero: SAddr @ 40..44,
        /// Bytes between panels of zero points.
        zero_panel_stride: u32 @ 44..48,
        /// Rows of A and C.
        m: Ext @ 48..52,
        /// Columns of B and C.
        n: Ext @ 52..56,
        /// Columns of A, rows of B; a multiple of 64.
        k: u32 @ 56..60,
        /// Rows of B that share a scale, a multiple of 16 that divides k; 0 for all.
        group: u16 @ 60..62,
        /// Element type of A: i8, or a float type.
        a_type: DType @ 1..2,
        /// Type of the codes: i8, i4, i2, f8e4m3 or f8e5m2; an integer if A is one.
        b_type: DType @ 2..3,
        /// Type of the scales of B: f32, bf16 or f16.
        scale_type: DType @ 3..4,
        /// Add to C instead of overwriting it.
        acc: bool @ 62..63,
        /// B has zero points; not with float codes.
        zeros: bool @ 63..64,
    }

    /// Takes accumulators out of the matrix unit: bias, activation, and conversion or requantisation.
    /// `x = act(C[m,n] + (biased ? bias[n] : 0)); dst[m,n] = scaled ? x / scale[m] : x`, rounded to the type of dst
    /// ([`crate::numerics::convert`]): integers to nearest, ties to even, saturating.
    MxuDrain mxu_drain = 0x32 "mxu.drain" on mxu {
        /// Result, columns contiguous.
        dst: SAddr @ 4..8,
        /// Bytes between rows of the result.
        dst_s0: u32 @ 8..12,
        /// C, f32, columns contiguous.
        src: SAddr @ 12..16,
        /// Bytes between rows of C.
        src_s0: u32 @ 16..20,
        /// Bias of each column, f32, contiguous.
        bias: SAddr @ 20..24,
        /// Scale of each row of the result, f32, contiguous.
        scale: SAddr @ 24..28,
        /// Rows.
        m: Ext @ 28..32,
        /// Columns.
        n: Ext @ 32..36,
        /// Element type of the result.
        dst_type: DType @ 1..2,
        /// Activation.
        act: ActFn @ 2..3,
        /// Add the bias.
        biased: bool @ 3..4,
        /// Divide by the scale.
        scaled: bool @ 36..37,
    }

    // --- vpu: [n0][n1][n2] elements, f32 arithmetic, operands converted on read and write ------------------------------

    /// Applies a function to each element.
    /// `dst[i0,i1,i2] = f(fma(a[i0,i1,i2], scale, bias))`
    VpuUnary vpu_unary = 0x40 "vpu." on vpu {
        /// Function.
        op: UnaryFn @ 1..2,
        /// Result.
        dst: VOp @ 4..17,
        /// Operand.
        a: VOp @ 17..30,
        /// Factor applied to the operand; 1 for none.
        scale: f32 @ 44..48,
        /// Constant added to the scaled operand.
        bias: f32 @ 48..52,
        /// Outermost extent.
        n0: Ext @ 52..56,
        /// Middle extent.
        n1: Ext @ 56..60,
        /// Innermost extent.
        n2: Ext @ 60..64,
    }

    /// Combines two operands element by element.
    /// `dst[i0,i1,i2] = f(a[i0,i1,i2], b[i0,i1,i2])`
    VpuBinary vpu_binary = 0x41 "vpu." on vpu {
        /// Function.
        op: BinaryFn @ 1..2,
        /// Result.
        dst: VOp @ 4..17,
        /// First operand.
        a: VOp @ 17..30,
        /// Second operand.
        b: VOp @ 30..43,
        /// Outermost extent.
        n0: Ext @ 52..56,
        /// Middle extent.
        n1: Ext @ 56..60,
        /// Innermost extent.
        n2: Ext @ 60..64,
    }

    /// Writes a constant to each element.
    /// `dst[i0,i1,i2] = value`
    VpuFill vpu_fill = 0x42 "vpu.fill" on vpu {
        /// Result.
        dst: VOp @ 4..17,
        /// Value.
        value: f32 @ 44..48,
        /// Outermost extent.
        n0: Ext @ 52..56,
        /// Middle extent.
        n1: Ext @ 56..60,
        /// Innermost extent.
        n2: Ext @ 60..64,
    }

    /// Reduces the innermost dimension.
    /// `dst[i0,i1,0] = reduce over i2 of a[i0,i1,i2]`
    /// Eight lanes: lane j takes the elements j, j+8, .. in ascending order; then `((l0+l4)+(l2+l6)) + ((l1+l5)+(l3+l7))`.
    /// Lanes start at 0 (`maxr`: -inf, `minr`: inf); `sumsq` accumulates `fma(x, x, lane)`, `absmax` `max(abs(x), lane)`.
    /// `prod` starts at 1 and combines with `*`. `argmax` is the index of the first element above all before it and -inf,
    /// `argmin` of the first below all before it and inf, 0 if there is none; both exact if dst is i32.
    VpuReduce vpu_reduce = 0x43 "vpu." on vpu {
        /// Reduction.
        op: ReduceFn @ 1..2,
        /// Result, one element per (i0, i1).
        dst: VOp @ 4..17,
        /// Operand.
        a: VOp @ 17..30,
        /// Outermost extent.
        n0: Ext @ 52..56,
        /// Middle extent.
        n1: Ext @ 56..60,
        /// Innermost extent, reduced.
        n2: Ext @ 60..64,
    }

    /// Combines two integer operands element by element, exactly.
    /// `dst[i0,i1,i2] = f(a[i0,i1,i2], b[i0,i1,i2])` in 32-bit two's complement; a narrower dst takes the nearest of its range.
    /// All operands have integer types.
    VpuInt vpu_int = 0x44 "vpu." on vpu {
        /// Function.
        op: IntFn @ 1..2,
        /// Result.
        dst: VOp @ 4..17,
        /// First operand.
        a: VOp @ 17..30,
        /// Second operand.
        b: VOp @ 30..43,
        /// Outermost extent.
        n0: Ext @ 52..56,
        /// Middle extent.
        n1: Ext @ 56..60,
        /// Innermost extent.
        n2: Ext @ 60..64,
    }

    /// Chooses between two operands element by element.
    /// `dst[i0,i1,i2] = mask[i0,i1,i2] != 0 ? a[i0,i1,i2] : b[i0,i1,i2]`
    /// If dst, a and b are integers, elements are not rounded to f32 on the way.
    VpuSelect vpu_select = 0x45 "vpu.select" on vpu {
        /// Result.
        dst: VOp @ 1..14,
        /// Taken where the mask is not 0 (NaN is not 0).
        a: VOp @ 14..27,
        /// Taken where the mask is 0.
        b: VOp @ 27..40,
        /// Mask, of any type.
        mask: VOp @ 40..53,
        /// Outermost extent.
        n0: Ext @ 53..56,
        /// Middle extent.
        n1: Ext @ 56..60,
        /// Innermost extent.
        n2: Ext @ 60..64,
    }

    /// Converts between numbers and integer codes.
    /// `quant: dst = round(a / scale)`; `quantz: dst = round(a / scale) + zero`; `dequant: dst = a * scale`;
    /// `dequantz: dst = (a - zero) * scale`, elementwise in f32, round to nearest, ties to even; then rounded into the type of dst.
    /// Strides say what a scale belongs to: `bcast` for a row, strides 0 for the whole tensor.
    VpuQuant vpu_quant = 0x46 "vpu." on vpu {
        /// Function.
        op: QuantFn @ 53..54,
        /// Result.
        dst: VOp @ 1..14,
        /// Operand.
        a: VOp @ 14..27,
        /// Scale.
        scale: VOp @ 27..40,
        /// Zero point, if the function takes one; all 0 otherwise.
        zero: VOp @ 40..53,
        /// Outermost extent.
        n0: Ext @ 54..57,
        /// Middle extent.
        n1: Ext @ 57..60,
        /// Innermost extent.
        n2: Ext @ 60..64,
    }

    // --- att: streaming attention of `heads` query heads that share one key and value head -----------------------------

    /// Starts streaming attention.
    /// For each row and head: `m = -inf; l = 0; acc[d] = 0`, or with `sinks`: `m = sink[head]; l = 1; acc[d] = 0`.
    /// A sink is a further score of its head that joins the denominator and has no value.
    /// The state is f32, `[rows][heads][m, l, acc[d]]`, contiguous.
    AttInit att_init = 0x50 "att.init" on att {
        /// State.
        state: SAddr @ 4..8,
        /// Query rows.
        rows: Ext @ 8..12,
        /// Query heads.
        heads: u16 @ 2..4,
        /// Head dimension.
        d: u16 @ 12..14,
        /// Scores of the sinks, f32, one per head, contiguous.
        sink: SAddr @ 16..20,
        /// Heads have sinks.
        sinks: bool @ 1..2,
    }

    /// Takes one block of keys and values into streaming attention.
    /// For row r at position p = q_pos + r, block row j at position t = kv_pos + j is visible if `t <= p` or not `causal`,
    /// `t > p - window` or `window` is 0, and `t >= kv_first`. For each row and head with a visible block row:
    /// `s[j] = softcap(scale * dot(q, k[j])); M = max(m, max s); c = exp(m - M); m = M; l = l*c; acc = acc*c;`
    /// `for j ascending: p = exp(s[j] - M); l = l + p; acc = fma(p, v[j], acc)`
    /// dot has eight lanes as `vpu.sumsq`; `softcap(x) = softcap * tanh(x / softcap)` unless `softcap` is 0.
    /// Keys and values of i8 and i4 carry a scale in line: a row is d packed codes, zero bytes up to a multiple of 4, and the f32 scale;
    /// an element is `f32(code) * scale`. Those of float types are widened exactly.
    /// Hidden rows do not enter at all, so that the result does not depend on how queries are cut into launches.
    AttStep att_step = 0x51 "att.step" on att {
        /// State.
        state: SAddr @ 4..8,
        /// Queries, f32, head dimension contiguous.
        q: SAddr @ 8..12,
        /// Bytes between query rows.
        q_s0: u32 @ 23..26,
        /// Bytes between query heads.
        q_s1: u32 @ 26..29,
        /// Keys, head dimension contiguous.
        k: SAddr @ 12..16,
        /// Bytes between key rows.
        k_s0: u32 @ 29..32,
        /// Values, head dimension contiguous.
        v: SAddr @ 16..20,
        /// Bytes between value rows.
        v_s0: u32 @ 32..35,
        /// Query rows.
        rows: Ext @ 20..23,
        /// Query heads.
        heads: u16 @ 2..4,
        /// Head dimension.
        d: u16 @ 41..43,
        /// Rows of the block.
        kv: Ext @ 35..38,
        /// Position of query row 0.
        q_pos: Val @ 44..48,
        /// Position of block row 0.
        kv_pos: Val @ 48..52,
        /// Factor of the scores.
        scale: f32 @ 52..56,
        /// Hide positions after the query.
        causal: bool @ 1..2,
        /// Positions seen back from the query, itself included; 0 for all.
        window: u32 @ 38..41,
        /// Limit of the scores; 0 for none.
        softcap: f32 @ 56..60,
        /// Element type of keys and values: a float type, i8 or i4.
        kv_type: DType @ 43..44,
        /// First position that is no padding; earlier ones are hidden.
        kv_first: Val @ 60..64,
    }

    /// Takes one block of keys and values into attention that rounds its scores and weights to codes and back. All blocks come twice,
    /// because a weight is rounded when it has been divided by the sum of all: first for the maximum and the sum, then, with `weigh`, for the values.
    /// `by` is `[scale, softcap, codes of scores[4], codes of weights[4]]`, contiguous; codes are `[step, zero, low, high]`:
    /// `round(x) = step == 0 ? x : (min(max(rte(x / step) + zero, low), high) - zero) * step`, rte to the nearest integer, ties to even.
    /// What is visible is as in `att.step`; `s[j] = round(softcap(scale * dot(q, k[j])))` by the codes of scores.
    /// `M = max(m, max s); l = l * exp(m - M); m = M; for j ascending: l = l + exp(s[j] - M)`; values are not read. With `weigh`:
    /// `for j ascending: acc = fma(round(exp(s[j] - m) / l), v[j], acc)` by the codes of weights.
    AttRound att_round = 0x53 "att.round" on att {
        /// State.
        state: SAddr @ 4..8,
        /// Queries, f32, head dimension contiguous.
        q: SAddr @ 8..12,
        /// Bytes between query rows.
        q_s0: u32 @ 23..26,
        /// Bytes between query heads.
        q_s1: u32 @ 26..29,
        /// Keys, head dimension contiguous.
        k: SAddr @ 12..16,
        /// Bytes between key rows.
        k_s0: u32 @ 29..32,
        /// Values, head dimension contiguous.
        v: SAddr @ 16..20,
        /// Bytes between value rows.
        v_s0: u32 @ 32..35,
        /// Query rows.
        rows: Ext @ 20..23,
        /// Query heads.
        heads: u16 @ 2..4,
        /// Head dimension.
        d: u16 @ 41..43,
        /// Rows of the block.
        kv: Ext @ 35..38,
        /// Position of query row 0.
        q_pos: Val @ 44..48,
        /// Position of block row 0.
        kv_pos: Val @ 48..52,
        /// Factor, limit and codes of the scores and weights, ten f32.
        by: SAddr @ 52..56,
        /// Hide positions after the query.
        causal: bool @ 1..2,
        /// Positions seen back from the query, itself included; 0 for all.
        window: u32 @ 38..41,
        /// The maxima and sums are known: weigh the values.
        weigh: bool @ 56..57,
        /// Element type of keys and values: a float type, i8 or i4.
        kv_type: DType @ 43..44,
        /// First position that is no padding; earlier ones are hidden.
        kv_first: Val @ 60..64,
    }

    /// Ends streaming attention.
    /// `dst[row,head,..] = weighed ? acc : l == 0 ? 0 : acc / l`
    AttFin att_fin = 0x52 "att.fin" on att {
        /// Result, f32, head dimension contiguous.
        dst: SAddr @ 4..8,
        /// Bytes between result rows.
        dst_s0: u32 @ 8..12,
        /// Bytes between result heads.
        dst_s1: u32 @ 12..16,
        /// State.
        state: SAddr @ 16..20,
        /// Query rows.
        rows: Ext @ 20..24,
        /// Query heads.
        heads: u16 @ 2..4,
        /// Head dimension.
        d: u16 @ 24..26,
        /// The values were weighed by `att.round`.
        weighed: bool @ 1..2,
    }
}
