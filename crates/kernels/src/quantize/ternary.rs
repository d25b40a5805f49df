//! Ternary quantization: `{-s, 0, +s}`.

use super::runs::{self, Scale};
use crate::isa::{Level, multiversion};

/// Takes the sign where the magnitude is large: `y = sign(x) s` where `|x| > threshold * s`, else 0 (NaN, too).
///
/// # Panics
/// If the lengths do not fit.
pub fn ternary(x: &[f32], y: &mut [f32], threshold: f32, scale: Scale<'_>) {
    let level = Level::current();
    assert_eq!(x.len(), y.len(), "input and output of a quantizer");
    runs::for_each(y, scale, |start, s, y| forward(level, &x[start..], y, threshold * s, s));
}

multiversion! {
    fn forward(level, x: &[f32], y: &mut [f32], limit: f32, s: f32) {
        let x = &x[..y.len()];
        for i in 0..y.len() {
            y[i] = if x[i] > limit { s } else if x[i] < -limit { -s } else { 0.0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_the_specification() {
        let x = [-2.0, -0.51, -0.5, 0.0, 0.5, 0.51, 2.0, f32::NAN, 0.4];
        for level in Level::all() {
            for len in 0..=x.len() {
                let mut y = vec![9.0; len];
                forward(level, &x[..len], &mut y, 0.5, 1.0);
                assert_eq!(y, [-1.0, -1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0][..len]);
            }
        }
        let mut y = [0.0; 2];
        ternary(&[0.7, 0.6], &mut y, 0.5, Scale::PerTensor(1.3));
        assert_eq!(y, [1.3, 0.0]);
    }
}
