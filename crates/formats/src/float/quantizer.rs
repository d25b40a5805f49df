//! Rounding to a minifloat.

use super::{FloatFormat, Parts, power_of_two};
use crate::{CounterRng, Overflow, RoundingMode};

/// The constants of a format with which numbers are rounded to it.
///
/// Rounding to nearest has a path without branches wherever that is exact; everything else goes through `f64`, in which every step and every
/// quotient is exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FloatQuantizer {
    path: Path,
    mantissa_bit_width: i32,
    /// `1 - bias`.
    smallest_exponent: i32,
    // The bits of `f32` numbers, so that formats can be compared and hashed.
    max: u32,
    /// Zero without a sign, else minus infinity.
    lowest: u32,
    smallest_normal: u32,
    beyond: u32,
    lift: u32,
}

/// How to round to nearest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Path {
    /// Add and subtract the power of two whose last place is the step.
    Add,
    /// The exponents are those of an `f32`: round its bits, subnormal or not.
    Bits,
    /// e8m23 is `f32` itself.
    Identity,
    /// In `f64`.
    Wide,
}

impl FloatFormat {
    /// Rounds to the nearest value, ties to the even mantissa.
    ///
    /// Beyond the largest value it saturates. NaN and infinities give NaN (as Brevitas and QONNX do), except for e8m23, which is the identity. The sign
    /// stays, of zero and of what becomes zero; without a sign bit, negative values become 0.
    #[inline(always)]
    pub fn quantize(&self, x: f32) -> f32 {
        self.quantizer().quantize(x)
    }

    /// Rounds each element as [`FloatFormat::quantize`] does. Inlined so that a caller may compile it for its instruction set.
    ///
    /// # Panics
    /// If the lengths differ.
    #[inline(always)]
    pub fn quantize_slice(&self, x: &[f32], y: &mut [f32]) {
        self.quantizer().quantize_slice(x, y);
    }

    /// Rounds in a given way; what rounds to more than the largest value becomes what `overflow` says.
    ///
    /// NaN and infinities give NaN. [`Overflow::Nan`] also takes a value that rounds to infinity because the format has no limit (e8m7).
    pub fn quantize_with(&self, x: f32, rounding_mode: RoundingMode, overflow: Overflow) -> f32 {
        self.quantizer().wide(x, |u| rounding_mode.apply_f64(u), overflow)
    }

    /// Rounds to one of the two neighbours, to the nearer one more often: the mean is `x`. Saturates.
    ///
    /// `random`: 32 evenly distributed bits. The probability of the neighbour away from zero is off by less than `2^-32`.
    pub fn quantize_stochastic(&self, x: f32, random: u32) -> f32 {
        let up = |u: f64| {
            let below = u.trunc();
            let fraction = (u - below).abs() * 4_294_967_296.0;
            if fraction > f64::from(random) { below + 1.0_f64.copysign(u) } else { below }
        };
        self.quantizer().wide(x, up, Overflow::Saturate)
    }

    /// Rounds each element as [`FloatFormat::quantize_stochastic`] does, element `i` with the bits of place `first + i`.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn quantize_slice_stochastic(
        &self,
        x: &[f32],
        y: &mut [f32],
        rng: &CounterRng,
        first: u64,
    ) {
        assert_eq!(x.len(), y.len(), "input and output of a quantizer");
        let mut random = [0; 64];
        for (block, (x, y)) in x.chunks(64).zip(y.chunks_mut(64)).enumerate() {
            rng.fill_u32(first.wrapping_add(64 * block as u64), &mut random[..x.len()]);
            for ((y, &x), &random) in y.iter_mut().zip(x).zip(&random) {
                *y = self.quantize_stochastic(x, random);
            }
        }
    }

    /// What an overflow gives if it does not saturate: infinity or NaN, `None` if the format has neither.
    pub fn overflow(&self) -> Option<Overflow> {
        if self.has_inf() {
            Some(Overflow::Infinity)
        } else {
            self.has_nan().then_some(Overflow::Nan)
        }
    }

    /// The distance between neighbouring values around a finite `x` if the range had no end: a power of two.
    pub(super) fn step_at(&self, x: f32) -> f64 {
        self.quantizer().step(f64::from(x))
    }
}

impl FloatQuantizer {
    pub(super) fn new(parts: &Parts, max: f32) -> Self {
        let (e, m) = (parts.exponent_bit_width, parts.mantissa_bit_width as i32);
        let bias = parts.exponent_bias;
        let smallest_exponent = 1 - bias;
        // One above the largest exponent: all that is larger rounds to more than the maximum with this step, too.
        let beyond = (1 << e) - bias;
        let path = if e == 8 && m == 23 && bias == 127 && max >= f32::MAX {
            Path::Identity
        } else if m <= 22 && bias <= 127 && beyond <= 127 && beyond + 23 - m <= 127 {
            Path::Add
        } else if (1..=22).contains(&m) && e == 8 && bias == 127 {
            Path::Bits
        } else {
            Path::Wide
        };
        let bits = |exponent: i32| (power_of_two(exponent) as f32).to_bits();
        Self {
            path,
            mantissa_bit_width: m,
            smallest_exponent,
            max: max.to_bits(),
            lowest: if parts.signed { f32::NEG_INFINITY.to_bits() } else { 0 },
            smallest_normal: bits(smallest_exponent),
            beyond: bits(beyond.min(127)),
            lift: bits(23 - m),
        }
    }

    /// The largest value.
    #[inline(always)]
    pub fn max_value(&self) -> f32 {
        f32::from_bits(self.max)
    }

    /// As [`FloatFormat::quantize`].
    #[inline(always)]
    pub fn quantize(&self, x: f32) -> f32 {
        match self.path {
            Path::Add => self.by_addition(x),
            Path::Bits => self.by_bits(x),
            Path::Identity => self.unsign(x),
            Path::Wide => self.nearest(x),
        }
    }

    /// As [`FloatFormat::quantize_slice`].
    ///
    /// # Panics
    /// If the lengths differ.
    #[inline(always)]
    pub fn quantize_slice(&self, x: &[f32], y: &mut [f32]) {
        assert_eq!(x.len(), y.len(), "input and output of a quantizer");
        // A copy: the compiler need not fear that `y` overlaps it.
        let q = *self;
        let pairs = y.iter_mut().zip(x);
        match q.path {
            Path::Add => pairs.for_each(|(y, &x)| *y = q.by_addition(x)),
            Path::Bits => pairs.for_each(|(y, &x)| *y = q.by_bits(x)),
            Path::Identity => pairs.for_each(|(y, &x)| *y = q.unsign(x)),
            Path::Wide => pairs.for_each(|(y, &x)| *y = q.nearest(x)),
        }
    }

    /// Adds and subtracts `2^(E + 23 - m)`, with `E` the exponent of `x`: the sum has `m` bits left below the leading one of `x`, and is rounded to
    /// nearest even by the addition itself.
    ///
    /// `E` is at least `1 - bias`, which makes subnormals, and at most one above the largest exponent, so that the power of two stays finite.
    #[inline(always)]
    fn by_addition(&self, x: f32) -> f32 {
        let bits = x.to_bits();
        let leading = f32::from_bits(bits & 0x7f80_0000);
        let leading = larger(leading, f32::from_bits(self.smallest_normal));
        let leading = smaller(leading, f32::from_bits(self.beyond));
        let power = leading * f32::from_bits(self.lift);
        self.clip((x.abs() + power) - power, x)
    }

    /// Rounds the bits: half a step less one, plus one if the last bit that stays is odd; a carry moves on into the exponent, as it should.
    #[inline(always)]
    fn by_bits(&self, x: f32) -> f32 {
        let dropped = 23 - self.mantissa_bit_width as u32;
        let bits = x.to_bits() & 0x7fff_ffff;
        let odd = (bits >> dropped) & 1;
        let rounded = (bits + odd + (1 << (dropped - 1)) - 1) & (u32::MAX << dropped);
        self.clip(f32::from_bits(rounded), x)
    }

    /// Clips a rounded magnitude and gives it the sign of `x`; NaN if `x` is not finite.
    #[inline(always)]
    fn clip(&self, magnitude: f32, x: f32) -> f32 {
        let clipped = smaller(magnitude, self.max_value());
        // x * 0 has no bit set but the sign of x, or is a NaN, whose exponent makes a NaN of the whole.
        let y = f32::from_bits(clipped.to_bits() | (x * 0.0).to_bits());
        self.unsign(y)
    }

    /// Takes negative values from formats without a sign. -0 stays, as it does in Brevitas.
    #[inline(always)]
    fn unsign(&self, y: f32) -> f32 {
        larger(f32::from_bits(self.lowest), y)
    }

    #[inline(always)]
    fn nearest(&self, x: f32) -> f32 {
        self.wide(x, f64::round_ties_even, Overflow::Saturate)
    }

    /// Rounds `x / step` and multiplies by the step.
    #[inline(always)]
    fn wide(&self, x: f32, round: impl Fn(f64) -> f64, overflow: Overflow) -> f32 {
        if !x.is_finite() {
            return if self.path == Path::Identity { self.unsign(x) } else { f32::NAN };
        }
        let wide = f64::from(x);
        let step = self.step(wide);
        self.finish(round(wide / step) * step, overflow)
    }

    #[inline(always)]
    fn step(&self, x: f64) -> f64 {
        let exponent = ((x.to_bits() >> 52) & 0x7ff) as i32 - 1023;
        power_of_two(exponent.max(self.smallest_exponent) - self.mantissa_bit_width)
    }

    fn finish(&self, rounded: f64, overflow: Overflow) -> f32 {
        let max = self.max_value();
        // Exact, or infinite from 2^128 on. Without a sign there is no overflow below zero.
        let v = self.unsign(rounded as f32);
        let beyond = v.abs() > max;
        match overflow {
            Overflow::Saturate if beyond => max.copysign(v),
            Overflow::Infinity if beyond => f32::INFINITY.copysign(v),
            Overflow::Nan if beyond || v.is_infinite() => f32::NAN,
            Overflow::Saturate | Overflow::Infinity | Overflow::Nan => v,
        }
    }
}

/// One instruction: `b` if they cannot be compared.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// One instruction: `b` if they cannot be compared.
#[inline(always)]
fn smaller(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}
