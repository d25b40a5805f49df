//! Fake quantization in ordinary tensor operations, for every backend.

use burn::backend::Backend;
use fewbit_formats::FloatFormat;

use super::{MinifloatGradient, Outside, Rule, Value};
use crate::ops::value::Mask;

/// The scale of a quantizer.
#[derive(Clone)]
pub enum Scale<B: Backend> {
    /// One number.
    Constant(f32),
    /// A tensor that broadcasts.
    Tensor(Value<B>),
}

impl<B: Backend> Scale<B> {
    fn divide(&self, x: Value<B>) -> Value<B> {
        match self {
            Self::Constant(1.0) => x,
            // The same number, also on graphics processors, whose divisions may be off by an ulp or two.
            Self::Constant(scale) if is_power_of_two(*scale) => x * (1.0 / scale),
            Self::Constant(scale) => x / *scale,
            Self::Tensor(scale) => x / scale.clone(),
        }
    }

    fn multiply(&self, x: Value<B>) -> Value<B> {
        match self {
            Self::Constant(1.0) => x,
            Self::Constant(scale) => x * *scale,
            Self::Tensor(scale) => x * scale.clone(),
        }
    }
}

pub fn forward<B: Backend>(x: Value<B>, scale: Scale<B>, rule: Rule) -> Value<B> {
    let clipped = clip(rounded(scale.divide(x), rule), rule);
    scale.multiply(clipped)
}

/// In units of the scale, before clipping.
fn rounded<B: Backend>(u: Value<B>, rule: Rule) -> Value<B> {
    match rule {
        Rule::Minifloat { format, .. } => {
            let infinite = u.clone().abs().equal(f32::INFINITY);
            let (step, inverse) = steps(u.clone(), format);
            ((u * inverse).round() * step).fill(infinite, f32::NAN)
        }
        // The zero point is added although it is zero: -0 becomes +0.
        Rule::Integer { .. } => (u + 0.0).round(),
        Rule::Bipolar { .. } => u.like(-1.0).fill(u.at_least(0.0), 1.0),
        Rule::Ternary { threshold } => {
            let outer = u.clone().abs().above(threshold);
            u.like(0.0).replace(outer, u.sign())
        }
    }
}

fn clip<B: Backend>(rounded: Value<B>, rule: Rule) -> Value<B> {
    match rule {
        Rule::Minifloat { format, .. } => {
            let low = if format.signed() { -format.max_value() } else { 0.0 };
            rounded.clip(low, format.max_value())
        }
        Rule::Integer { min, max, .. } => rounded.clip(min, max),
        Rule::Bipolar { .. } | Rule::Ternary { .. } => rounded,
    }
}

/// Whether the inverse is a number as well, so that a product with it is the quotient.
fn is_power_of_two(scale: f32) -> bool {
    scale.is_normal() && (1.0 / scale).is_normal() && scale.to_bits() << 9 == 0
}

/// The distance of neighbouring values around each element and its inverse: every binade is found by
/// comparison.
fn steps<B: Backend>(u: Value<B>, format: FloatFormat) -> (Value<B>, Value<B>) {
    let lowest = 1 - format.exponent_bias();
    let mantissa = format.mantissa_bit_width() as i32;
    let magnitude = u.abs();
    let power = |exponent: i32| f64::from(exponent).exp2() as f32;
    // Values above the range round to beyond it with the step of the last binade, too.
    let highest = match format.max_value() {
        max if max.is_finite() => (f64::from(max).log2().floor() as i32 + 1).min(127),
        _ => 127,
    };
    // Graphics processors take subnormal numbers for zero, and the inverse of one is none. So the values of
    // wide formats that are subnormal in f32 are rounded to its smallest normal number.
    let exponent_of_step = |exponent: i32| (exponent - mantissa).max(f32::MIN_EXP - 1);
    let first = exponent_of_step(lowest);
    let start = (magnitude.like(power(first)), magnitude.like(power(-first)));
    (lowest + 1..=highest).fold(start, |(step, inverse), exponent| {
        let mask = magnitude.clone().at_least(power(exponent));
        let exponent = exponent_of_step(exponent);
        (step.fill(mask.clone(), power(exponent)), inverse.fill(mask, power(-exponent)))
    })
}

/// Where the rounded value is outside of the range.
fn outside<B: Backend>(rounded: Value<B>, rule: Rule) -> Option<Mask<B>> {
    let beyond = |low: f32, high: f32| {
        let below = rounded.like(0.0).fill(rounded.clone().below(low), 1.0);
        below.fill(rounded.clone().above(high), 1.0).above(0.5)
    };
    match rule {
        Rule::Minifloat { format, .. } => {
            let low = if format.signed() { -format.max_value() } else { 0.0 };
            Some(beyond(low, format.max_value()))
        }
        Rule::Integer { min, max, outside: Outside::Block } => Some(beyond(min, max)),
        _ => None,
    }
}

/// `dy/dx`, and how much of it is the rounding (`q'`).
fn slope<B: Backend>(u: Value<B>, rule: Rule) -> Value<B> {
    let rounded = rounded(u.clone(), rule);
    match rule {
        Rule::Minifloat { format, gradient } => {
            let slope = match gradient {
                MinifloatGradient::Ste => u.like(1.0),
                MinifloatGradient::Brevitas => {
                    let smallest = format.smallest_normal();
                    let normal = u.clone().abs().at_least(smallest);
                    let clipped = clip(rounded.clone(), rule);
                    u.like(1.0).replace(normal, clipped / u)
                }
            };
            slope.fill(outside(rounded, rule).expect("a minifloat has a range"), 0.0)
        }
        Rule::Integer { .. } => match outside(rounded, rule) {
            Some(mask) => u.like(1.0).fill(mask, 0.0),
            None => u.like(1.0),
        },
        Rule::Bipolar { outside } => match outside {
            Outside::Pass => u.like(1.0),
            Outside::Block => u.like(1.0).fill(u.abs().above(1.0), 0.0),
        },
        Rule::Ternary { threshold } => u.like(0.0).fill(u.abs().above(threshold), 1.0),
    }
}

pub fn gradient<B: Backend>(
    x: Value<B>,
    scale: Scale<B>,
    upstream: Value<B>,
    rule: Rule,
) -> Value<B> {
    let passed = upstream * slope(scale.divide(x), rule);
    match rule {
        // The sign is taken of x, not of x / scale: the scale stays as a factor.
        Rule::Bipolar { .. } | Rule::Ternary { .. } => scale.multiply(passed),
        Rule::Minifloat { .. } | Rule::Integer { .. } => passed,
    }
}

/// The gradient of a scale that is a tensor, summed to its shape.
pub fn scale_gradient<B: Backend>(
    x: Value<B>,
    scale: Value<B>,
    upstream: Value<B>,
    rule: Rule,
) -> Value<B> {
    let u = x / scale.clone();
    let q = clip(rounded(u.clone(), rule), rule);
    let per_element = match rule {
        Rule::Minifloat { format, gradient: MinifloatGradient::Brevitas } => {
            // The slope is 1 where `u` is subnormal and `q / u` elsewhere, which leaves nothing.
            let outside = outside(rounded(u.clone(), rule), rule).expect("a minifloat has a range");
            let normal = u.clone().abs().at_least(format.smallest_normal());
            upstream * (q.clone() - u).fill(normal, 0.0).replace(outside, q)
        }
        Rule::Minifloat { gradient: MinifloatGradient::Ste, .. } | Rule::Integer { .. } => {
            upstream * (q - u.clone() * slope(u, rule))
        }
        Rule::Bipolar { .. } | Rule::Ternary { .. } => upstream * q,
    };
    let shape = scale.shape();
    if scale.len() == 1 {
        return per_element.total().reshape(&shape);
    }
    let dims = shape.iter().enumerate().filter(|&(_, &size)| size == 1).map(|(dim, _)| dim);
    per_element.sum_over(dims.collect::<Vec<_>>())
}
