//! Batch normalization over the channels of `[N, C, inner]`.

pub use crate::statistics::ChannelShape;

use crate::isa::{Level, multiversion};
use crate::parallel;
use crate::statistics::sums;

/// How inference rounds `y = x a + b`, with `a = weight * (1 / sqrt(var + eps))` in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Formula {
    /// onnxruntime's, the canonical one: `b = bias - mean * a; y = x * a + b`, two roundings each.
    TwoRoundings,
    /// PyTorch's: `b = fma(-mean, a, bias); y = fma(x, a, b)`.
    Fused,
}

/// What one training step found out about each channel; the backward pass needs it.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchStatistics {
    /// Mean.
    pub mean: Vec<f32>,
    /// Biased variance: divided by the number of values.
    pub variance: Vec<f32>,
    /// `1 / sqrt(variance + eps)`.
    pub inverse_deviation: Vec<f32>,
    /// Values per channel.
    pub count: usize,
}

impl BatchStatistics {
    /// Moves running statistics towards this batch: `r = (1 - momentum) * r + momentum * batch`, with the unbiased variance.
    ///
    /// One value per channel has no unbiased variance (PyTorch refuses such a batch); the biased one, 0, is used then.
    pub fn update(&self, running_mean: &mut [f32], running_variance: &mut [f32], momentum: f32) {
        let unbias =
            if self.count > 1 { self.count as f64 / (self.count as f64 - 1.0) } else { 1.0 };
        let keep = 1.0 - momentum;
        for (running, &mean) in running_mean.iter_mut().zip(&self.mean) {
            *running = keep * *running + momentum * mean;
        }
        for (running, &variance) in running_variance.iter_mut().zip(&self.variance) {
            *running = keep * *running + momentum * (f64::from(variance) * unbias) as f32;
        }
    }
}

/// Normalises with the running statistics (inference).
///
/// `y = x * a + b`; see [`Formula`].
///
/// # Shape
/// `x`, `y`: `[N, C, inner]`; the rest: `[C]`.
/// # Panics
/// If a slice has another length.
#[allow(clippy::too_many_arguments)]
pub fn inference(
    x: &[f32],
    y: &mut [f32],
    shape: ChannelShape,
    weight: &[f32],
    bias: &[f32],
    mean: &[f32],
    variance: &[f32],
    eps: f32,
    formula: Formula,
) {
    let (a, b) = inference_coefficients(weight, bias, mean, variance, eps, formula);
    affine(x, y, shape, &a, &b, formula, Level::current());
}

/// Normalises with the statistics of this batch (training).
///
/// `y = x * a + b` with `a`, `b` of [`Formula::TwoRoundings`] from the mean and the biased variance. Both are sums in `f64`
/// (the variance around the mean, in a second pass) and rounded once.
///
/// # Shape
/// `x`, `y`: `[N, C, inner]`, `weight`, `bias`: `[C]`.
/// # Panics
/// If a slice has another length.
pub fn training(
    x: &[f32],
    y: &mut [f32],
    shape: ChannelShape,
    weight: &[f32],
    bias: &[f32],
    eps: f32,
) -> BatchStatistics {
    training_at(Level::current(), x, y, shape, weight, bias, eps)
}

fn training_at(
    level: Level,
    x: &[f32],
    y: &mut [f32],
    shape: ChannelShape,
    weight: &[f32],
    bias: &[f32],
    eps: f32,
) -> BatchStatistics {
    shape.check(x.len());
    let (mean, variance) = moments(x, shape, level);
    let inverse_deviation: Vec<f32> = variance.iter().map(|&v| inverse_deviation(v, eps)).collect();
    let (a, b) = coefficients(weight, bias, &mean, &inverse_deviation, Formula::TwoRoundings);
    affine(x, y, shape, &a, &b, Formula::TwoRoundings, level);
    BatchStatistics { mean, variance, inverse_deviation, count: shape.count() }
}

/// Mean and biased variance of each channel.
pub(crate) fn moments(x: &[f32], shape: ChannelShape, level: Level) -> (Vec<f32>, Vec<f32>) {
    let zero = vec![0.0; shape.c];
    let count = shape.count();
    let mean: Vec<f32> = sums(x, &zero, x, &zero, shape, level)
        .into_iter()
        .map(|(sum, _)| mean_of(sum, count))
        .collect();
    let around_mean = sums(x, &mean, x, &mean, shape, level);
    let variance = around_mean.into_iter().map(|sums| variance_of(sums, count)).collect();
    (mean, variance)
}

/// The mean of `count` values with this sum.
pub(crate) fn mean_of(sum: f64, count: usize) -> f32 {
    (sum / count.max(1) as f64) as f32
}

/// The biased variance, from the sums of the differences to the mean and of their squares.
pub(crate) fn variance_of((sum, squares): (f64, f64), count: usize) -> f32 {
    let count = count.max(1) as f64;
    // The sum of x - mean would be 0 had the mean not been rounded; its square makes up for that.
    (squares / count - (sum / count) * (sum / count)) as f32
}

/// What the gradient loses for each unit that a value lies above the mean, from the sum of `dy * (x - mean)`.
pub(crate) fn slope_of(product: f64, inverse_deviation: f32, count: usize) -> f32 {
    let r = f64::from(inverse_deviation);
    (product / count.max(1) as f64 * r * r) as f32
}

/// Gradients of [`training`].
#[derive(Clone, Debug, PartialEq)]
pub struct ParameterGradients {
    /// To the weight.
    pub weight: Vec<f32>,
    /// To the bias.
    pub bias: Vec<f32>,
}

/// Gradient of [`training`], through the mean and the variance.
///
/// `dx = weight * r * (dy - mean(dy) - (x - m) * r^2 * mean(dy * (x - m)))` with `r` the inverse deviation and `m` the mean of the batch.
///
/// # Shape
/// `x`, `dy`, `dx`: `[N, C, inner]`, `weight`: `[C]`.
/// # Panics
/// If a slice has another length.
pub fn training_grad(
    x: &[f32],
    dy: &[f32],
    dx: &mut [f32],
    shape: ChannelShape,
    weight: &[f32],
    statistics: &BatchStatistics,
) -> ParameterGradients {
    training_grad_at(Level::current(), x, dy, dx, shape, weight, statistics)
}

fn training_grad_at(
    level: Level,
    x: &[f32],
    dy: &[f32],
    dx: &mut [f32],
    shape: ChannelShape,
    weight: &[f32],
    statistics: &BatchStatistics,
) -> ParameterGradients {
    shape.check(x.len());
    shape.check(dy.len());
    shape.check(dx.len());
    assert_eq!(
        (weight.len(), statistics.mean.len()),
        (shape.c, shape.c),
        "parameters of {shape:?}"
    );
    let count = shape.count();
    let zero = vec![0.0; shape.c];
    let found = sums(dy, &zero, x, &statistics.mean, shape, level);
    let r = &statistics.inverse_deviation;
    let mean_dy: Vec<f32> = found.iter().map(|&(sum, _)| mean_of(sum, count)).collect();
    let slope: Vec<f32> =
        found.iter().zip(r).map(|(&(_, product), &r)| slope_of(product, r, count)).collect();
    let a: Vec<f32> = weight.iter().zip(r).map(|(&weight, &r)| weight * r).collect();
    runs(dx, shape, |start, channels, dx| {
        let (x, dy) = (&x[start..][..dx.len()], &dy[start..][..dx.len()]);
        let m = &statistics.mean[channels.clone()];
        let (k, s, a) = (&mean_dy[channels.clone()], &slope[channels.clone()], &a[channels]);
        grad_run(level, x, dy, dx, m, k, s, a);
    });
    ParameterGradients {
        weight: found
            .iter()
            .zip(r)
            .map(|(&(_, product), &r)| (product * f64::from(r)) as f32)
            .collect(),
        bias: found.iter().map(|&(sum, _)| sum as f32).collect(),
    }
}

/// Gradient of [`inference`] to its input: `dx = dy * a`.
///
/// # Shape
/// `dy`, `dx`: `[N, C, inner]`; the rest: `[C]`.
/// # Panics
/// If a slice has another length.
pub fn inference_grad(
    dy: &[f32],
    dx: &mut [f32],
    shape: ChannelShape,
    weight: &[f32],
    variance: &[f32],
    eps: f32,
) {
    let a: Vec<f32> =
        weight.iter().zip(variance).map(|(&w, &v)| w * inverse_deviation(v, eps)).collect();
    affine(dy, dx, shape, &a, &vec![-0.0; shape.c], Formula::TwoRoundings, Level::current());
}

/// The `a` and `b` of [`inference`], for each channel.
///
/// # Panics
/// If the slices have different lengths.
pub fn inference_coefficients(
    weight: &[f32],
    bias: &[f32],
    mean: &[f32],
    variance: &[f32],
    eps: f32,
    formula: Formula,
) -> (Vec<f32>, Vec<f32>) {
    let inverse: Vec<f32> = variance.iter().map(|&v| inverse_deviation(v, eps)).collect();
    coefficients(weight, bias, mean, &inverse, formula)
}

fn coefficients(
    weight: &[f32],
    bias: &[f32],
    mean: &[f32],
    inverse: &[f32],
    formula: Formula,
) -> (Vec<f32>, Vec<f32>) {
    let c = inverse.len();
    assert_eq!((weight.len(), bias.len(), mean.len()), (c, c, c), "parameters of {c} channels");
    (0..c).map(|i| coefficient(weight[i], bias[i], mean[i], inverse[i], formula)).unzip()
}

/// `a` and `b` of one channel.
#[allow(clippy::disallowed_methods, reason = "PyTorch's formula is a fused multiply-add")]
pub(crate) fn coefficient(
    weight: f32,
    bias: f32,
    mean: f32,
    inverse: f32,
    formula: Formula,
) -> (f32, f32) {
    let a = weight * inverse;
    let b = match formula {
        Formula::TwoRoundings => bias - mean * a,
        Formula::Fused => (-mean).mul_add(a, bias),
    };
    (a, b)
}

pub(crate) fn inverse_deviation(variance: f32, eps: f32) -> f32 {
    1.0 / (variance + eps).sqrt()
}

/// `y = x * a + b` by channel.
fn affine(
    x: &[f32],
    y: &mut [f32],
    shape: ChannelShape,
    a: &[f32],
    b: &[f32],
    formula: Formula,
    level: Level,
) {
    shape.check(x.len());
    shape.check(y.len());
    assert_eq!((a.len(), b.len()), (shape.c, shape.c), "parameters of {shape:?}");
    runs(y, shape, |start, channels, y| {
        let x = &x[start..][..y.len()];
        let (a, b) = (&a[channels.clone()], &b[channels]);
        match formula {
            Formula::TwoRoundings => affine_run(level, x, y, a, b),
            Formula::Fused => fused_run(level, x, y, a, b),
        }
    });
}

/// Calls `pass(start, channels, y run)` for runs that either lie in one channel or hold one value of each channel in turn.
fn runs(
    y: &mut [f32],
    shape: ChannelShape,
    pass: impl Fn(usize, std::ops::Range<usize>, &mut [f32]) + Sync,
) {
    if y.is_empty() {
        return;
    }
    let run = if shape.inner == 1 { shape.c } else { shape.inner };
    let each = |i: usize, y: &mut [f32]| {
        let channels = if shape.inner == 1 { 0..shape.c } else { i % shape.c..i % shape.c + 1 };
        pass(i * run, channels, y);
    };
    // Whole runs in blocks of about the usual size.
    let block = parallel::BLOCK.div_ceil(run);
    if parallel::pays(y.len()) {
        use rayon::prelude::*;
        y.par_chunks_mut(block * run).enumerate().for_each(|(i, y)| {
            y.chunks_mut(run).enumerate().for_each(|(j, y)| each(i * block + j, y))
        });
    } else {
        y.chunks_mut(run).enumerate().for_each(|(i, y)| each(i, y));
    }
}

multiversion! {
    pub(crate) fn affine_run(level, x: &[f32], y: &mut [f32], a: &[f32], b: &[f32]) {
        let x = &x[..y.len()];
        if let ([a], [b]) = (a, b) {
            for i in 0..y.len() {
                y[i] = x[i] * a + b;
            }
        } else {
            let (a, b) = (&a[..y.len()], &b[..y.len()]);
            for i in 0..y.len() {
                y[i] = x[i] * a[i] + b[i];
            }
        }
    }
}

multiversion! {
    #[allow(clippy::disallowed_methods, reason = "PyTorch's formula is a fused multiply-add")]
    pub(crate) fn fused_run(level, x: &[f32], y: &mut [f32], a: &[f32], b: &[f32]) {
        let x = &x[..y.len()];
        if let ([a], [b]) = (a, b) {
            for i in 0..y.len() {
                y[i] = x[i].mul_add(*a, *b);
            }
        } else {
            let (a, b) = (&a[..y.len()], &b[..y.len()]);
            for i in 0..y.len() {
                y[i] = x[i].mul_add(a[i], b[i]);
            }
        }
    }
}

multiversion! {
    pub(crate) fn grad_run(level, x: &[f32], dy: &[f32], dx: &mut [f32], mean: &[f32], mean_dy: &[f32], slope: &[f32], a: &[f32]) {
        let len = dx.len();
        let (x, dy) = (&x[..len], &dy[..len]);
        if let ([mean], [mean_dy], [slope], [a]) = (mean, mean_dy, slope, a) {
            for i in 0..len {
                dx[i] = a * (dy[i] - mean_dy - (x[i] - mean) * slope);
            }
        } else {
            let (mean, mean_dy, slope, a) = (&mean[..len], &mean_dy[..len], &slope[..len], &a[..len]);
            for i in 0..len {
                dx[i] = a[i] * (dy[i] - mean_dy[i] - (x[i] - mean[i]) * slope[i]);
            }
        }
    }
}
