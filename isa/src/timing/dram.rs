//! The channels of the DRAM as shared resources.
//!
//! Addresses go round the channels in pieces of `dram.interleave_bytes`: channel `address / interleave mod channels`. Each channel
//! has an equal part of the bandwidth and serves requests one at a time, in the order in which transfers start. A transfer asks
//! every channel that holds bytes of it at once, and has been served when the last of them is done.
//!
//! Bytes are counted in whole bursts: each contiguous block begins at the burst of its first byte, and its length and the strides are
//! rounded up. For blocks and strides of whole bursts that is exact; otherwise a block is placed less than a burst per step away from
//! where it lies. Which rows a gather or scatter touches is not known without data: they count as if they lay one after the other
//! from row 0. The counts of a transfer take steps in the number of channels, whatever the number of blocks.

use crate::access::{Space, accesses};
use crate::chip::Chip;
use crate::inst::Inst;

/// The channels of a chip's DRAM, each with the time at which it is free.
///
/// Time is counted in cycles times bandwidth in 10^6 bytes per second, so that transfers lose no fraction of a cycle.
#[derive(Clone, Debug)]
pub struct Dram {
    burst: u64,
    /// Bursts of an interleaved piece.
    piece: usize,
    /// Units of time in a cycle.
    cycle: u128,
    /// Units of time that a burst occupies its channel.
    burst_time: u128,
    /// By channel.
    free_at: Vec<u128>,
    /// Bursts of the transfer being served by their place in one round of the channels.
    round: Vec<u64>,
    /// Bursts served.
    bursts: u64,
}

impl Dram {
    /// All channels free at cycle 0.
    pub fn new(chip: &Chip) -> Dram {
        let burst = chip.dram_burst_bytes().max(1);
        let piece = (chip.dram_interleave_bytes() / burst).max(1) as usize;
        let channels = chip.dram_channels().max(1);
        Dram {
            burst,
            piece,
            cycle: u128::from(chip.dram_bandwidth_mb_per_s().max(1)),
            burst_time: u128::from(burst * chip.chip_clock_mhz()) * u128::from(channels),
            free_at: vec![0; channels as usize],
            round: vec![0; channels as usize * piece],
            bursts: 0,
        }
    }

    /// Cycles that the channels transferred data, on average over the channels.
    pub fn busy(&self) -> u64 {
        let all = u128::from(self.bursts) * self.burst_time;
        let channels = self.cycle * self.free_at.len() as u128;
        u64::try_from(all.div_ceil(channels)).unwrap_or(u64::MAX)
    }

    /// Bursts of each channel that a resolved instruction moves; all 0 if it does not touch DRAM.
    pub fn bursts(&mut self, inst: &Inst) -> Vec<u64> {
        self.count(inst);
        let pieces = self.round.chunks_exact(self.piece);
        pieces.map(|piece| piece.iter().sum()).collect()
    }

    /// Serves the transfer of an instruction that starts at cycle `now`; the cycle at which it has been served.
    pub fn serve(&mut self, now: u64, inst: &Inst) -> u64 {
        self.count(inst);
        let now = u128::from(now) * self.cycle;
        let mut served = now;
        for (free_at, piece) in self
            .free_at
            .iter_mut()
            .zip(self.round.chunks_exact(self.piece))
        {
            let bursts = piece.iter().fold(0, |all: u64, n| all.saturating_add(*n));
            if bursts > 0 {
                *free_at = now.max(*free_at) + u128::from(bursts) * self.burst_time;
                served = served.max(*free_at);
                self.bursts = self.bursts.saturating_add(bursts);
            }
        }
        u64::try_from(served.div_ceil(self.cycle)).unwrap_or(u64::MAX)
    }

    /// Fills `round` with the bursts of an instruction.
    fn count(&mut self, inst: &Inst) {
        self.round.fill(0);
        let touched = accesses(inst);
        let burst = self.burst;
        match inst {
            _ if touched.is_empty() => {}
            Inst::DmaGather(i) => {
                let rows = u64::from(i.count.n) * u64::from(i.bytes).div_ceil(burst);
                self.block(i.table.off, rows);
            }
            Inst::DmaScatter(i) => {
                let rows = u64::from(i.count.n) * u64::from(i.bytes).div_ceil(burst);
                self.block(i.table.off, rows);
            }
            _ => {
                let dram = touched.iter().find(|a| a.space == Space::Dram);
                let Some(run) = dram.map(|a| a.packed()) else {
                    return;
                };
                self.block(run.base, run.bytes.div_ceil(burst));
                for (stride, count) in run.strides.into_iter().zip(run.counts) {
                    if count > 1 {
                        self.repeat(stride.div_ceil(burst), count);
                    }
                }
            }
        }
    }

    /// Puts a contiguous block at `base` into the empty round.
    fn block(&mut self, base: u64, bursts: u64) {
        let places = self.round.len();
        let (rounds, rest) = (bursts / places as u64, (bursts % places as u64) as usize);
        if rounds > 0 {
            self.round.fill(rounds);
        }
        let first = (base / self.burst % places as u64) as usize;
        let before_end = rest.min(places - first);
        let (wrapped, tail) = self.round.split_at_mut(first);
        tail[..before_end].iter_mut().for_each(|n| *n += 1);
        wrapped[..rest - before_end]
            .iter_mut()
            .for_each(|n| *n += 1);
    }

    /// Repeats what is in the round `count` times, each `stride` bursts after the one before.
    ///
    /// Steps of `stride` come back to a place after `period` of them. So every place of such an orbit gets the orbit's sum for each
    /// whole period, and for the steps that remain the sum of a window that slides along the orbit.
    fn repeat(&mut self, stride: u64, count: u64) {
        let places = self.round.len();
        let step = (stride % places as u64) as usize;
        let orbits = gcd(places, step);
        let period = places / orbits;
        let whole = count / period as u64;
        let rest = (count % period as u64) as usize;
        let old = self.round.clone();
        for orbit in 0..orbits {
            let place = |j: usize| (orbit + j % period * step) % places;
            let sum = (0..period).fold(0, |all: u64, j| all.saturating_add(old[place(j)]));
            let whole = sum.saturating_mul(whole);
            // The copies that reach place 0 of the orbit: those from it and from the `rest - 1` places before it.
            let mut window =
                (0..rest).fold(0_u64, |all, i| all.saturating_add(old[place(period - i)]));
            for j in 0..period {
                self.round[place(j)] = whole.saturating_add(window);
                if rest > 0 {
                    window = window
                        .saturating_add(old[place(j + 1)])
                        .saturating_sub(old[place(j + period + 1 - rest)]);
                }
            }
        }
    }
}

/// Greatest common divisor; `a` if `b` is 0.
fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asm::parse_inst;
    use crate::timing::{cost, dram_cycles};

    /// 4 channels, pieces of 64 bytes, bursts of 32; 68.264 bytes per cycle.
    fn edge() -> Chip {
        Chip::load("edge").unwrap()
    }

    fn load(src: u64, strides: [u32; 3], n: [u32; 3], bytes: u32) -> Inst {
        let ([s0, s1, s2], [n0, n1, n2]) = (strides, n);
        parse_inst(&format!(
            "dma.load queue=dma0, src={{{src}}}, src_s0={s0}, src_s1={s1}, src_s2={s2}, n0={n0}, n1={n1}, n2={n2}, bytes={bytes}"
        ))
        .unwrap()
    }

    #[test]
    fn a_transfer_over_all_channels_has_their_whole_bandwidth() {
        let chip = edge();
        let inst = load(0x40, [0; 3], [1; 3], 1 << 16);
        let mut dram = Dram::new(&chip);
        assert_eq!(dram.bursts(&inst), [512; 4]);
        assert_eq!(dram.serve(100, &inst), 100 + dram_cycles(1 << 16, &chip));
        // A second one goes on where the first ends, without losing the fraction of a cycle.
        assert_eq!(dram.serve(100, &inst), 100 + dram_cycles(2 << 16, &chip));
        assert_eq!(dram.busy(), dram_cycles(2 << 16, &chip));
    }

    #[test]
    fn a_stride_of_one_round_is_served_by_one_channel() {
        let chip = edge();
        let mut dram = Dram::new(&chip);
        let hot = load(0x80, [256, 0, 0], [1000, 1, 1], 64);
        assert_eq!(dram.bursts(&hot), [0, 0, 2000, 0]);
        assert_eq!(dram.serve(0, &hot), dram_cycles(4 * 64_000, &chip));
        // The same bytes, one piece further each time.
        let even = load(0x80, [320, 0, 0], [1000, 1, 1], 64);
        assert_eq!(Dram::new(&chip).serve(0, &even), dram_cycles(64_000, &chip));
    }

    #[test]
    fn transfers_on_other_channels_do_not_disturb_each_other() {
        let chip = edge();
        let [a, b] = [0, 0x40].map(|src| load(src, [256, 0, 0], [100, 1, 1], 64));
        let alone = Dram::new(&chip).serve(0, &b);
        let mut dram = Dram::new(&chip);
        assert_eq!(dram.serve(0, &a), alone);
        assert_eq!(dram.serve(0, &b), alone);
        assert_eq!(dram.serve(0, &a), dram_cycles(4 * 12_800, &chip));
    }

    /// The closed form against counting burst by burst.
    #[test]
    fn counts_are_those_of_each_burst() {
        let mut chip = edge();
        for channels in [1, 3, 4, 7] {
            chip.set("dram.channels", channels).unwrap();
            let mut dram = Dram::new(&chip);
            for (src, s, n, bytes) in [
                (0, [0, 0, 0], [1, 1, 1], 32),
                (0x60, [0, 0, 0], [1, 1, 1], 4096),
                (0x1234, [0, 4096, 96], [1, 5, 9], 32),
                (0x20, [1024, 7 * 64, 128], [3, 4, 11], 96),
                (0xfe0, [8192, 256, 64], [13, 6, 2], 32),
            ] {
                let inst = load(src, s, n, bytes);
                let mut expected = vec![0; channels as usize];
                let s = s.map(|s| u64::from(s).div_ceil(32));
                for i in (0..n[0]).flat_map(|a| (0..n[1]).map(move |b| (a, b))) {
                    for i2 in 0..n[2] {
                        let first = src / 32
                            + u64::from(i.0) * s[0]
                            + u64::from(i.1) * s[1]
                            + u64::from(i2) * s[2];
                        for burst in first..first + u64::from(bytes).div_ceil(32) {
                            expected[(burst / 2) as usize % channels as usize] += 1;
                        }
                    }
                }
                assert_eq!(dram.bursts(&inst), expected, "{channels} {inst:?}");
                let all: u64 = expected.iter().sum();
                assert_eq!(all * 32, cost(&inst, &chip).dram_bytes);
            }
        }
    }

    #[test]
    fn rows_by_index_count_as_one_block() {
        let mut dram = Dram::new(&edge());
        let gather = "dma.gather queue=dma0, index=[0x100], table={0x40}, count=3, row_stride=40, bytes=40, rows=9";
        assert_eq!(dram.bursts(&parse_inst(gather).unwrap()), [0, 2, 2, 2]);
    }
}
