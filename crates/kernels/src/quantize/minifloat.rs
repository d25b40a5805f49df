//! Minifloat quantization.

use fewbit_formats::{FloatFormat, Overflow, RoundingMode};

use super::runs::{self, Scale};
use crate::isa::{Level, multiversion};

/// What stands for the derivative of rounding to a minifloat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MinifloatGradient {
    /// Brevitas': `y / x` in the normal range, 1 in the subnormal range, 0 where clipped. (Rounding is straight-through, but the
    /// grid's step is differentiated.)
    Brevitas,
    /// 1, and 0 where clipped.
    StraightThrough,
}

/// Rounding to a minifloat, worked out once for many calls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MinifloatQuantizer {
    level: Level,
    grid: Grid,
}

impl MinifloatQuantizer {
    /// Rounding to `format`, ties to even, saturating.
    pub fn new(format: &FloatFormat) -> Self {
        Self { level: Level::current(), grid: Grid::new(format) }
    }

    /// As [`minifloat`].
    ///
    /// # Panics
    /// If the lengths do not fit.
    pub fn forward(&self, x: &[f32], y: &mut [f32], scale: Scale<'_>) {
        let Self { level, grid } = self;
        assert_eq!(x.len(), y.len(), "input and output of a quantizer");
        runs::for_each(y, scale, |start, s, y| match (&grid.step, s) {
            (Step::Fast(step), 1.0) => forward(*level, &x[start..], y, step, &grid.clip),
            (Step::Fast(step), s) => forward_scaled(*level, &x[start..], y, step, &grid.clip, s),
            (Step::Slow(step), s) => {
                for (y, &x) in y.iter_mut().zip(&x[start..]) {
                    *y = grid.clip.apply(step.round(x / s)) * s;
                }
            }
        });
    }

    /// As [`minifloat_grad`].
    ///
    /// # Panics
    /// If the lengths do not fit.
    pub fn gradient(
        &self,
        x: &[f32],
        dy: &[f32],
        dx: &mut [f32],
        scale: Scale<'_>,
        gradient: MinifloatGradient,
    ) {
        let Self { level, grid } = self;
        assert_eq!((x.len(), dy.len()), (dx.len(), dx.len()), "input and gradients of a quantizer");
        runs::for_each(dx, scale, |start, s, dx| {
            let (x, dy) = (&x[start..], &dy[start..]);
            match &grid.step {
                Step::Fast(step) => backward_fast(*level, x, dy, dx, step, &grid.clip, s, gradient),
                Step::Slow(step) => backward(x, dy, dx, step, &grid.clip, s, gradient),
            }
        });
    }

    /// As [`minifloat_grad_scale`].
    ///
    /// # Panics
    /// If the lengths do not fit.
    pub fn gradient_with_scale(
        &self,
        x: &[f32],
        dy: &[f32],
        dx: &mut [f32],
        scale: Scale<'_>,
        gradient: MinifloatGradient,
    ) -> Vec<f32> {
        let Self { level, grid } = self;
        assert_eq!((x.len(), dy.len()), (dx.len(), dx.len()), "input and gradients of a quantizer");
        runs::sum(dx, scale, |start, s, dx| {
            let (x, dy) = (&x[start..], &dy[start..]);
            match &grid.step {
                Step::Fast(step) => {
                    backward_scale_fast(*level, x, dy, dx, step, &grid.clip, s, gradient)
                }
                Step::Slow(step) => backward_scale(x, dy, dx, step, &grid.clip, s, gradient),
            }
        })
    }
}

/// Rounds to a minifloat: `y = Q(x / s) * s`, ties to even, saturating. NaN and infinities give NaN.
///
/// # Panics
/// If the lengths do not fit.
pub fn minifloat(x: &[f32], y: &mut [f32], format: &FloatFormat, scale: Scale<'_>) {
    MinifloatQuantizer::new(format).forward(x, y, scale);
}

/// Like [`minifloat`] with another rounding or another overflow.
///
/// # Panics
/// If the lengths do not fit.
pub fn minifloat_with(
    x: &[f32],
    y: &mut [f32],
    format: &FloatFormat,
    scale: Scale<'_>,
    rounding_mode: RoundingMode,
    overflow: Overflow,
) {
    assert_eq!(x.len(), y.len(), "input and output of a quantizer");
    runs::for_each(y, scale, |start, s, y| {
        for (y, &x) in y.iter_mut().zip(&x[start..]) {
            *y = format.quantize_with(x / s, rounding_mode, overflow) * s;
        }
    });
}

/// Gradient of [`minifloat`] to its input.
///
/// `dx = dy * Q'(x / s)`: 0 where the rounded value is beyond the maximum, before clipping; else as [`MinifloatGradient`] says.
///
/// # Panics
/// If the lengths do not fit.
pub fn minifloat_grad(
    x: &[f32],
    dy: &[f32],
    dx: &mut [f32],
    format: &FloatFormat,
    scale: Scale<'_>,
    gradient: MinifloatGradient,
) {
    MinifloatQuantizer::new(format).gradient(x, dy, dx, scale, gradient);
}

/// Gradients of [`minifloat`] to its input (as [`minifloat_grad`]) and to its scale, in one pass; returns the latter, one value for each scale.
///
/// `ds = sum dy * (Q(u) - u * Q'(u))` with `u = x / s`. Summed in `f64` over fixed blocks.
///
/// # Panics
/// If the lengths do not fit.
pub fn minifloat_grad_scale(
    x: &[f32],
    dy: &[f32],
    dx: &mut [f32],
    format: &FloatFormat,
    scale: Scale<'_>,
    gradient: MinifloatGradient,
) -> Vec<f32> {
    MinifloatQuantizer::new(format).gradient_with_scale(x, dy, dx, scale, gradient)
}

/// A format as the kernels need it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Grid {
    step: Step,
    clip: Bounds,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Fast(Fast),
    Slow(Slow),
}

/// Where values are clipped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bounds {
    pub(crate) min: f32,
    pub(crate) max: f32,
    /// Below this magnitude values are subnormal.
    smallest_normal: f32,
}

impl Bounds {
    /// NaN stays NaN.
    #[inline(always)]
    pub(crate) fn apply(&self, v: f32) -> f32 {
        let v = if v > self.max { self.max } else { v };
        if v < self.min { self.min } else { v }
    }

    #[inline(always)]
    fn clips(&self, rounded: f32) -> bool {
        rounded > self.max || rounded < self.min
    }
}

impl Grid {
    fn new(format: &FloatFormat) -> Self {
        let (mantissa, bias) = (format.mantissa_bit_width() as i32, format.exponent_bias());
        let smallest = 1 - bias;
        // One above the largest exponent: what is larger still is far beyond the maximum, whatever its step.
        let largest = (1_i32 << format.exponent_bit_width()) - bias;
        let max = format.max_value();
        let clip = Bounds {
            min: if format.signed() { -max } else { 0.0 },
            max,
            smallest_normal: format.smallest_normal(),
        };
        let fits = mantissa <= 21
            && smallest >= -126
            && smallest - mantissa + 23 >= -126
            && largest - mantissa + 23 <= 127;
        let step = if fits {
            Step::Fast(Fast {
                smallest: ((smallest + 127) << 23),
                largest: ((largest + 127) << 23),
                offset: (23 - mantissa) << 23,
            })
        } else {
            Step::Slow(Slow { smallest, mantissa })
        };
        Self { step, clip }
    }
}

/// How a format rounds and clips; `None` if its steps leave the range of `f32`.
pub(crate) fn fast(format: &FloatFormat) -> Option<(Fast, Bounds)> {
    let Grid { step, clip } = Grid::new(format);
    match step {
        Step::Fast(step) => Some((step, clip)),
        Step::Slow(_) => None,
    }
}

/// Rounds to the grid without clipping: the sign is kept, NaN and infinities give NaN.
pub(crate) trait Round {
    fn round(&self, u: f32) -> f32;
}

/// Rounding by adding and subtracting `2^(E + 23 - m)`: the sum keeps `m` bits below the leading one of `u`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Fast {
    pub(crate) smallest: i32,
    pub(crate) largest: i32,
    pub(crate) offset: i32,
}

impl Round for Fast {
    #[inline(always)]
    fn round(&self, u: f32) -> f32 {
        let bits = u.to_bits() as i32;
        let magnitude = f32::from_bits((bits & 0x7fff_ffff) as u32);
        let exponent = (bits & 0x7f80_0000).max(self.smallest).min(self.largest);
        let shift = f32::from_bits((exponent + self.offset) as u32);
        // The last product is 0, and NaN for NaN and infinities.
        let rounded = ((magnitude + shift) - shift) + magnitude * 0.0;
        f32::from_bits(rounded.to_bits() | (bits as u32 & 0x8000_0000))
    }
}

/// Rounding in `f64`, where every step of every format is exact.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Slow {
    smallest: i32,
    mantissa: i32,
}

impl Round for Slow {
    #[inline(always)]
    fn round(&self, u: f32) -> f32 {
        if !u.is_finite() {
            return f32::NAN;
        }
        let wide = f64::from(u);
        let exponent = ((wide.to_bits() >> 52) as i32 & 0x7ff) - 1023;
        let step =
            f64::from_bits(((exponent.max(self.smallest) - self.mantissa + 1023) as u64) << 52);
        ((wide / step).round_ties_even() * step) as f32
    }
}

multiversion! {
    fn forward(level, x: &[f32], y: &mut [f32], step: &Fast, clip: &Bounds) {
        let x = &x[..y.len()];
        for i in 0..y.len() {
            y[i] = clip.apply(step.round(x[i]));
        }
    }
}

multiversion! {
    fn forward_scaled(level, x: &[f32], y: &mut [f32], step: &Fast, clip: &Bounds, s: f32) {
        let x = &x[..y.len()];
        for i in 0..y.len() {
            y[i] = clip.apply(step.round(x[i] / s)) * s;
        }
    }
}

multiversion! {
    fn backward_fast(level, x: &[f32], dy: &[f32], dx: &mut [f32], step: &Fast, clip: &Bounds, s: f32, gradient: MinifloatGradient) {
        if s == 1.0 {
            backward(x, dy, dx, step, clip, 1.0, gradient);
        } else {
            backward(x, dy, dx, step, clip, s, gradient);
        }
    }
}

multiversion! {
    fn backward_scale_fast(
        level,
        x: &[f32],
        dy: &[f32],
        dx: &mut [f32],
        step: &Fast,
        clip: &Bounds,
        s: f32,
        gradient: MinifloatGradient,
    ) -> f64 {
        backward_scale(x, dy, dx, step, clip, s, gradient)
    }
}

#[inline(always)]
fn backward<R: Round>(
    x: &[f32],
    dy: &[f32],
    dx: &mut [f32],
    step: &R,
    clip: &Bounds,
    s: f32,
    gradient: MinifloatGradient,
) {
    let (x, dy) = (&x[..dx.len()], &dy[..dx.len()]);
    match gradient {
        MinifloatGradient::Brevitas => {
            for i in 0..dx.len() {
                let u = x[i] / s;
                let rounded = step.round(u);
                let slope =
                    if u.abs() < clip.smallest_normal { 1.0 } else { clip.apply(rounded) / u };
                dx[i] = if clip.clips(rounded) { 0.0 } else { dy[i] * slope };
            }
        }
        MinifloatGradient::StraightThrough => {
            for i in 0..dx.len() {
                dx[i] = if clip.clips(step.round(x[i] / s)) { 0.0 } else { dy[i] };
            }
        }
    }
}

/// The sum is kept in eight lanes that are added in order at the end.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn backward_scale<R: Round>(
    x: &[f32],
    dy: &[f32],
    dx: &mut [f32],
    step: &R,
    clip: &Bounds,
    s: f32,
    gradient: MinifloatGradient,
) -> f64 {
    match gradient {
        MinifloatGradient::Brevitas => backward_lanes::<R, true>(x, dy, dx, step, clip, s),
        MinifloatGradient::StraightThrough => backward_lanes::<R, false>(x, dy, dx, step, clip, s),
    }
}

/// In blocks that stay in the cache, each in steps that the compiler turns into vectors.
#[inline(always)]
fn backward_lanes<R: Round, const BREVITAS: bool>(
    x: &[f32],
    dy: &[f32],
    dx: &mut [f32],
    step: &R,
    clip: &Bounds,
    s: f32,
) -> f64 {
    const BLOCK: usize = 512;
    let (x, dy) = (&x[..dx.len()], &dy[..dx.len()]);
    let mut lanes = [0.0_f64; 8];
    let mut slopes = [0.0_f32; BLOCK];
    for ((x, dy), dx) in x.chunks(BLOCK).zip(dy.chunks(BLOCK)).zip(dx.chunks_mut(BLOCK)) {
        let slopes = &mut slopes[..dx.len()];
        let (x, dy) = (&x[..dx.len()], &dy[..dx.len()]);
        for i in 0..dx.len() {
            let u = x[i] / s;
            let rounded = step.round(u);
            let (value, clips) = (clip.apply(rounded), clip.clips(rounded));
            let subnormal = u.abs() < clip.smallest_normal;
            let slope = if !BREVITAS | subnormal { 1.0 } else { value / u };
            dx[i] = if clips { 0.0 } else { dy[i] * slope };
            // u * (value / u) is value: nothing is left in the normal range. NaN counts as normal.
            let inside = if !BREVITAS | subnormal { value - u } else { 0.0 };
            slopes[i] = if clips { value } else { inside };
        }
        let (runs, rest) = slopes.as_chunks::<8>();
        let (runs_dy, rest_dy) = dy.as_chunks::<8>();
        for (slopes, dy) in runs.iter().zip(runs_dy) {
            for j in 0..8 {
                lanes[j] += f64::from(dy[j]) * f64::from(slopes[j]);
            }
        }
        for (lane, (slope, dy)) in lanes.iter_mut().zip(rest.iter().zip(rest_dy)) {
            *lane += f64::from(*dy) * f64::from(*slope);
        }
    }
    lanes.iter().fold(0.0, |total, lane| total + lane)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_gradients_agree_at_every_length() {
        let format = FloatFormat::new(3, 1).unwrap();
        let values = |count: usize, seed: u32| -> Vec<f32> {
            let number = |i: usize| ((i as u32 + seed).wrapping_mul(2_654_435_761) >> 8) as f32;
            (0..count).map(|i| number(i) / (1 << 22) as f32 - 2.0).collect()
        };
        for count in [0, 1, 7, 8, 9, 23, 64, 1000] {
            let mut x = values(count, 1);
            let dy = values(count, 7);
            // Clipped, subnormal, zero, no number.
            for (i, special) in
                [9.0, -9.0, 0.001, 0.0, -0.0, f32::NAN, f32::INFINITY].into_iter().enumerate()
            {
                if let Some(x) = x.get_mut(i * 3) {
                    *x = special;
                }
            }
            for (scale, gradient) in [
                (0.1, MinifloatGradient::Brevitas),
                (1.0, MinifloatGradient::Brevitas),
                (0.07, MinifloatGradient::StraightThrough),
            ] {
                let scales = Scale::PerTensor(scale);
                let (mut dx, mut alone) = (vec![0.0; count], vec![0.0; count]);
                minifloat_grad(&x, &dy, &mut alone, &format, scales, gradient);
                minifloat_grad_scale(&x, &dy, &mut dx, &format, scales, gradient);
                let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                assert!(
                    bits(&dx) == bits(&alone)
                        || dx.iter().zip(&alone).all(|(a, b)| a == b || (a.is_nan() && b.is_nan())),
                    "{count} {scale} {gradient:?}"
                );
                // Of finite inputs also the sum, element by element.
                let finite: Vec<f32> =
                    x.iter().map(|v| if v.is_finite() { *v } else { 0.3 }).collect();
                let ds = minifloat_grad_scale(&finite, &dy, &mut dx, &format, scales, gradient)[0];
                let term = |(x, dy): (&f32, &f32)| {
                    let u = x / scale;
                    let mut y = [0.0];
                    minifloat(&[u], &mut y, &format, Scale::PerTensor(1.0));
                    let mut slope = [0.0];
                    minifloat_grad(
                        &[u],
                        &[1.0],
                        &mut slope,
                        &format,
                        Scale::PerTensor(1.0),
                        gradient,
                    );
                    f64::from(*dy) * (f64::from(y[0]) - f64::from(u) * f64::from(slope[0]))
                };
                let expected: f64 = finite.iter().zip(&dy).map(term).sum();
                let tolerance = 1e-5 * (1.0 + count as f64);
                assert!(
                    (f64::from(ds) - expected).abs() <= tolerance,
                    "{count} {scale}: {ds} {expected}"
                );
            }
        }
    }
}
