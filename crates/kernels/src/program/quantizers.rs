//! The quantizers of a program: those of [`crate::quantize`], worked out once, and leaving codes or values as is wanted.

use fewbit_formats::FloatFormat;

use crate::isa::{Level, multiversion};
use crate::quantize::{Bounds, Fast, Round, fast};

/// `y = Q(x / scale) * factor`, where `Q` rounds to a minifloat, ties to even, and saturates. NaN and infinities give NaN.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Minifloat {
    step: Fast,
    clip: Bounds,
    scale: f32,
    factor: f32,
}

impl Minifloat {
    /// The quantizer [`crate::quantize::minifloat`] with one scale; `None` for formats whose steps leave the range of `f32`.
    pub fn new(format: &FloatFormat, scale: f32) -> Option<Self> {
        let (step, clip) = fast(format)?;
        Some(Self { step, clip, scale, factor: scale })
    }

    /// What the input is divided by.
    pub fn scale(&self) -> f32 {
        self.scale
    }

    /// The same with another factor at the end.
    pub fn with_factor(self, factor: f32) -> Self {
        Self { factor, ..self }
    }

    /// What the result is multiplied by.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn factor(&self) -> f32 {
        self.factor
    }

    /// The bits of the smallest and the largest exponent that count, and what makes such bits the number by which values are rounded.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn exponents(&self) -> (i32, i32, i32) {
        (self.step.smallest, self.step.largest, self.step.offset)
    }

    /// Where values are clipped.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn limits(&self) -> (f32, f32) {
        (self.clip.min, self.clip.max)
    }

    pub(super) fn apply(&self, level: Level, block: &mut [f32]) {
        match (exact_reciprocal(self.scale), self.factor) {
            (Some(1.0), 1.0) => minifloat(level, block, self),
            (Some(reciprocal), factor) => minifloat_times(level, block, self, reciprocal, factor),
            (None, factor) => minifloat_over(level, block, self, self.scale, factor),
        }
    }

    #[inline(always)]
    fn round(&self, u: f32) -> f32 {
        self.clip.apply(self.step.round(u))
    }
}

/// `y = (q - z) * factor`, where `q` is `x / scale + z` rounded to an integer, ties to even, and clipped. NaN stays NaN.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Integer {
    /// Smallest integer.
    pub min: f32,
    /// Largest integer.
    pub max: f32,
    /// The integer that stands for 0.
    pub zero_point: f32,
    /// What the input is divided by.
    pub scale: f32,
    /// What the result is multiplied by.
    pub factor: f32,
    /// Clips before it rounds.
    pub clips_first: bool,
}

impl Integer {
    pub(super) fn apply(&self, level: Level, block: &mut [f32]) {
        match (exact_reciprocal(self.scale), self.clips_first) {
            (Some(reciprocal), false) => integer_times(level, block, self, reciprocal),
            (Some(reciprocal), true) => clipped_times(level, block, self, reciprocal),
            (None, false) => integer_over(level, block, self),
            (None, true) => clipped_over(level, block, self),
        }
    }

    #[inline(always)]
    fn round_then_clip(&self, u: f32) -> f32 {
        let q = clamp((u + self.zero_point).round_ties_even(), self.min, self.max);
        (q - self.zero_point) * self.factor
    }

    #[inline(always)]
    fn clip_then_round(&self, u: f32) -> f32 {
        let q = clamp(u + self.zero_point, self.min, self.max).round_ties_even();
        (q - self.zero_point) * self.factor
    }
}

/// NaN stays NaN.
#[inline(always)]
fn clamp(v: f32, min: f32, max: f32) -> f32 {
    let v = if v > max { max } else { v };
    if v < min { min } else { v }
}

/// The reciprocal by which multiplying is dividing: that of a power of two.
pub(super) fn exact_reciprocal(scale: f32) -> Option<f32> {
    let power = scale.is_normal() && scale.to_bits() & 0x007f_ffff == 0;
    Some(1.0 / scale).filter(|reciprocal| power && reciprocal.is_normal())
}

multiversion! {
    fn minifloat(level, block: &mut [f32], q: &Minifloat) {
        for v in block {
            *v = q.round(*v);
        }
    }
}

multiversion! {
    fn minifloat_times(level, block: &mut [f32], q: &Minifloat, reciprocal: f32, factor: f32) {
        for v in block {
            *v = q.round(*v * reciprocal) * factor;
        }
    }
}

multiversion! {
    fn minifloat_over(level, block: &mut [f32], q: &Minifloat, scale: f32, factor: f32) {
        for v in block {
            *v = q.round(*v / scale) * factor;
        }
    }
}

multiversion! {
    fn integer_times(level, block: &mut [f32], q: &Integer, reciprocal: f32) {
        for v in block {
            *v = q.round_then_clip(*v * reciprocal);
        }
    }
}

multiversion! {
    fn integer_over(level, block: &mut [f32], q: &Integer) {
        for v in block {
            *v = q.round_then_clip(*v / q.scale);
        }
    }
}

multiversion! {
    fn clipped_times(level, block: &mut [f32], q: &Integer, reciprocal: f32) {
        for v in block {
            *v = q.clip_then_round(*v * reciprocal);
        }
    }
}

multiversion! {
    fn clipped_over(level, block: &mut [f32], q: &Integer) {
        for v in block {
            *v = q.clip_then_round(*v / q.scale);
        }
    }
}
