//! The quantizers of a program: those of [`crate::quantize`], worked out once, and leaving codes or values as is wanted.

use fewbit_formats::FloatFormat;

use crate::isa::{Level, multiversion};

/// `y = Q(x / scale) * factor`, where `Q` rounds to a minifloat, ties to even, and saturates. NaN and infinities give NaN.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Minifloat {
    smallest: i32,
    largest: i32,
    offset: i32,
    min: f32,
    max: f32,
    scale: f32,
    factor: f32,
}

impl Minifloat {
    /// The quantizer [`crate::quantize::minifloat`] with one scale; `None` for formats whose steps leave the range of `f32`.
    pub fn new(format: &FloatFormat, scale: f32) -> Option<Self> {
        let (mantissa, bias) = (format.mantissa_bit_width() as i32, format.exponent_bias());
        let smallest = 1 - bias;
        let largest = (1_i32 << format.exponent_bit_width()) - bias;
        let fits = mantissa <= 21
            && smallest >= -126
            && smallest - mantissa + 23 >= -126
            && largest - mantissa + 23 <= 127;
        let max = format.max_value();
        fits.then_some(Self {
            smallest: (smallest + 127) << 23,
            largest: (largest + 127) << 23,
            offset: (23 - mantissa) << 23,
            min: if format.signed() { -max } else { 0.0 },
            max,
            scale,
            factor: scale,
        })
    }

    /// What the input is divided by.
    pub fn scale(&self) -> f32 {
        self.scale
    }

    /// The same with another factor at the end.
    pub fn with_factor(self, factor: f32) -> Self {
        Self { factor, ..self }
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
        let bits = u.to_bits() as i32;
        let magnitude = f32::from_bits((bits & 0x7fff_ffff) as u32);
        let exponent = (bits & 0x7f80_0000).max(self.smallest).min(self.largest);
        let shift = f32::from_bits((exponent + self.offset) as u32);
        // The last product is 0, and NaN for NaN and infinities.
        let rounded = ((magnitude + shift) - shift) + magnitude * 0.0;
        let v = f32::from_bits(rounded.to_bits() | (bits as u32 & 0x8000_0000));
        clamp(v, self.min, self.max)
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
