//! Bipolar quantization: `{-s, +s}`.

use super::runs::{self, Scale};
use crate::isa::{Level, multiversion};

/// Takes the sign: `y = s` where `x >= 0` (both zeros), else `-s` (NaN, too).
///
/// # Panics
/// If the lengths do not fit.
pub fn bipolar(x: &[f32], y: &mut [f32], scale: Scale<'_>) {
    bipolar_at(Level::current(), x, y, scale);
}

fn bipolar_at(level: Level, x: &[f32], y: &mut [f32], scale: Scale<'_>) {
    assert_eq!(x.len(), y.len(), "input and output of a quantizer");
    runs::for_each(y, scale, |start, s, y| forward(level, &x[start..], y, s));
}

/// Gradient of the clamped bipolar quantizer: `dx = dy * s` where `-s <= x <= s` (and for NaN), else 0.
///
/// (The unclamped one, of weights, is straight-through everywhere: no pass needed.)
///
/// # Panics
/// If the lengths do not fit.
pub fn bipolar_grad(x: &[f32], dy: &[f32], dx: &mut [f32], scale: Scale<'_>) {
    let level = Level::current();
    assert_eq!((x.len(), dy.len()), (dx.len(), dx.len()), "input and gradients of a quantizer");
    runs::for_each(dx, scale, |start, s, dx| backward(level, &x[start..], &dy[start..], dx, s));
}

multiversion! {
    fn forward(level, x: &[f32], y: &mut [f32], s: f32) {
        let x = &x[..y.len()];
        for i in 0..y.len() {
            y[i] = if x[i] >= 0.0 { s } else { -s };
        }
    }
}

multiversion! {
    fn backward(level, x: &[f32], dy: &[f32], dx: &mut [f32], s: f32) {
        let (x, dy) = (&x[..dx.len()], &dy[..dx.len()]);
        for i in 0..dx.len() {
            dx[i] = if x[i] < -s || x[i] > s { 0.0 } else { dy[i] * s };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_gradient_of_the_specification() {
        let x = [-1.2, -0.5, 0.2, 0.51, 0.0, -0.0, 0.9, 3.0, f32::NAN, -1.0, 1.0];
        for level in Level::all() {
            for len in 0..=x.len() {
                let mut y = vec![9.0; len];
                bipolar_at(level, &x[..len], &mut y, Scale::PerTensor(1.0));
                assert_eq!(y, [-1.0, -1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, -1.0, -1.0, 1.0][..len]);
                backward(level, &x[..len], &[2.0; 11], &mut y, 1.0);
                assert_eq!(y, [0.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 0.0, 2.0, 2.0, 2.0][..len]);
            }
        }
        let mut y = [0.0; 4];
        bipolar(
            &[1.0, -1.0, 1.0, -1.0],
            &mut y,
            Scale::PerChannel { scales: &[0.5, 2.0], inner: 2 },
        );
        assert_eq!(y, [0.5, -0.5, 2.0, -2.0]);
        bipolar_grad(
            &[1.0, -0.5, 1.0, -2.1],
            &[1.0; 4],
            &mut y,
            Scale::PerChannel { scales: &[0.5, 2.0], inner: 2 },
        );
        assert_eq!(y, [0.0, 0.5, 2.0, 0.0]);
    }
}
