//! Affine integer quantization.

use fewbit_formats::RoundingMode;

use super::runs::{self, Scale};
use crate::isa::{Level, multiversion};

/// Range, zero point and rounding of an integer quantizer; the scale is given separately.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IntegerQuantizer {
    /// Smallest integer.
    pub min: f32,
    /// Largest integer.
    pub max: f32,
    /// The integer that stands for 0.
    pub zero_point: f32,
    /// How `x / s + z` is rounded.
    pub rounding_mode: RoundingMode,
}

impl IntegerQuantizer {
    /// A quantizer to the integers `min..=max` with zero point 0, ties to even.
    pub fn new(min: f32, max: f32) -> Self {
        Self { min, max, zero_point: 0.0, rounding_mode: RoundingMode::HalfEven }
    }
}

/// What the clamp does to a gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClampGradient {
    /// Passes it where the rounded value is inside the range, 0 outside.
    Mask,
    /// Passes it everywhere.
    StraightThrough,
}

/// Rounds to integers: `q = clamp(round(x / s + z), min, max); y = (q - z) * s`. NaN stays NaN.
///
/// # Panics
/// If the lengths do not fit.
pub fn integer(x: &[f32], y: &mut [f32], quantizer: &IntegerQuantizer, scale: Scale<'_>) {
    integer_at(Level::current(), x, y, quantizer, scale);
}

fn integer_at(
    level: Level,
    x: &[f32],
    y: &mut [f32],
    quantizer: &IntegerQuantizer,
    scale: Scale<'_>,
) {
    assert_eq!(x.len(), y.len(), "input and output of a quantizer");
    runs::for_each(y, scale, |start, s, y| {
        let x = &x[start..][..y.len()];
        if quantizer.rounding_mode == RoundingMode::HalfEven {
            forward(level, x, y, quantizer, s);
        } else {
            for (y, &x) in y.iter_mut().zip(x) {
                let q =
                    clamp(quantizer.rounding_mode.apply(x / s + quantizer.zero_point), quantizer);
                *y = (q - quantizer.zero_point) * s;
            }
        }
    });
}

/// Gradient of [`integer`] to its input with [`ClampGradient::Mask`]: `dx = dy` where `min <= round(x / s + z) <= max`, else 0.
///
/// # Panics
/// If the lengths do not fit.
pub fn integer_grad(
    x: &[f32],
    dy: &[f32],
    dx: &mut [f32],
    quantizer: &IntegerQuantizer,
    scale: Scale<'_>,
) {
    let level = Level::current();
    assert_eq!((x.len(), dy.len()), (dx.len(), dx.len()), "input and gradients of a quantizer");
    runs::for_each(dx, scale, |start, s, dx| {
        let (x, dy) = (&x[start..][..dx.len()], &dy[start..][..dx.len()]);
        if quantizer.rounding_mode == RoundingMode::HalfEven {
            backward(level, x, dy, dx, quantizer, s);
        } else {
            for i in 0..dx.len() {
                let q = quantizer.rounding_mode.apply(x[i] / s + quantizer.zero_point);
                dx[i] = if q > quantizer.max || q < quantizer.min { 0.0 } else { dy[i] };
            }
        }
    });
}

/// Gradients of [`integer`] to its input (as [`integer_grad`]) and to its scale, in one pass; returns the latter, one value for each scale.
///
/// `ds = sum dy * (q - z - x / s)`, without the last part where the clamp masks. Summed in `f64` over fixed blocks.
///
/// # Panics
/// If the lengths do not fit.
pub fn integer_grad_scale(
    x: &[f32],
    dy: &[f32],
    dx: &mut [f32],
    quantizer: &IntegerQuantizer,
    scale: Scale<'_>,
    clamp: ClampGradient,
) -> Vec<f32> {
    let level = Level::current();
    assert_eq!((x.len(), dy.len()), (dx.len(), dx.len()), "input and gradients of a quantizer");
    runs::sum(dx, scale, |start, s, dx| {
        backward_scale(
            level,
            &x[start..],
            &dy[start..],
            dx,
            quantizer,
            s,
            clamp == ClampGradient::Mask,
        )
    })
}

/// NaN stays NaN.
#[inline(always)]
fn clamp(v: f32, q: &IntegerQuantizer) -> f32 {
    let v = if v > q.max { q.max } else { v };
    if v < q.min { q.min } else { v }
}

multiversion! {
    fn forward(level, x: &[f32], y: &mut [f32], q: &IntegerQuantizer, s: f32) {
        let x = &x[..y.len()];
        for i in 0..y.len() {
            y[i] = (clamp((x[i] / s + q.zero_point).round_ties_even(), q) - q.zero_point) * s;
        }
    }
}

multiversion! {
    fn backward(level, x: &[f32], dy: &[f32], dx: &mut [f32], q: &IntegerQuantizer, s: f32) {
        let (x, dy) = (&x[..dx.len()], &dy[..dx.len()]);
        for i in 0..dx.len() {
            let rounded = (x[i] / s + q.zero_point).round_ties_even();
            dx[i] = if rounded > q.max || rounded < q.min { 0.0 } else { dy[i] };
        }
    }
}

multiversion! {
    fn backward_scale(level, x: &[f32], dy: &[f32], dx: &mut [f32], q: &IntegerQuantizer, s: f32, mask: bool) -> f64 {
        let (x, dy) = (&x[..dx.len()], &dy[..dx.len()]);
        let mut lanes = [0.0_f64; 8];
        let mut i = 0;
        while i < dx.len() {
            let count = (dx.len() - i).min(8);
            for j in 0..count {
                let u = x[i + j] / s;
                let rounded = if q.rounding_mode == RoundingMode::HalfEven {
                    (u + q.zero_point).round_ties_even()
                } else {
                    q.rounding_mode.apply(u + q.zero_point)
                };
                let masked = mask && (rounded > q.max || rounded < q.min);
                dx[i + j] = if masked { 0.0 } else { dy[i + j] };
                let slope = clamp(rounded, q) - q.zero_point - if masked { 0.0 } else { u };
                lanes[j] += f64::from(dy[i + j]) * f64::from(slope);
            }
            i += 8;
        }
        lanes.iter().fold(0.0, |total, lane| total + lane)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gemm::testing::values;

    #[test]
    fn values_of_the_specification() {
        let two_bits = IntegerQuantizer::new(-1.0, 1.0);
        let x = [-0.7, -0.5, 0.5, 0.51, 1.001, 1.4999, 1.5, 2.0, f32::NAN];
        let dy = [2.0; 9];
        for level in Level::all() {
            let mut y = [9.0; 9];
            integer_at(level, &x, &mut y, &two_bits, Scale::PerTensor(1.0));
            assert_eq!(y[..8], [-1.0, -0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
            assert!(y[8].is_nan());
            backward(level, &x, &dy, &mut y, &two_bits, 1.0);
            assert_eq!(y, [2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 0.0, 0.0, 2.0]);
        }
        let mut y = [0.0; 3];
        integer(
            &[0.3, 0.5, -0.0],
            &mut y,
            &IntegerQuantizer::new(-7.0, 7.0),
            Scale::PerTensor(1.0 / 7.0),
        );
        assert_eq!(y, [0.2857143, 0.42857146, 0.0]);
        assert!(y[2].is_sign_positive());
    }

    #[test]
    fn other_rounding_modes() {
        let modes = [
            (RoundingMode::HalfEven, [2.0, -2.0]),
            (RoundingMode::Ceil, [3.0, -2.0]),
            (RoundingMode::Floor, [2.0, -3.0]),
            (RoundingMode::Up, [3.0, -3.0]),
            (RoundingMode::Down, [2.0, -2.0]),
            (RoundingMode::HalfUp, [3.0, -3.0]),
            (RoundingMode::HalfDown, [2.0, -2.0]),
        ];
        for (rounding_mode, expected) in modes {
            let mut y = [0.0; 2];
            integer(
                &[2.5, -2.5],
                &mut y,
                &IntegerQuantizer { rounding_mode, ..IntegerQuantizer::new(-8.0, 7.0) },
                Scale::PerTensor(1.0),
            );
            assert_eq!(y, expected, "{rounding_mode:?}");
        }
    }

    #[test]
    fn every_level_and_length_agrees() {
        let q = IntegerQuantizer { zero_point: 3.0, ..IntegerQuantizer::new(-8.0, 7.0) };
        for len in [0, 1, 7, 8, 9, 33, 1000] {
            let (x, dy) = (values(len as u64, len + 1), values(7, len + 1));
            let (x, dy) = (&x[1..], &dy[1..]);
            for s in [0.1, 0.125, 0.03] {
                let expected: Vec<f32> = x
                    .iter()
                    .map(|x| ((x / s + 3.0).round_ties_even().clamp(-8.0, 7.0) - 3.0) * s)
                    .collect();
                for level in Level::all() {
                    let mut y = vec![0.0; len];
                    forward(level, x, &mut y, &q, s);
                    assert_eq!(y, expected);
                    for mask in [true, false] {
                        let sum = backward_scale(level, x, dy, &mut y, &q, s, mask);
                        assert_eq!(
                            sum,
                            backward_scale(Level::Scalar, x, dy, &mut y.clone(), &q, s, mask)
                        );
                        let mut expected_sum = 0.0;
                        for i in 0..len {
                            let inside = (-8.0..=7.0).contains(&(x[i] / s + 3.0).round_ties_even());
                            assert_eq!(y[i], if inside || !mask { dy[i] } else { 0.0 });
                            let u = if inside || !mask { x[i] / s } else { 0.0 };
                            expected_sum += f64::from(dy[i]) * f64::from(expected[i] / s - u);
                        }
                        assert!((sum - expected_sum).abs() < 1e-3, "{sum} {expected_sum}");
                    }
                }
            }
        }
    }

    #[test]
    fn gradient_of_a_learned_scale() {
        // quantizers.md 2.5 without the ReLU.
        let s = 5.0 / 15.0;
        let x = [0.0, 0.5, 1.0, 5.0, 9.0, 2.2];
        let mut dx = [0.0; 6];
        let q = IntegerQuantizer::new(0.0, 15.0);
        let ds = integer_grad_scale(
            &x,
            &[1.0; 6],
            &mut dx,
            &q,
            Scale::PerTensor(s),
            ClampGradient::Mask,
        );
        assert_eq!(dx, [1.0, 1.0, 1.0, 1.0, 0.0, 1.0]);
        assert!((ds[0] / 15.0 - 1.06).abs() < 1e-5, "{ds:?}");
        // quantizers.md 2.4, one row of two.
        let s = 1.2 / 7.0;
        let w = [-1.2, -0.5, 0.2, 0.51, 0.0, 0.0, 0.0, 1.0];
        let mut dw = [0.0; 8];
        let scale = Scale::PerChannel { scales: &[s, 1.0], inner: 4 };
        let ds = integer_grad_scale(
            &w,
            &[1.0; 8],
            &mut dw,
            &IntegerQuantizer::new(-7.0, 7.0),
            scale,
            ClampGradient::StraightThrough,
        );
        assert_eq!(dw, [1.0; 8]);
        assert!((-ds[0] / 7.0 - 0.032143).abs() < 1e-5 && ds[1] == 0.0, "{ds:?}");
    }
}
