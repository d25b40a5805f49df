//! Fake quantization on slices of the processor: the rounding itself is in `fewbit-kernels`.

use std::sync::Arc;

use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;
use fewbit_kernels::activation::Quantizer;
use fewbit_kernels::quantize::{self, ClampGradient, IntegerQuantizer, MinifloatQuantizer, Scale};
use fewbit_kernels::statistics::{ChannelShape, channel_sum};

use super::{Flex, Kept, MinifloatGradient, Outside, Rule};
use crate::ops::bits::Bits;
use crate::ops::extension::{contiguous, map, slice, tensor};
use crate::ops::storage::{buffer, recycle};

pub fn forward(x: FlexTensor, scale: f32, rule: Rule) -> FlexTensor {
    apply(&contiguous(x), Scale::PerTensor(scale), rule)
}

pub fn forward_scaled(x: FlexTensor, scale: FlexTensor, rule: Rule) -> FlexTensor {
    let (x, scale) = (contiguous(x), contiguous(scale));
    apply(&x, broadcast(&scale, &x), rule)
}

fn apply(x: &FlexTensor, scale: Scale<'_>, rule: Rule) -> FlexTensor {
    let mut y = buffer(slice(x).len());
    quantize(slice(x), &mut y, scale, rule);
    tensor(y, x.shape())
}

fn quantize(x: &[f32], y: &mut [f32], scale: Scale<'_>, rule: Rule) {
    match rule {
        Rule::Minifloat { format, .. } => quantize::minifloat(x, y, &format, scale),
        Rule::Integer { min, max, .. } => {
            quantize::integer(x, y, &IntegerQuantizer::new(min, max), scale);
        }
        Rule::Bipolar { .. } => quantize::bipolar(x, y, scale),
        Rule::Ternary { threshold } => quantize::ternary(x, y, threshold, scale),
    }
}

/// A scale tensor as the kernels see it; they want the channel's place.
fn broadcast<'a>(scale: &'a FlexTensor, x: &FlexTensor) -> Scale<'a> {
    let scales = slice(scale);
    if let [scale] = scales {
        return Scale::PerTensor(*scale);
    }
    let channel = scale.shape().to_vec().iter().position(|&size| size != 1);
    let channel = channel.expect("a scale that is no single number has a channel");
    Scale::PerChannel { scales, inner: x.shape().to_vec()[channel + 1..].iter().product() }
}

pub fn forward_keeping(x: FlexTensor, scale: f32, rule: Rule) -> (FlexTensor, Kept<Flex>) {
    let x = contiguous(x);
    let y = apply(&x, Scale::PerTensor(scale), rule);
    let kept = match rule {
        Rule::Integer { outside: Outside::Pass, .. } | Rule::Bipolar { outside: Outside::Pass } => {
            Kept::Nothing
        }
        Rule::Minifloat { gradient: MinifloatGradient::Brevitas, .. } => Kept::Input(x),
        Rule::Minifloat { gradient: MinifloatGradient::Ste, .. }
        | Rule::Integer { outside: Outside::Block, .. }
        | Rule::Bipolar { outside: Outside::Block }
        | Rule::Ternary { .. } => Kept::Bits(Arc::new(passing(slice(&x), scale, rule))),
    };
    (y, kept)
}

/// Which elements pass their gradient: the gradient of ones, in pieces that stay in the cache.
fn passing(x: &[f32], scale: f32, rule: Rule) -> Bits {
    const PIECE: usize = 4096;
    let ones = [1.0; PIECE];
    let mut found = [0.0; PIECE];
    Bits::collect(x.chunks(PIECE).map(|x| {
        let found = &mut found[..x.len()];
        gradient_into(x, &ones[..x.len()], found, Scale::PerTensor(scale), rule);
        Bits::new(found, |v| v != 0.0)
    }))
}

/// The gradient of the input from the input.
fn gradient_into(x: &[f32], dy: &[f32], dx: &mut [f32], scale: Scale<'_>, rule: Rule) {
    match rule {
        Rule::Minifloat { format, gradient } => {
            quantize::minifloat_grad(x, dy, dx, &format, scale, kernel(gradient));
        }
        Rule::Integer { outside: Outside::Pass, .. } => dx.copy_from_slice(dy),
        Rule::Integer { min, max, outside: Outside::Block } => {
            quantize::integer_grad(x, dy, dx, &IntegerQuantizer::new(min, max), scale);
        }
        Rule::Bipolar { outside: Outside::Block } => quantize::bipolar_grad(x, dy, dx, scale),
        Rule::Bipolar { outside: Outside::Pass } => multiply(dy, dx, scale),
        Rule::Ternary { threshold } => {
            // Where the value is not zero, it is the scale or its negative.
            quantize::ternary(x, dx, threshold, scale);
            for (dx, dy) in dx.iter_mut().zip(dy) {
                *dx = dx.abs() * dy;
            }
        }
    }
}

fn kernel(gradient: MinifloatGradient) -> quantize::MinifloatGradient {
    match gradient {
        MinifloatGradient::Brevitas => quantize::MinifloatGradient::Brevitas,
        MinifloatGradient::Ste => quantize::MinifloatGradient::StraightThrough,
    }
}

/// `dx = dy * scale`.
fn multiply(dy: &[f32], dx: &mut [f32], scale: Scale<'_>) {
    match scale {
        Scale::PerTensor(scale) => dx.iter_mut().zip(dy).for_each(|(dx, dy)| *dx = dy * scale),
        Scale::PerChannel { scales, inner } => {
            let runs = dy.chunks(inner).zip(dx.chunks_mut(inner));
            for (i, (dy, dx)) in runs.enumerate() {
                let scale = scales[i % scales.len()];
                dx.iter_mut().zip(dy).for_each(|(dx, dy)| *dx = dy * scale);
            }
        }
    }
}

pub fn gradient(kept: Kept<Flex>, upstream: FlexTensor, scale: f32, rule: Rule) -> FlexTensor {
    // The gradient of what takes the sign has the scale as a factor.
    let factor = match rule {
        Rule::Bipolar { .. } | Rule::Ternary { .. } => scale,
        Rule::Minifloat { .. } | Rule::Integer { .. } => 1.0,
    };
    let upstream = match kept {
        Kept::Nothing => upstream,
        Kept::Bits(bits) => map(upstream, |dy| bits.mask(dy), |dy, dx| bits.mask_into(dy, dx)),
        Kept::Input(x) => {
            let (x, dy) = (contiguous(x), contiguous(upstream));
            let mut dx = buffer(slice(&dy).len());
            gradient_into(slice(&x), slice(&dy), &mut dx, Scale::PerTensor(scale), rule);
            let shape = x.shape();
            [x, dy].into_iter().for_each(recycle);
            return tensor(dx, shape);
        }
    };
    if factor == 1.0 {
        return upstream;
    }
    map(
        upstream,
        |dy| dy.iter_mut().for_each(|v| *v *= factor),
        |dy, dx| multiply(dy, dx, Scale::PerTensor(factor)),
    )
}

pub fn gradient_scaled(
    x: FlexTensor,
    scale: FlexTensor,
    upstream: FlexTensor,
    rule: Rule,
) -> (FlexTensor, FlexTensor) {
    let (x, scale, upstream) = (contiguous(x), contiguous(scale), contiguous(upstream));
    let (values, dy) = (slice(&x), slice(&upstream));
    let mut dx = buffer(values.len());
    let dscale = gradients_into(values, dy, &mut dx, broadcast(&scale, &x), rule);
    let shape = x.shape();
    [x, upstream].into_iter().for_each(recycle);
    (tensor(dx, shape), tensor(dscale, scale.shape()))
}

/// The gradient of the input from the input; returns that of the scales.
fn gradients_into(
    values: &[f32],
    dy: &[f32],
    dx: &mut [f32],
    scales: Scale<'_>,
    rule: Rule,
) -> Vec<f32> {
    match rule {
        Rule::Minifloat { format, gradient } => {
            let gradient = kernel(gradient);
            quantize::minifloat_grad_scale(values, dy, dx, &format, scales, gradient)
        }
        Rule::Integer { min, max, outside } => {
            let quantizer = IntegerQuantizer::new(min, max);
            let clamp = match outside {
                Outside::Block => ClampGradient::Mask,
                Outside::Pass => ClampGradient::StraightThrough,
            };
            quantize::integer_grad_scale(values, dy, dx, &quantizer, scales, clamp)
        }
        Rule::Bipolar { .. } | Rule::Ternary { .. } => {
            gradient_into(values, dy, dx, scales, rule);
            let mut signs = vec![0.0; values.len()];
            quantize(values, &mut signs, scales, rule);
            for (sign, dy) in signs.iter_mut().zip(dy) {
                *sign = if *sign == 0.0 { 0.0 } else { sign.signum() * dy };
            }
            channel_sum(&signs, channels(scales, values.len()))
        }
    }
}

/// A rule with one scale, worked out once for the kernels that call it for one run of values after the other.
pub struct Rounding {
    rule: Rule,
    scale: f32,
    learned: bool,
    /// If the rule rounds to a minifloat.
    minifloat: Option<MinifloatQuantizer>,
}

impl Rounding {
    /// Rounds as `rule` says; the gradient of the scale is summed up only if it is `learned`.
    pub fn new(rule: Rule, scale: f32, learned: bool) -> Self {
        let minifloat = match rule {
            Rule::Minifloat { format, .. } => Some(MinifloatQuantizer::new(&format)),
            _ => None,
        };
        Self { rule, scale, learned, minifloat }
    }
}

impl Quantizer for Rounding {
    fn forward(&self, x: &[f32], y: &mut [f32]) {
        let scale = Scale::PerTensor(self.scale);
        match &self.minifloat {
            Some(minifloat) => minifloat.forward(x, y, scale),
            None => quantize(x, y, scale, self.rule),
        }
    }

    fn backward(&self, x: &[f32], dy: &[f32], dx: &mut [f32]) -> f64 {
        let Self { rule, learned, .. } = *self;
        let scale = Scale::PerTensor(self.scale);
        match (&self.minifloat, rule) {
            (Some(minifloat), Rule::Minifloat { gradient, .. }) => {
                let gradient = kernel(gradient);
                if learned {
                    return minifloat.gradient_with_scale(x, dy, dx, scale, gradient)[0].into();
                }
                minifloat.gradient(x, dy, dx, scale, gradient);
            }
            _ if learned => return gradients_into(x, dy, dx, scale, rule)[0].into(),
            _ => gradient_into(x, dy, dx, scale, rule),
        }
        0.0
    }
}

fn channels(scale: Scale<'_>, len: usize) -> ChannelShape {
    match scale {
        Scale::PerTensor(_) => ChannelShape { n: 1, c: 1, inner: len },
        Scale::PerChannel { scales, inner } => {
            ChannelShape { n: len / (scales.len() * inner).max(1), c: scales.len(), inner }
        }
    }
}
