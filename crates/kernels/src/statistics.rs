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
    let largest = channel_largest(x, shape);
    let ChannelShape { n, c: channels, inner } = shape;
    let index = parallel::jobs(channels, x.len(), |c| {
        let wanted = largest[c];
        let mut runs = (0..n).map(|image| (image * channels + c) * inner);
        let in_run = |start: usize| {
            let run = x[start..][..inner].iter();
            let is_it = |v: &f32| v.abs() == wanted || (wanted.is_nan() && v.is_nan());
            Some(start + run.clone().position(is_it)?)
        };
        runs.find_map(in_run).unwrap_or(0)
    });
    (largest, index)
}

/// Largest magnitude of each channel. NaN wins, as in PyTorch.
///
/// # Shape
/// `x`: `[N, C, inner]`; the result: `[C]`.
/// # Panics
/// If `x` has another length.
pub fn channel_largest(x: &[f32], shape: ChannelShape) -> Vec<f32> {
    shape.check(x.len());
    let level = Level::current();
    let ChannelShape { n, c: channels, inner } = shape;
    if channels == 1 {
        let blocks = x.len().div_ceil(parallel::BLOCK);
        let found = parallel::jobs(blocks, x.len(), |i| {
            let first = i * parallel::BLOCK;
            largest_bits(level, &x[first..(first + parallel::BLOCK).min(x.len())])
        });
        return vec![f32::from_bits(found.into_iter().fold(0, u32::max))];
    }
    parallel::jobs(channels, x.len(), |c| {
        let runs = (0..n).map(|image| &x[(image * channels + c) * inner..][..inner]);
        f32::from_bits(runs.fold(0, |largest, run| largest.max(largest_bits(level, run))))
    })
}

multiversion! {
    /// The bits of the largest magnitude: those of NaN are larger than those of any number.
    fn largest_bits(level, x: &[f32]) -> u32 {
        x.iter().fold(0, |largest, v| largest.max(v.to_bits() & 0x7fff_ffff))
    }
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
        let mut sums = Sums::default();
        for n in 0..shape.n {
            let start = (n * shape.c + c) * shape.inner;
            let (a, b) = (&a[start..][..shape.inner], &b[start..][..shape.inner]);
            sums.add(level, a, shift[c], b, mean[c], shape.inner);
        }
        sums.total()
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

/// Lanes of the sums over a channel.
const RUN_LANES: usize = 32;

/// Both sums over a channel, in 32 lanes that are added in order at the end: so many additions are under way at a time. The lane of a
/// value is its place in its run, modulo 32.
#[derive(Clone)]
pub(crate) struct Sums {
    sum: [f64; RUN_LANES],
    product: [f64; RUN_LANES],
}

impl Default for Sums {
    fn default() -> Self {
        Self { sum: [0.0; RUN_LANES], product: [0.0; RUN_LANES] }
    }
}

impl Sums {
    /// Adds whole runs of `inner` values.
    pub(crate) fn add(
        &mut self,
        level: Level,
        a: &[f32],
        shift: f32,
        b: &[f32],
        mean: f32,
        inner: usize,
    ) {
        let Self { sum, product } = self;
        add_runs(level, a, shift, b, mean, inner.max(1), sum, product);
    }

    pub(crate) fn total(&self) -> (f64, f64) {
        let total = |lanes: &[f64]| lanes.iter().fold(0.0, |total, lane| total + lane);
        (total(&self.sum), total(&self.product))
    }
}

multiversion! {
    fn add_runs(level, a: &[f32], shift: f32, b: &[f32], mean: f32, inner: usize, sum: &mut [f64; RUN_LANES], product: &mut [f64; RUN_LANES]) {
        for (a, b) in a.chunks_exact(inner).zip(b.chunks_exact(inner)) {
            let (a_lanes, a_rest) = a.as_chunks::<RUN_LANES>();
            let (b_lanes, b_rest) = b.as_chunks::<RUN_LANES>();
            for (a, b) in a_lanes.iter().zip(b_lanes) {
                for j in 0..RUN_LANES {
                    let value = f64::from(a[j] - shift);
                    sum[j] += value;
                    product[j] += value * f64::from(b[j] - mean);
                }
            }
            let (a_half, a_rest) = a_rest.as_chunks::<{ RUN_LANES / 2 }>();
            let (b_half, b_rest) = b_rest.as_chunks::<{ RUN_LANES / 2 }>();
            for (a, b) in a_half.iter().zip(b_half) {
                for j in 0..RUN_LANES / 2 {
                    let value = f64::from(a[j] - shift);
                    sum[j] += value;
                    product[j] += value * f64::from(b[j] - mean);
                }
            }
            let first = a_half.len() * RUN_LANES / 2;
            for (j, (a, b)) in a_rest.iter().zip(b_rest).enumerate() {
                let value = f64::from(a - shift);
                sum[first + j] += value;
                product[first + j] += value * f64::from(b - mean);
            }
        }
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
