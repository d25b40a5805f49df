//! Matrix products with sums in `f64`, rounded once: for comparing with programs that do not lay down an order.

use rayon::prelude::*;

use crate::isa::{Level, multiversion};
use crate::parallel;

/// The constant right operand of a product with sums in `f64`.
#[derive(Clone, Debug)]
pub struct WideWeights {
    m: usize,
    k: usize,
    /// For each panel of [`COLUMNS`] output features, for each `k`, the weights; zeros behind the last feature.
    panels: Vec<[f64; COLUMNS]>,
}

/// Output features whose sums are kept in registers.
const COLUMNS: usize = 8;

/// Rows of the left operand that are multiplied together.
const ROWS: usize = 4;

/// Rows of the left operand that are one job.
const BLOCK: usize = 32;

impl WideWeights {
    /// Packs `w`, of `m` rows of `k` values.
    ///
    /// # Panics
    /// If `w` has not `m * k` values.
    pub fn new(w: &[f32], m: usize, k: usize) -> Self {
        assert_eq!(Some(w.len()), m.checked_mul(k), "w of {m} x {k}");
        let mut panels = vec![[0.0; COLUMNS]; m.div_ceil(COLUMNS) * k];
        for (row, w) in w.chunks_exact(k.max(1)).enumerate() {
            let panel = &mut panels[row / COLUMNS * k..][..k];
            panel.iter_mut().zip(w).for_each(|(panel, &w)| panel[row % COLUMNS] = w.into());
        }
        Self { m, k, panels }
    }

    /// Output features.
    pub fn outputs(&self) -> usize {
        self.m
    }

    /// Input features.
    pub fn inputs(&self) -> usize {
        self.k
    }

    /// Multiplies: `y = x wᵀ`, each sum in `f64` from +0 with `k` ascending, rounded once. The products are exact.
    ///
    /// # Shape
    /// `x`: `[N, K]`, `y`: `[N, M]`.
    /// # Panics
    /// If a slice has another length.
    /// # Examples
    /// ```
    /// let w = fewbit_kernels::WideWeights::new(&[1.0, 1e8, 1.0, -1e8], 2, 2);
    /// let mut y = [0.0; 2];
    /// w.multiply(&[1.0, 1.0], &mut y);
    /// assert_eq!(y, [1e8, -1e8]);
    /// ```
    pub fn multiply(&self, x: &[f32], y: &mut [f32]) {
        self.multiply_at(Level::current(), x, y);
    }

    fn multiply_at(&self, level: Level, x: &[f32], y: &mut [f32]) {
        let Self { m, k, panels } = self;
        let n = y.len().checked_div(*m).unwrap_or(0);
        assert_eq!((y.len(), x.len()), (n * m, n * k), "output and input of {n} x {m} x {k}");
        if *k == 0 || y.is_empty() {
            return y.fill(0.0);
        }
        let job = |(x, y): (&[f32], &mut [f32])| product(level, x, panels, y, *m, *k);
        // A product takes about as long as an elementwise pass over this many values.
        if n > BLOCK && parallel::pays(n.saturating_mul(m * k / 4)) {
            x.par_chunks(BLOCK * k).zip(y.par_chunks_mut(BLOCK * m)).for_each(job);
        } else {
            job((x, y));
        }
    }
}

multiversion! {
    fn product(level, x: &[f32], panels: &[[f64; COLUMNS]], y: &mut [f32], m: usize, k: usize) {
        let n = x.len() / k;
        // Rows side by side; zeros behind the last one.
        let mut packed = vec![[0.0; ROWS]; n.div_ceil(ROWS) * k];
        for row in 0..n {
            let block = &mut packed[row / ROWS * k..][..k];
            let x = &x[row * k..][..k];
            for i in 0..k {
                block[i][row % ROWS] = f64::from(x[i]);
            }
        }
        for (panel, weights) in panels.chunks_exact(k).enumerate() {
            let column = panel * COLUMNS;
            let width = COLUMNS.min(m - column);
            for row in (0..n).step_by(ROWS) {
                let sums = sums(&packed[row / ROWS * k..][..k], weights);
                let rows = ROWS.min(n - row);
                store(&sums[..rows], &mut y[row * m..], m, column, width);
            }
        }
    }
}

/// The sums of some rows with one panel.
#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "see below")]
fn sums(x: &[[f64; ROWS]], weights: &[[f64; COLUMNS]]) -> [[f64; COLUMNS]; ROWS] {
    let mut sums = [[0.0; COLUMNS]; ROWS];
    let weights = &weights[..x.len()];
    // Plain indices: iterators would not all be compiled for the wider instructions.
    for i in 0..x.len() {
        for r in 0..ROWS {
            for c in 0..COLUMNS {
                // The product is exact, so this is what a fused multiply-add gives.
                sums[r][c] += x[i][r] * weights[i][c];
            }
        }
    }
    sums
}

#[inline(always)]
fn store(sums: &[[f64; COLUMNS]], y: &mut [f32], m: usize, column: usize, width: usize) {
    for (r, sums) in sums.iter().enumerate() {
        let y = &mut y[r * m + column..][..width];
        y.iter_mut().zip(sums).for_each(|(y, &sum)| *y = sum as f32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gemm::testing::values;

    #[test]
    fn sums_are_those_of_the_definition() {
        let mut cases = 0;
        for (n, m, k) in [(1, 1, 1), (3, 7, 5), (4, 8, 16), (5, 9, 33), (130, 10, 64), (67, 40, 70)]
        {
            let (x, w) = (values(7, n * k), values(8, m * k));
            let expected: Vec<f32> = (0..n * m)
                .map(|i| {
                    let (x, w) = (&x[i / m * k..][..k], &w[i % m * k..][..k]);
                    let products = x.iter().zip(w).map(|(&x, &w)| f64::from(x) * f64::from(w));
                    products.fold(0.0, |sum, product| sum + product) as f32
                })
                .collect();
            for level in Level::all() {
                let mut y = vec![9.0; n * m];
                WideWeights::new(&w, m, k).multiply_at(level, &x, &mut y);
                assert_eq!(y, expected, "{n} {m} {k} {level:?}");
                cases += 1;
            }
        }
        assert!(cases >= 6);
    }

    #[test]
    fn empty_operands() {
        let mut y = [1.0; 6];
        WideWeights::new(&[], 3, 0).multiply(&[], &mut y);
        assert_eq!(y, [0.0; 6]);
        WideWeights::new(&[], 0, 4).multiply(&[], &mut []);
        WideWeights::new(&[1.0; 12], 3, 4).multiply(&[], &mut []);
    }
}
