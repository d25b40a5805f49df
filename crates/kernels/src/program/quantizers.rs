//! The quantizers of a program: those of [`crate::quantize`], worked out once, and leaving codes or values as is wanted.

use fewbit_formats::FloatFormat;

#[cfg(target_arch = "x86_64")]
use super::chain::Rounding;
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

    /// Exponents as the registers need them: the smallest and the largest that count, and what makes the bits of one the number by
    /// which values are rounded.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn exponents(&self) -> (i32, i32, i32) {
        (self.step.smallest, self.step.largest, self.step.offset)
    }

    /// Where values are clipped.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn limits(&self) -> (f32, f32) {
        (self.clip.min, self.clip.max)
    }

    /// Stored bits of the mantissa.
    #[cfg(target_arch = "x86_64")]
    fn mantissa(&self) -> i32 {
        23 - (self.step.offset >> 23)
    }

    /// Significant bits of what it rounds to.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn significant_bits(&self) -> u32 {
        self.mantissa() as u32 + 1
    }

    /// The smallest number above 0 that it rounds to.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn grain(&self) -> f64 {
        f64::from(f32::from_bits(self.step.smallest as u32)) / 2.0_f64.powi(self.mantissa())
    }

    /// How numbers are rounded that are those of this format over `factor`, a power of two. `None` if that leaves the range of f32, or
    /// if clipping first gives something else.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn rounding(&self, factor: f32, positive: bool) -> Option<Rounding> {
        let (min, max) = (self.clip.min / factor, self.clip.max / factor);
        let moves = |limit: f32| self.step.round(limit) != limit;
        let tiny = self.grain() < 2.0_f64.powi(-100);
        if tiny || moves(self.clip.min) || moves(self.clip.max) || !(min == 0.0 || min.is_normal())
        {
            return None;
        }
        // Between the smallest exponent and that of the maximum, all must be numbers.
        let exponent = |v: f32| (v.to_bits() >> 23 & 0xff) as i32;
        let smallest = (self.step.smallest >> 23) - (exponent(factor) - 127);
        let offset = self.step.offset >> 23;
        let inside =
            max.is_normal() && smallest >= 1 && exponent(max).max(smallest) + offset <= 254;
        // One and a half times the power of two: negative numbers, too, leave the sum in the same binade.
        let offset = (offset << 23) + (1 << 22);
        inside.then_some(Rounding { min, max, positive, smallest: smallest << 23, offset })
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
