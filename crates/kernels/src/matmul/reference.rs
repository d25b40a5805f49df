//! The definition of [`matmul_nt`](super::matmul_nt), one output after the other.

use super::MatmulShape;
use crate::Accumulation;

/// `y = x wᵀ`, each output by [`dot`].
pub fn matmul_nt(
    x: &[f32],
    w: &[f32],
    y: &mut [f32],
    shape: MatmulShape,
    accumulation: Accumulation,
) {
    let MatmulShape { n, m, k } = shape;
    for i in 0..n {
        for j in 0..m {
            y[i * m + j] = dot(&x[i * k..][..k], &w[j * k..][..k], accumulation);
        }
    }
}

/// The sum of products of two rows as `accumulation` defines it.
#[allow(clippy::disallowed_methods, reason = "the contract defines a fused multiply-add")]
pub fn dot(x: &[f32], w: &[f32], accumulation: Accumulation) -> f32 {
    match accumulation {
        Accumulation::Integer { x_max_abs, w_max_abs } => {
            let kept = |values: &[f32], bound: u32| {
                values.iter().all(|&v| v == v.trunc() && f64::from(v.abs()) <= f64::from(bound))
            };
            if kept(x, x_max_abs) && kept(w, w_max_abs) {
                x.iter().zip(w).map(|(&x, &w)| x as i64 * w as i64).sum::<i64>() as f32
            } else {
                x.iter()
                    .zip(w)
                    .fold(0.0_f64, |acc, (&x, &w)| f64::from(x).mul_add(f64::from(w), acc))
                    as f32
            }
        }
        Accumulation::Paired => {
            let mut acc = 0.0_f32;
            for (x, w) in x.chunks(2).zip(w.chunks(2)) {
                if let ([_, x_odd], [_, w_odd]) = (x, w) {
                    acc = x_odd.mul_add(*w_odd, acc);
                }
                acc = x[0].mul_add(w[0], acc);
            }
            acc
        }
        Accumulation::Sequential => {
            x.iter().zip(w).fold(0.0_f32, |acc, (&x, &w)| x.mul_add(w, acc))
        }
    }
}
