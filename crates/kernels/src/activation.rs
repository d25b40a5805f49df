//! What follows a convolution, in one pass: a quantizer, batch normalization, the rectifier, a quantizer.
//!
//! ```text
//! u = before(x);  v = u * a + b by channel;  w = max(v, 0);  y = after(w)
//! ```
//!
//! Each part may be missing. A channel is gone through while it lies in the cache, its images in pieces of about a thousand values, and
//! its input is all that the backward pass needs: the rest is computed again. The bits are those of the parts one after the other.

use crate::batch_norm::{BatchStatistics, Formula, affine_run, coefficient, fused_run};
use crate::batch_norm::{grad_run, inverse_deviation, mean_of, slope_of, variance_of};
use crate::isa::{Level, multiversion};
use crate::statistics::{ChannelShape, Sums};
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
        let pieces = Pieces { n, channels, inner, c };
        // Whoever has to go through the quantized values three times keeps them.
        let whole = match (normalization, activation.before) {
            (Normalization::Batch { .. }, Some(_)) => n * inner,
            _ => 0,
        };
        scratch::floats(whole + 4 * pieces.len(), |buffers| {
            let (quantized, buffers) = buffers.split_at_mut(whole);
            let [first, second, third, fourth] = quarters(buffers);
            let mut statistics = None;
            let affine = match normalization {
                Normalization::None => Affine::IDENTITY,
                Normalization::Given { weight, bias, mean, variance, eps, formula } => {
                    let inverse = inverse_deviation(variance[c], eps);
                    Affine::new(weight[c], bias[c], mean[c], inverse, formula)
                }
                Normalization::Batch { weight, bias, eps } => {
                    let mut sums = Sums::default();
                    for piece in pieces.iter() {
                        let x = pieces.gather(x, piece, first);
                        let u = match activation.before {
                            Some(before) => {
                                let u = &mut quantized[pieces.within(piece)];
                                before.forward(x, u);
                                u
                            }
                            None => x,
                        };
                        sums.add(level, u, 0.0, u, 0.0, inner);
                    }
                    let mean = mean_of(sums.total().0, shape.count());
                    let mut around = Sums::default();
                    for piece in pieces.iter() {
                        let u = match activation.before {
                            Some(_) => &quantized[pieces.within(piece)],
                            None => pieces.gather(x, piece, first),
                        };
                        around.add(level, u, mean, u, mean, inner);
                    }
                    let variance = variance_of(around.total(), shape.count());
                    let inverse = inverse_deviation(variance, eps);
                    statistics = Some((mean, variance, inverse));
                    Affine::new(weight[c], bias[c], mean, inverse, Formula::TwoRoundings)
                }
            };
            for piece in pieces.iter() {
                let len = pieces.within(piece).len();
                let u = if whole > 0 {
                    &quantized[pieces.within(piece)]
                } else {
                    activation.before(pieces.gather(x, piece, first), &mut second[..len])
                };
                pieces.write(piece, &output, fourth, |y| match activation.after {
                    Some(after) => {
                        let rectified = &mut third[..len];
                        normalized(level, u, rectified, affine, activation.rectify);
                        after.forward(rectified, y);
                    }
                    None => normalized(level, u, y, affine, activation.rectify),
                });
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
        let pieces = Pieces { n, channels, inner, c };
        let whole = if normalization.is_some() { n * inner } else { 0 };
        let kept = if activation.before.is_some() { whole } else { 0 };
        scratch::floats(kept + whole + 4 * pieces.len(), |buffers| {
            let (quantized, buffers) = buffers.split_at_mut(kept);
            let (gradients, buffers) = buffers.split_at_mut(whole);
            let [first, second, third, fourth] = quarters(buffers);
            let mut scales = (0.0, 0.0);
            let mut sums = Sums::default();
            let affine = match normalization {
                None => Affine::IDENTITY,
                Some((weight, bias, found)) => {
                    let inverse = found.inverse_deviation[c];
                    let formula = Formula::TwoRoundings;
                    Affine::new(weight[c], bias[c], found.mean[c], inverse, formula)
                }
            };
            for piece in pieces.iter() {
                let len = pieces.within(piece).len();
                let x = pieces.gather(x, piece, first);
                let u = match kept {
                    0 => activation.before(x, &mut fourth[..len]),
                    _ => activation.before(x, &mut quantized[pieces.within(piece)]),
                };
                let rectified = &mut second[..len];
                if activation.rectify || activation.after.is_some() {
                    normalized(level, u, rectified, affine, activation.rectify);
                }
                let dy = pieces.gather_from(&output, piece, third);
                match normalization {
                    Some((_, _, found)) => {
                        let gradient = &mut gradients[pieces.within(piece)];
                        scales.1 += activation.through_after(level, rectified, dy, gradient);
                        sums.add(level, gradient, 0.0, u, found.mean[c], inner);
                    }
                    None => {
                        // Nothing needs the quantized values any more.
                        let du = &mut fourth[..len];
                        scales.1 += activation.through_after(level, rectified, dy, du);
                        match activation.before {
                            Some(before) => pieces.write(piece, &output, second, |dx| {
                                scales.0 += before.backward(x, du, dx);
                            }),
                            None => {
                                pieces.write(piece, &output, second, |dx| dx.copy_from_slice(du))
                            }
                        }
                    }
                }
            }
            let sums = sums.total();
            let Some((weight, _, found)) = normalization else { return (sums, scales) };
            let (r, mean) = (found.inverse_deviation[c], found.mean[c]);
            let slope = slope_of(sums.1, r, shape.count());
            let mean_dy = mean_of(sums.0, shape.count());
            let a = weight[c] * r;
            for piece in pieces.iter() {
                let within = pieces.within(piece);
                let x = pieces.gather(x, piece, first);
                let u = if kept > 0 { &quantized[within.clone()] } else { x };
                let gradient = &gradients[within];
                let through_norm = |dx: &mut [f32]| {
                    grad_run(level, u, gradient, dx, &[mean], &[mean_dy], &[slope], &[a]);
                };
                pieces.write(piece, &output, third, |dx| match activation.before {
                    Some(before) => {
                        let du = &mut second[..dx.len()];
                        through_norm(du);
                        scales.0 += before.backward(x, du, dx);
                    }
                    None => through_norm(dx),
                });
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

    /// The gradient `dw` in front of the rectifier and the second quantizer, from their input and the gradient `dy` of the result;
    /// returns this part of the gradient of the scale.
    fn through_after(&self, level: Level, rectified: &[f32], dy: &[f32], dw: &mut [f32]) -> f64 {
        let dscale = match self.after {
            Some(after) => after.backward(rectified, dy, dw),
            None => {
                dw.copy_from_slice(dy);
                0.0
            }
        };
        if self.rectify {
            keep_positive(level, rectified, dw);
        }
        dscale
    }
}

/// A buffer in four equal parts.
fn quarters(buffer: &mut [f32]) -> [&mut [f32]; 4] {
    let (left, right) = buffer.split_at_mut(buffer.len() / 2);
    let (first, second) = left.split_at_mut(left.len() / 2);
    let (third, fourth) = right.split_at_mut(right.len() / 2);
    [first, second, third, fourth]
}

/// The images of one channel, as many at a time as make a good piece: so short runs cost no more than long ones.
#[derive(Clone, Copy)]
struct Pieces {
    n: usize,
    channels: usize,
    inner: usize,
    c: usize,
}

/// Values of a piece, about.
const PIECE: usize = 1024;

impl Pieces {
    /// Images of a piece.
    fn images(&self) -> usize {
        (PIECE / self.inner.max(1)).clamp(1, self.n.max(1))
    }

    /// Values of a piece, at most.
    fn len(&self) -> usize {
        self.images() * self.inner
    }

    fn iter(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let (n, images) = (self.n, self.images());
        (0..n).step_by(images).map(move |first| (first, images.min(n - first)))
    }

    /// Where a piece lies among all values of the channel.
    fn within(&self, (first, count): (usize, usize)) -> std::ops::Range<usize> {
        first * self.inner..(first + count) * self.inner
    }

    /// Where the run of an image begins in the tensor.
    fn start(&self, image: usize) -> usize {
        (image * self.channels + self.c) * self.inner
    }

    /// Has the piece behind this one brought into the cache: where its runs begin is nothing that the machine could foresee.
    fn fetch_next(&self, x: &[f32], (first, count): (usize, usize)) {
        for image in first + count..(first + 2 * count).min(self.n) {
            scratch::fetch(&x[self.start(image)..][..self.inner]);
        }
    }

    /// The values of a piece, in `buffer` unless they lie together.
    fn gather<'a>(
        &self,
        x: &'a [f32],
        (first, count): (usize, usize),
        buffer: &'a mut [f32],
    ) -> &'a [f32] {
        let Self { inner, .. } = *self;
        self.fetch_next(x, (first, count));
        if count == 1 {
            return &x[self.start(first)..][..inner];
        }
        for (i, run) in buffer[..count * inner].chunks_exact_mut(inner.max(1)).enumerate() {
            run.copy_from_slice(&x[self.start(first + i)..][..inner]);
        }
        &buffer[..count * inner]
    }

    /// As [`gather`](Self::gather), of what is about to be written.
    fn gather_from<'a>(
        &self,
        values: &Output<'a>,
        (first, count): (usize, usize),
        buffer: &'a mut [f32],
    ) -> &'a [f32] {
        // SAFETY: these runs belong to this channel alone; nothing is written to them before the values were used.
        let run = |image: usize| &*unsafe { values.floats(self.start(image), self.inner) };
        (first + count..(first + 2 * count).min(self.n)).for_each(|next| scratch::fetch(run(next)));
        if count == 1 {
            return run(first);
        }
        let runs = buffer[..count * self.inner].chunks_exact_mut(self.inner.max(1));
        runs.enumerate().for_each(|(i, to)| to.copy_from_slice(run(first + i)));
        &buffer[..count * self.inner]
    }

    /// Has a piece filled, in `buffer` unless its values lie together.
    fn write(
        &self,
        (first, count): (usize, usize),
        to: &Output<'_>,
        buffer: &mut [f32],
        fill: impl FnOnce(&mut [f32]),
    ) {
        // SAFETY: these runs belong to this channel alone, and no other slice of them is in use.
        let run = |image: usize| unsafe { to.floats(self.start(image), self.inner) };
        if count == 1 {
            return fill(run(first));
        }
        let piece = &mut buffer[..count * self.inner];
        fill(piece);
        let runs = piece.chunks_exact(self.inner.max(1)).enumerate();
        runs.for_each(|(i, values)| run(first + i).copy_from_slice(values));
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
