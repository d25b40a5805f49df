//! What follows a convolution, in one pass: a quantizer, batch normalization, the rectifier, a quantizer.
//!
//! ```text
//! u = before(x);  v = u * a + b by channel;  w = max(v, 0);  y = after(w)
//! ```
//!
//! Each part may be missing. A channel is gone through while it lies in the cache, and its input is all that the backward pass
//! needs: the rest is computed again. The bits are those of the parts one after the other.

use crate::batch_norm::{BatchStatistics, Formula, affine_run, coefficient, fused_run};
use crate::batch_norm::{grad_run, inverse_deviation, mean_of, slope_of, variance_of};
use crate::isa::{Level, multiversion};
use crate::statistics::{ChannelShape, run_sums};
use crate::tile::Output;
use crate::{parallel, scratch};

/// A quantizer with one scale, called for one run of values after the other.
pub trait Quantizer: Sync {
    /// Quantizes `x` into `y`.
    fn forward(&self, x: &[f32], y: &mut [f32]);

    /// The gradient `dx` of the input from that of the output; returns the part of these values in the gradient of the scale.
    fn backward(&self, x: &[f32], dy: &[f32], dx: &mut [f32]) -> f64;
}

/// The parts around the normalization.
#[derive(Clone, Copy)]
pub struct Activation<'a> {
    /// The quantizer of the input.
    pub before: Option<&'a dyn Quantizer>,
    /// Whether negative values become zero.
    pub rectify: bool,
    /// The quantizer of the result.
    pub after: Option<&'a dyn Quantizer>,
}

/// The normalization of a forward pass; every slice is `[C]`.
#[derive(Clone, Copy, Debug)]
pub enum Normalization<'a> {
    /// None.
    None,
    /// With the statistics of the batch.
    Batch {
        /// Factor.
        weight: &'a [f32],
        /// Offset.
        bias: &'a [f32],
        /// Added to the variance.
        eps: f32,
    },
    /// With given statistics.
    Given {
        /// Factor.
        weight: &'a [f32],
        /// Offset.
        bias: &'a [f32],
        /// Mean.
        mean: &'a [f32],
        /// Variance.
        variance: &'a [f32],
        /// Added to the variance.
        eps: f32,
        /// How the affine function is rounded.
        formula: Formula,
    },
}

/// Gradients besides that of the input.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gradients {
    /// To the factor of the normalization; empty without one.
    pub weight: Vec<f32>,
    /// To its offset; empty without one.
    pub bias: Vec<f32>,
    /// To the scale of the first quantizer.
    pub before: f32,
    /// To the scale of the second.
    pub after: f32,
}

/// The affine function of one channel.
#[derive(Clone, Copy)]
struct Affine {
    a: f32,
    b: f32,
    formula: Formula,
}

impl Affine {
    /// Changes nothing, not even the sign of zero.
    const IDENTITY: Self = Self { a: 1.0, b: -0.0, formula: Formula::TwoRoundings };

    fn new(weight: f32, bias: f32, mean: f32, inverse: f32, formula: Formula) -> Self {
        let (a, b) = coefficient(weight, bias, mean, inverse, formula);
        Self { a, b, formula }
    }
}

/// Computes `y`; returns the statistics of the batch, empty if none were asked for.
///
/// # Shape
/// `x`, `y`: `[N, C, inner]`.
/// # Panics
/// If a slice has another length.
pub fn forward(
    x: &[f32],
    y: &mut [f32],
    shape: ChannelShape,
    normalization: Normalization<'_>,
    activation: &Activation<'_>,
) -> BatchStatistics {
    shape.check(x.len());
    shape.check(y.len());
    let level = Level::current();
    let ChannelShape { n, c: channels, inner } = shape;
    let output = Output::new(y);
    let found = parallel::jobs(channels, x.len(), |c| {
        scratch::floats(inner, |buffer| {
            let runs = (0..n).map(|image| (image * channels + c) * inner);
            // SAFETY: these runs belong to this channel alone, and no two slices of one are used at a time.
            let y = |start: usize| unsafe { output.floats(start, inner) };
            // What is normalized lies in `y` until it is, if it is not the input itself.
            let quantized = |start: usize| -> &[f32] {
                let x = &x[start..][..inner];
                let Some(before) = activation.before else { return x };
                let u = y(start);
                before.forward(x, u);
                u
            };
            let again = |start: usize| -> &[f32] {
                if activation.before.is_some() { y(start) } else { &x[start..][..inner] }
            };
            let mut statistics = None;
            let affine = match normalization {
                Normalization::None => Affine::IDENTITY,
                Normalization::Given { weight, bias, mean, variance, eps, formula } => {
                    let inverse = inverse_deviation(variance[c], eps);
                    Affine::new(weight[c], bias[c], mean[c], inverse, formula)
                }
                Normalization::Batch { weight, bias, eps } => {
                    let sums = |total: (f64, f64), u: &[f32], mean: f32| {
                        let (sum, product) = run_sums(level, u, mean, u, mean);
                        (total.0 + sum, total.1 + product)
                    };
                    let zero = (0.0, 0.0);
                    let sum = runs.clone().fold(zero, |sum, run| sums(sum, quantized(run), 0.0)).0;
                    let mean = mean_of(sum, shape.count());
                    let around = runs.clone().fold(zero, |sum, run| sums(sum, again(run), mean));
                    let variance = variance_of(around, shape.count());
                    let inverse = inverse_deviation(variance, eps);
                    statistics = Some((mean, variance, inverse));
                    Affine::new(weight[c], bias[c], mean, inverse, Formula::TwoRoundings)
                }
            };
            for start in runs {
                let u = if statistics.is_some() { again(start) } else { quantized(start) };
                normalized(level, u, buffer, affine, activation.rectify);
                match activation.after {
                    None => y(start).copy_from_slice(buffer),
                    Some(after) => after.forward(buffer, y(start)),
                }
            }
            statistics
        })
    });
    let mut statistics = BatchStatistics {
        mean: Vec::new(),
        variance: Vec::new(),
        inverse_deviation: Vec::new(),
        count: shape.count(),
    };
    for (mean, variance, inverse) in found.into_iter().flatten() {
        statistics.mean.push(mean);
        statistics.variance.push(variance);
        statistics.inverse_deviation.push(inverse);
    }
    statistics
}

/// Turns the gradient of the output, `gradient`, into that of the input, in place.
///
/// `normalization` is the factor of the normalization and the statistics that [`forward`] found; `bias` its offset.
///
/// # Shape
/// `x`, `gradient`: `[N, C, inner]`.
/// # Panics
/// If a slice has another length.
pub fn backward(
    x: &[f32],
    gradient: &mut [f32],
    shape: ChannelShape,
    normalization: Option<(&[f32], &[f32], &BatchStatistics)>,
    activation: &Activation<'_>,
) -> Gradients {
    shape.check(x.len());
    shape.check(gradient.len());
    let level = Level::current();
    let ChannelShape { n, c: channels, inner } = shape;
    let output = Output::new(gradient);
    let found = parallel::jobs(channels, 2 * x.len(), |c| {
        scratch::floats(3 * inner, |buffers| {
            let (first, buffers) = buffers.split_at_mut(inner);
            let (second, third) = buffers.split_at_mut(inner);
            let runs = (0..n).map(|image| (image * channels + c) * inner);
            let mut scales = (0.0, 0.0);
            let mut sums = (0.0, 0.0);
            let affine = match normalization {
                None => Affine::IDENTITY,
                Some((weight, bias, found)) => {
                    let inverse = found.inverse_deviation[c];
                    let formula = Formula::TwoRoundings;
                    Affine::new(weight[c], bias[c], found.mean[c], inverse, formula)
                }
            };
            for start in runs.clone() {
                let x = &x[start..][..inner];
                // SAFETY: this run belongs to this channel alone.
                let gradient = unsafe { output.floats(start, inner) };
                let u = activation.before(x, first);
                if activation.rectify || activation.after.is_some() {
                    normalized(level, u, second, affine, activation.rectify);
                }
                if let Some(after) = activation.after {
                    scales.1 += after.backward(second, gradient, third);
                    gradient.copy_from_slice(third);
                }
                if activation.rectify {
                    keep_positive(level, second, gradient);
                }
                match normalization {
                    Some((_, _, found)) => {
                        let (sum, product) = run_sums(level, gradient, 0.0, u, found.mean[c]);
                        sums = (sums.0 + sum, sums.1 + product);
                    }
                    None => {
                        if let Some(before) = activation.before {
                            second.copy_from_slice(gradient);
                            scales.0 += before.backward(x, second, gradient);
                        }
                    }
                }
            }
            let Some((weight, _, found)) = normalization else { return (sums, scales) };
            let (r, mean) = (found.inverse_deviation[c], found.mean[c]);
            let slope = slope_of(sums.1, r, shape.count());
            let mean_dy = mean_of(sums.0, shape.count());
            for start in runs {
                let x = &x[start..][..inner];
                // SAFETY: this run belongs to this channel alone.
                let gradient = unsafe { output.floats(start, inner) };
                let u = activation.before(x, first);
                let a = weight[c] * r;
                grad_run(level, u, gradient, second, &[mean], &[mean_dy], &[slope], &[a]);
                match activation.before {
                    Some(before) => scales.0 += before.backward(x, second, gradient),
                    None => gradient.copy_from_slice(second),
                }
            }
            (sums, scales)
        })
    });
    let total = |part: fn(&(f64, f64)) -> f64| -> f32 {
        found.iter().map(|(_, scales)| part(scales)).sum::<f64>() as f32
    };
    let mut gradients =
        Gradients { before: total(|s| s.0), after: total(|s| s.1), ..Gradients::default() };
    if let Some((_, _, statistics)) = normalization {
        let sums = found.iter().map(|(sums, _)| sums);
        gradients.bias = sums.clone().map(|sums| sums.0 as f32).collect();
        let weight = sums.zip(&statistics.inverse_deviation);
        gradients.weight = weight.map(|(sums, &r)| (sums.1 * f64::from(r)) as f32).collect();
    }
    gradients
}

impl Activation<'_> {
    /// The first quantizer's result, in `buffer` if there is one.
    fn before<'a>(&self, x: &'a [f32], buffer: &'a mut [f32]) -> &'a [f32] {
        match self.before {
            None => x,
            Some(before) => {
                before.forward(x, buffer);
                buffer
            }
        }
    }
}

/// The affine function and the rectifier.
fn normalized(level: Level, x: &[f32], y: &mut [f32], affine: Affine, rectify: bool) {
    let Affine { a, b, formula } = affine;
    match (formula, rectify) {
        (Formula::TwoRoundings, true) => affine_rectified(level, x, y, a, b),
        (Formula::TwoRoundings, false) => affine_run(level, x, y, &[a], &[b]),
        (Formula::Fused, _) => {
            fused_run(level, x, y, &[a], &[b]);
            if rectify {
                y.iter_mut().for_each(|v| *v = if *v <= 0.0 { 0.0 } else { *v });
            }
        }
    }
}

multiversion! {
    fn affine_rectified(level, x: &[f32], y: &mut [f32], a: f32, b: f32) {
        let x = &x[..y.len()];
        for i in 0..y.len() {
            let v = x[i] * a + b;
            // NaN stays NaN.
            y[i] = if v <= 0.0 { 0.0 } else { v };
        }
    }
}

multiversion! {
    /// Zero where the rectified value is zero.
    fn keep_positive(level, rectified: &[f32], gradient: &mut [f32]) {
        let rectified = &rectified[..gradient.len()];
        for i in 0..gradient.len() {
            gradient[i] = if rectified[i] == 0.0 { 0.0 } else { gradient[i] };
        }
    }
}
