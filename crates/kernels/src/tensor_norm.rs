//! Batch normalization with one mean and one variance for the whole tensor (the last layer of the FC and CNV networks).

use crate::batch_norm::{BatchStatistics, moments};
use crate::isa::Level;
use crate::parallel;
use crate::statistics::{ChannelShape, sums};

/// Normalises with the statistics of this tensor (training).
///
/// `y = (x - m) * (1 / sqrt(v + eps)) * weight + bias`, each operation rounded, `v` biased. The statistics have one channel.
///
/// # Panics
/// If `y` has not the length of `x`.
/// # Examples
/// ```
/// let mut y = [0.0; 4];
/// let statistics = fewbit_kernels::tensor_norm::training(&[1.0, 2.0, 3.0, 6.0], &mut y, 1.0, 0.0, 1e-4);
/// assert_eq!(y, [-1.0690297, -0.53451484, 0.0, 1.6035445]);
/// let (mut mean, mut variance) = ([0.0], [1.0]);
/// statistics.update(&mut mean, &mut variance, 0.1);
/// assert_eq!((mean, variance), ([0.3], [1.3666667]));
/// ```
pub fn training(x: &[f32], y: &mut [f32], weight: f32, bias: f32, eps: f32) -> BatchStatistics {
    let shape = whole(x, y.len());
    let (mean, variance) = moments(x, shape, Level::current());
    let (m, r) = (mean[0], 1.0 / (variance[0] + eps).sqrt());
    parallel::blocks(y, |start, y| {
        for (y, &x) in y.iter_mut().zip(&x[start..]) {
            *y = (x - m) * r * weight + bias;
        }
    });
    BatchStatistics { mean, variance, inverse_deviation: vec![r], count: x.len() }
}

/// Normalises with the running statistics (evaluation).
///
/// `y = (x - running_mean) / sqrt(running_variance + eps) * weight + bias`, each operation rounded.
///
/// # Panics
/// If `y` has not the length of `x`.
pub fn evaluation(
    x: &[f32],
    y: &mut [f32],
    running_mean: f32,
    running_variance: f32,
    weight: f32,
    bias: f32,
    eps: f32,
) {
    whole(x, y.len());
    let deviation = (running_variance + eps).sqrt();
    parallel::blocks(y, |start, y| {
        for (y, &x) in y.iter_mut().zip(&x[start..]) {
            *y = (x - running_mean) / deviation * weight + bias;
        }
    });
}

/// Gradient of [`training`] through mean and variance; returns the gradients to weight and bias.
///
/// # Panics
/// If the slices have different lengths.
pub fn training_grad(
    x: &[f32],
    dy: &[f32],
    dx: &mut [f32],
    weight: f32,
    statistics: &BatchStatistics,
) -> (f32, f32) {
    whole(x, dy.len());
    let shape = whole(x, dx.len());
    let gradients = crate::batch_norm::training_grad(x, dy, dx, shape, &[weight], statistics);
    (gradients.weight[0], gradients.bias[0])
}

/// Gradient of [`evaluation`]; returns the gradients to weight and bias.
///
/// # Panics
/// If the slices have different lengths.
pub fn evaluation_grad(
    x: &[f32],
    dy: &[f32],
    dx: &mut [f32],
    running_mean: f32,
    running_variance: f32,
    weight: f32,
    eps: f32,
) -> (f32, f32) {
    whole(x, dy.len());
    let shape = whole(x, dx.len());
    let deviation = (running_variance + eps).sqrt();
    parallel::blocks(dx, |start, dx| {
        for (dx, &dy) in dx.iter_mut().zip(&dy[start..]) {
            *dx = dy * weight / deviation;
        }
    });
    let (sum, product) = sums(dy, &[0.0], x, &[running_mean], shape, Level::current())[0];
    ((product / f64::from(deviation)) as f32, sum as f32)
}

fn whole(x: &[f32], other: usize) -> ChannelShape {
    assert_eq!(x.len(), other, "lengths differ");
    ChannelShape { n: 1, c: 1, inner: x.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evaluation_of_the_specification() {
        let mut y = [0.0; 4];
        evaluation(&[1.0, 2.0, 3.0, 6.0], &mut y, 0.3, 1.3666667, 1.0, 0.0, 1e-4);
        assert_eq!(y, [0.5987573, 1.4541249, 2.3094926, 4.875_595]);
    }

    #[test]
    fn gradients_are_central_differences() {
        let x = [1.0_f32, 2.0, 3.5, 6.0, -2.0];
        let dy = [0.3_f32, -1.0, 0.5, 0.25, 2.0];
        let (weight, bias, eps) = (1.5_f32, 0.25_f32, 1e-4_f32);
        let loss = |x: &[f64], weight: f64, bias: f64, fixed: Option<(f64, f64)>| -> f64 {
            let n = x.len() as f64;
            let m = x.iter().sum::<f64>() / n;
            let v = x.iter().map(|x| (x - m) * (x - m)).sum::<f64>() / n;
            let (m, v) = fixed.unwrap_or((m, v));
            x.iter()
                .zip(dy)
                .map(|(x, dy)| {
                    ((x - m) / (v + f64::from(eps)).sqrt() * weight + bias) * f64::from(dy)
                })
                .sum()
        };
        let wide = x.map(f64::from);
        let (mut y, mut dx) = ([0.0; 5], [0.0; 5]);
        let statistics = training(&x, &mut y, weight, bias, eps);
        let trained = training_grad(&x, &dy, &mut dx, weight, &statistics);
        let mut dx_evaluated = [0.0; 5];
        let evaluated = evaluation_grad(&x, &dy, &mut dx_evaluated, 0.5, 2.0, weight, eps);
        let h = 1e-6;
        for (fixed, dx, (dw, db)) in
            [(None, dx, trained), (Some((0.5, 2.0)), dx_evaluated, evaluated)]
        {
            let (w, b) = (f64::from(weight), f64::from(bias));
            for i in 0..x.len() {
                let (mut up, mut down) = (wide, wide);
                up[i] += h;
                down[i] -= h;
                let expected = (loss(&up, w, b, fixed) - loss(&down, w, b, fixed)) / (2.0 * h);
                assert!((f64::from(dx[i]) - expected).abs() < 1e-5, "{i}: {} {expected}", dx[i]);
            }
            let expected =
                (loss(&wide, w + h, b, fixed) - loss(&wide, w - h, b, fixed)) / (2.0 * h);
            assert!((f64::from(dw) - expected).abs() < 1e-5, "{dw} {expected}");
            assert!((db - dy.iter().sum::<f32>()).abs() < 1e-6);
        }
    }
}
