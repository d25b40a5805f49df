//! Elementwise passes and their gradients.

use crate::isa::{Level, multiversion};
use crate::parallel::blocks;

/// `y = max(x, 0)`; NaN stays NaN.
///
/// # Panics
/// If the lengths differ.
pub fn relu(x: &[f32], y: &mut [f32]) {
    assert_eq!(x.len(), y.len(), "lengths differ");
    let level = Level::current();
    blocks(y, |start, y| relu_block(level, &x[start..], y));
}

/// Gradient of [`relu`]: `dx = dy` where `x > 0`, else 0.
///
/// # Panics
/// If the lengths differ.
pub fn relu_grad(x: &[f32], dy: &[f32], dx: &mut [f32]) {
    assert_eq!((x.len(), dy.len()), (dx.len(), dx.len()), "lengths differ");
    let level = Level::current();
    blocks(dx, |start, dx| relu_grad_block(level, &x[start..], &dy[start..], dx));
}

/// `y = a * x + b`, two roundings.
///
/// # Panics
/// If the lengths differ.
pub fn scale_shift(x: &[f32], y: &mut [f32], a: f32, b: f32) {
    assert_eq!(x.len(), y.len(), "lengths differ");
    let level = Level::current();
    blocks(y, |start, y| scale_shift_block(level, &x[start..], y, a, b));
}

/// `y = y + x`.
///
/// # Panics
/// If the lengths differ.
pub fn add_assign(y: &mut [f32], x: &[f32]) {
    assert_eq!(x.len(), y.len(), "lengths differ");
    let level = Level::current();
    blocks(y, |start, y| add_block(level, &x[start..], y));
}

multiversion! {
    fn relu_block(level, x: &[f32], y: &mut [f32]) {
        let x = &x[..y.len()];
        for i in 0..y.len() {
            y[i] = if x[i] <= 0.0 { 0.0 } else { x[i] };
        }
    }
}

multiversion! {
    fn relu_grad_block(level, x: &[f32], dy: &[f32], dx: &mut [f32]) {
        let (x, dy) = (&x[..dx.len()], &dy[..dx.len()]);
        for i in 0..dx.len() {
            dx[i] = if x[i] > 0.0 { dy[i] } else { 0.0 };
        }
    }
}

multiversion! {
    fn scale_shift_block(level, x: &[f32], y: &mut [f32], a: f32, b: f32) {
        let x = &x[..y.len()];
        for i in 0..y.len() {
            y[i] = x[i] * a + b;
        }
    }
}

multiversion! {
    fn add_block(level, x: &[f32], y: &mut [f32]) {
        let x = &x[..y.len()];
        for i in 0..y.len() {
            y[i] += x[i];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_on_every_level() {
        for len in [0_usize, 1, 7, 8, 9, 100] {
            let x: Vec<f32> = (0..len).map(|i| (i as f32 - 4.0) * 0.5).collect();
            let dy: Vec<f32> = (0..len).map(|i| i as f32 + 1.0).collect();
            for level in Level::all() {
                let mut y = vec![9.0; len];
                relu_block(level, &x, &mut y);
                assert!(y.iter().zip(&x).all(|(y, x)| *y == x.max(0.0)));
                relu_grad_block(level, &x, &dy, &mut y);
                assert!((0..len).all(|i| y[i] == if x[i] > 0.0 { dy[i] } else { 0.0 }));
                scale_shift_block(level, &x, &mut y, 2.0, -1.0);
                assert!((0..len).all(|i| y[i] == 2.0 * x[i] - 1.0));
                add_block(level, &dy, &mut y);
                assert!((0..len).all(|i| y[i] == 2.0 * x[i] - 1.0 + dy[i]));
            }
        }
        let mut y = [0.0];
        relu(&[f32::NAN], &mut y);
        assert!(y[0].is_nan());
    }
}
