//! Sums and maxima over channels. Sums are in `f64`, over fixed blocks, in order.

use crate::isa::{Level, multiversion};
use crate::parallel;

/// Sizes of a tensor `[N, C, inner]` seen by its channels; `inner` is 1 behind a linear layer, `H * W` behind a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelShape {
    /// Batch.
    pub n: usize,
    /// Channels.
    pub c: usize,
    /// Values of one channel of one image.
    pub inner: usize,
}

impl ChannelShape {
    pub(crate) fn check(&self, len: usize) {
        assert_eq!(
            Some(len),
            self.n.checked_mul(self.c).and_then(|l| l.checked_mul(self.inner)),
            "values of {self:?}"
        );
    }

    /// Values of one channel.
    pub(crate) fn count(&self) -> usize {
        self.n * self.inner
    }
}

/// Largest magnitude of each channel and where it is first found (index into `x`). NaN wins, as in PyTorch.
///
/// # Shape
/// `x`: `[N, C, inner]`; the results: `[C]`.
/// # Panics
/// If `x` has another length.
pub fn channel_absmax(x: &[f32], shape: ChannelShape) -> (Vec<f32>, Vec<usize>) {
    shape.check(x.len());
    let mut largest = vec![0.0_f32; shape.c];
    let mut index = vec![0; shape.c];
    for c in 0..shape.c {
        let mut found = false;
        for n in 0..shape.n {
            let start = (n * shape.c + c) * shape.inner;
            for (i, v) in x[start..][..shape.inner].iter().enumerate() {
                let magnitude = v.abs();
                if !found || magnitude > largest[c] || (magnitude.is_nan() && !largest[c].is_nan())
                {
                    (largest[c], index[c], found) = (magnitude, start + i, true);
                }
            }
        }
    }
    (largest, index)
}

/// Sum of each channel: the gradient of a bias.
///
/// # Shape
/// `x`: `[N, C, inner]`; the result: `[C]`.
/// # Panics
/// If `x` has another length.
pub fn channel_sum(x: &[f32], shape: ChannelShape) -> Vec<f32> {
    shape.check(x.len());
    let zero = vec![0.0; shape.c];
    sums(x, &zero, x, &zero, shape, Level::current())
        .into_iter()
        .map(|(sum, _)| sum as f32)
        .collect()
}

/// For each channel the sums of `a - shift` and of `(a - shift) * (b - mean)`; the differences are rounded to `f32`.
pub(crate) fn sums(
    a: &[f32],
    shift: &[f32],
    b: &[f32],
    mean: &[f32],
    shape: ChannelShape,
    level: Level,
) -> Vec<(f64, f64)> {
    if shape.inner == 1 {
        // Channels lie side by side: 64 of them at a time, down the rows.
        let blocks = parallel::jobs(shape.c.div_ceil(COLUMNS), a.len(), |i| {
            let first = i * COLUMNS;
            let count = COLUMNS.min(shape.c - first);
            let mut sum = [0.0; COLUMNS];
            let mut product = [0.0; COLUMNS];
            let (shift, mean) = (&shift[first..][..count], &mean[first..][..count]);
            for row in 0..shape.n {
                let start = row * shape.c + first;
                column_sums(
                    level,
                    &a[start..][..count],
                    shift,
                    &b[start..][..count],
                    mean,
                    &mut sum,
                    &mut product,
                );
            }
            (0..count).map(|j| (sum[j], product[j])).collect::<Vec<_>>()
        });
        return blocks.into_iter().flatten().collect();
    }
    parallel::jobs(shape.c, a.len(), |c| {
        let mut total = (0.0, 0.0);
        for n in 0..shape.n {
            let start = (n * shape.c + c) * shape.inner;
            let (sum, product) = run_sums(
                level,
                &a[start..][..shape.inner],
                shift[c],
                &b[start..][..shape.inner],
                mean[c],
            );
            total = (total.0 + sum, total.1 + product);
        }
        total
    })
}

/// Columns summed at a time.
const COLUMNS: usize = 64;

multiversion! {
    /// Adds one row to the sums.
    fn column_sums(level, a: &[f32], shift: &[f32], b: &[f32], mean: &[f32], sum: &mut [f64; COLUMNS], product: &mut [f64; COLUMNS]) {
        let count = a.len().min(COLUMNS);
        let (shift, b, mean) = (&shift[..count], &b[..count], &mean[..count]);
        for j in 0..count {
            let value = f64::from(a[j] - shift[j]);
            sum[j] += value;
            product[j] += value * f64::from(b[j] - mean[j]);
        }
    }
}

/// Lanes of the sums over a run.
const RUN_LANES: usize = 32;

multiversion! {
    /// Both sums over one run, in 32 lanes that are added in order at the end: so many additions are under way at a time.
    pub(crate) fn run_sums(level, a: &[f32], shift: f32, b: &[f32], mean: f32) -> (f64, f64) {
        let mut sum = [0.0_f64; RUN_LANES];
        let mut product = [0.0_f64; RUN_LANES];
        let (a_lanes, a_rest) = a.as_chunks::<RUN_LANES>();
        let (b_lanes, b_rest) = b.as_chunks::<RUN_LANES>();
        for (a, b) in a_lanes.iter().zip(b_lanes) {
            for j in 0..RUN_LANES {
                let value = f64::from(a[j] - shift);
                sum[j] += value;
                product[j] += value * f64::from(b[j] - mean);
            }
        }
        for (j, (a, b)) in a_rest.iter().zip(b_rest).enumerate() {
            let value = f64::from(a - shift);
            sum[j] += value;
            product[j] += value * f64::from(b - mean);
        }
        (sum.iter().fold(0.0, |t, v| t + v), product.iter().fold(0.0, |t, v| t + v))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absmax_finds_the_first() {
        let x = [1.0, -3.0, 2.0, 3.0, 0.0, -0.0];
        let (largest, index) = channel_absmax(&x, ChannelShape { n: 1, c: 3, inner: 2 });
        assert_eq!((largest, index), (vec![3.0, 3.0, 0.0], vec![1, 3, 4]));
        let (largest, index) = channel_absmax(&x, ChannelShape { n: 2, c: 1, inner: 3 });
        assert_eq!((largest, index), (vec![3.0], vec![1]));
    }

    #[test]
    fn sums_of_both_layouts() {
        for (n, c, inner) in [(5, 3, 1), (2, 3, 7), (3, 70, 1), (1, 2, 16), (4, 1, 9)] {
            let shape = ChannelShape { n, c, inner };
            let x: Vec<f32> = (0..n * c * inner).map(|i| (i * 37 % 101) as f32 - 50.0).collect();
            let mean: Vec<f32> = (0..c).map(|c| c as f32).collect();
            for level in Level::all() {
                let found = sums(&x, &vec![0.0; c], &x, &mean, shape, level);
                for (channel, &found) in found.iter().enumerate() {
                    let values = (0..n * c * inner)
                        .filter(|i| i / inner % c == channel)
                        .map(|i| f64::from(x[i]));
                    let sum: f64 = values.clone().sum();
                    let product: f64 = values.map(|v| v * (v - f64::from(mean[channel]))).sum();
                    assert_eq!(found, (sum, product), "{shape:?} {level:?}");
                }
            }
        }
    }
}
