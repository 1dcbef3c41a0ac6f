//! Threads of the host: large matrix products are split over rows or panels of columns. Every element of a product is a chain
//! of its own, so the bits do not depend on how many threads there are; everything else runs on the thread of the launch.

use crate::kernels::{Mm, Mmq, PANEL};
use rayon::prelude::*;

/// Fewest multiply-accumulates of a product that is split; handing over work takes about as long as this many.
const LEAST: usize = 1 << 17;

/// The threads that compute products.
#[derive(Debug, Default)]
pub(crate) struct Threads(Option<rayon::ThreadPool>);

impl Threads {
    /// `count` threads; 0 and 1 are the thread of the launch alone.
    ///
    /// # Errors
    /// If the host does not give them, in its words.
    pub(crate) fn new(count: usize) -> Result<Threads, String> {
        if count <= 1 {
            return Ok(Threads(None));
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(count).build();
        pool.map(|pool| Threads(Some(pool)))
            .map_err(|e| e.to_string())
    }

    /// The pool, if a product of this many multiply-accumulates is worth splitting.
    fn pool(&self, macs: usize) -> Option<(&rayon::ThreadPool, usize)> {
        let pool = self.0.as_ref().filter(|_| macs >= LEAST)?;
        Some((pool, pool.current_num_threads()))
    }

    /// Runs a product by rows, or by panels if there is one row.
    pub(crate) fn mm<B: Sync>(&self, mut g: Mm<'_, B>, kernel: impl Fn(&mut Mm<'_, B>) + Sync) {
        let Some((pool, parts)) = self.pool(g.m * g.k * g.panels * PANEL) else {
            return kernel(&mut g);
        };
        let Mm {
            a,
            b,
            stride,
            m,
            k,
            panels,
            ..
        } = g;
        if m == 1 {
            let per = panels.div_ceil(parts);
            let each = |(part, c): (usize, &mut [f32])| {
                let (b, panels) = (&b[part * per * stride..], c.len() / PANEL);
                kernel(&mut Mm {
                    a,
                    b,
                    stride,
                    c,
                    m,
                    k,
                    panels,
                });
            };
            pool.install(|| g.c.par_chunks_mut(per * PANEL).enumerate().for_each(each));
        } else {
            let per = m.div_ceil(parts);
            let each = |(part, c): (usize, &mut [f32])| {
                let (a, m) = (&a[part * per * k..], c.len() / (panels * PANEL));
                kernel(&mut Mm {
                    a,
                    b,
                    stride,
                    c,
                    m,
                    k,
                    panels,
                });
            };
            let rows = g.c.par_chunks_mut(per * panels * PANEL);
            pool.install(|| rows.enumerate().for_each(each));
        }
    }

    /// Runs a quantised product by panels.
    pub(crate) fn mmq(&self, mut g: Mmq<'_>, kernel: impl Fn(&mut Mmq<'_>) + Sync) {
        let macs = g.m * g.group * g.groups * g.panels * PANEL;
        let Some((pool, parts)) = self.pool(macs).filter(|_| g.panels > 1) else {
            return kernel(&mut g);
        };
        let (m, panels, row) = (g.m, g.panels, g.panels * PANEL);
        let per = panels.div_ceil(parts);
        let scales = per * g.groups * PANEL;
        let a = g.a;
        let (b, stride, b_type) = (g.b, g.stride, g.b_type);
        let (all_scales, all_zeros, group, groups) = (g.scales, g.zeros, g.group, g.groups);
        let c: &[f32] = g.c;
        // The columns of a part are gathered, so that it has a dense C of its own.
        let part = |first: usize| {
            let columns = first * PANEL..((first + per) * PANEL).min(row);
            let rows = c.chunks_exact(row);
            let mut own: Vec<f32> = rows.flat_map(|c| &c[columns.clone()]).copied().collect();
            let at = first / per * scales;
            kernel(&mut Mmq {
                a,
                b: &b[first * stride..],
                stride,
                b_type,
                scales: &all_scales[at..],
                zeros: all_zeros.get(at..).unwrap_or(&[]),
                c: &mut own,
                m,
                group,
                groups,
                panels: columns.len() / PANEL,
            });
            (columns, own)
        };
        let firsts: Vec<usize> = (0..panels).step_by(per).collect();
        let done: Vec<_> = pool.install(|| firsts.into_par_iter().map(part).collect());
        for (columns, own) in done {
            for (c, own) in
                g.c.chunks_exact_mut(row)
                    .zip(own.chunks_exact(columns.len()))
            {
                c[columns.clone()].copy_from_slice(own);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{Kernels, Left};
    use llmc_isa::DType;

    fn noise(n: usize) -> Vec<f32> {
        let one = |i: usize| (i.wrapping_mul(2_654_435_761) % 2003) as f32 / 97.0 - 10.0;
        (0..n).map(one).collect()
    }

    /// More threads than parts, odd splits, one row and many.
    #[test]
    fn threads_do_not_change_a_bit() {
        let (k, panels) = (256, 37);
        let b = noise(panels * k * PANEL);
        let codes: Vec<u8> = (0..panels * k * PANEL)
            .map(|i| (i * 7 % 251) as u8)
            .collect();
        let scales = noise(panels * 4 * PANEL);
        let zeros: Vec<i8> = (0..scales.len()).map(|i| (i % 5) as i8).collect();
        for m in [1, 5] {
            let (a, start) = (noise(m * k), noise(m * panels * PANEL));
            let run = |count: usize| {
                let threads = Threads::new(count).unwrap();
                let (mut c, mut d) = (start.clone(), start.clone());
                let (stride, kernels) = (k * PANEL, Kernels::get());
                let mm = Mm {
                    a: &a,
                    b: &b,
                    stride,
                    c: &mut c,
                    m,
                    k,
                    panels,
                };
                threads.mm(mm, |g| kernels.mm_f32(g));
                let mmq = Mmq {
                    a: Left::Float(&a),
                    b: &codes,
                    stride,
                    b_type: DType::I8,
                    scales: &scales,
                    zeros: &zeros,
                    c: &mut d,
                    m,
                    group: k / 4,
                    groups: 4,
                    panels,
                };
                threads.mmq(mmq, |g| kernels.mmq(g));
                [c, d].map(|x| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>())
            };
            let one = run(1);
            for count in [2, 3, 64] {
                assert!(run(count) == one, "{m} rows, {count} threads");
            }
        }
    }
}
