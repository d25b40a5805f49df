//! Optimizer steps, each one pass over the parameter, its gradient and its state.

use rayon::prelude::*;

use crate::isa::{Level, multiversion};
use crate::parallel::{BLOCK, pays};

/// What an optimizer does to a parameter after the step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Clip {
    /// Leaves it.
    None,
    /// Clamps it to `[-limit, limit]`.
    Symmetric(f32),
}

impl Clip {
    fn limit(self) -> f32 {
        match self {
            Self::None => f32::INFINITY,
            Self::Symmetric(limit) => limit,
        }
    }
}

/// Hyper-parameters of [`adam`]; the defaults are PyTorch's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// Learning rate.
    pub learning_rate: f64,
    /// Decay of the first and of the second moment.
    pub betas: (f64, f64),
    /// Added to the denominator.
    pub eps: f64,
    /// Times the parameter, added to the gradient.
    pub weight_decay: f64,
    /// Times the learning rate and the parameter, subtracted from the parameter before the step: this is AdamW.
    pub decoupled_weight_decay: f64,
}

impl Default for Adam {
    fn default() -> Self {
        Self {
            learning_rate: 1e-3,
            betas: (0.9, 0.999),
            eps: 1e-8,
            weight_decay: 0.0,
            decoupled_weight_decay: 0.0,
        }
    }
}

/// Takes one Adam step, number `step` (the first is 1).
///
/// `g += wd p; p *= 1 - lr dwd; m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g g;
/// p -= lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps)`, then `clip`.
/// Factors are computed in `f64` and rounded to `f32`; every operation on a value is one `f32` rounding, none is fused.
///
/// # Panics
/// If the slices have different lengths, or `step` is 0.
/// # Source
/// PyTorch `Adam` without `amsgrad`, weight decay coupled (L2); with the decoupled one alone it is `AdamW`.
#[allow(clippy::too_many_arguments)]
pub fn adam(
    p: &mut [f32],
    g: &[f32],
    m: &mut [f32],
    v: &mut [f32],
    step: u64,
    adam: &Adam,
    clip: Clip,
) {
    adam_at(Level::current(), p, g, m, v, step, adam, clip);
}

#[allow(clippy::too_many_arguments)]
fn adam_at(
    level: Level,
    p: &mut [f32],
    g: &[f32],
    m: &mut [f32],
    v: &mut [f32],
    step: u64,
    adam: &Adam,
    clip: Clip,
) {
    assert_eq!(
        (g.len(), m.len(), v.len()),
        (p.len(), p.len(), p.len()),
        "gradient and state of a parameter"
    );
    assert!(step > 0, "the first step is number 1");
    let correction = (1.0 - power(adam.betas.0, step), 1.0 - power(adam.betas.1, step));
    let factors = AdamFactors {
        beta1: adam.betas.0 as f32,
        one_minus_beta1: (1.0 - adam.betas.0) as f32,
        beta2: adam.betas.1 as f32,
        one_minus_beta2: (1.0 - adam.betas.1) as f32,
        step_size: (adam.learning_rate / correction.0) as f32,
        root_correction2: correction.1.sqrt() as f32,
        eps: adam.eps as f32,
        weight_decay: adam.weight_decay as f32,
        shrinking: (1.0 - adam.learning_rate * adam.decoupled_weight_decay) as f32,
        limit: clip.limit(),
    };
    if pays(p.len()) {
        p.par_chunks_mut(BLOCK)
            .zip(g.par_chunks(BLOCK))
            .zip(m.par_chunks_mut(BLOCK).zip(v.par_chunks_mut(BLOCK)))
            .for_each(|((p, g), (m, v))| adam_block(level, p, g, m, v, &factors));
    } else {
        adam_block(level, p, g, m, v, &factors);
    }
}

struct AdamFactors {
    beta1: f32,
    one_minus_beta1: f32,
    beta2: f32,
    one_minus_beta2: f32,
    step_size: f32,
    root_correction2: f32,
    eps: f32,
    weight_decay: f32,
    shrinking: f32,
    limit: f32,
}

multiversion! {
    fn adam_block(level, p: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32], f: &AdamFactors) {
        let len = p.len();
        let (g, m, v) = (&g[..len], &mut m[..len], &mut v[..len]);
        for i in 0..len {
            let grad = if f.weight_decay == 0.0 { g[i] } else { g[i] + f.weight_decay * p[i] };
            m[i] = f.beta1 * m[i] + f.one_minus_beta1 * grad;
            v[i] = f.beta2 * v[i] + f.one_minus_beta2 * (grad * grad);
            let denominator = v[i].sqrt() / f.root_correction2 + f.eps;
            p[i] = clamp(p[i] * f.shrinking - f.step_size * (m[i] / denominator), f.limit);
        }
    }
}

/// Hyper-parameters of [`sgd`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// Learning rate.
    pub learning_rate: f64,
    /// Part of the velocity that is kept.
    pub momentum: f64,
    /// Whether the step is taken from where the velocity leads (Nesterov).
    pub nesterov: bool,
    /// Times the parameter, added to the gradient.
    pub weight_decay: f64,
}

/// Takes one step of stochastic gradient descent, number `step` (the first is 1).
///
/// `g += wd p; buf = momentum buf + g` (the first step: `buf = g`); `p -= lr buf`, with Nesterov
/// `p -= lr (g + momentum buf)`; then `clip`.
///
/// # Panics
/// If the slices have different lengths, or `step` is 0.
/// # Source
/// PyTorch `SGD`, no dampening.
pub fn sgd(p: &mut [f32], g: &[f32], buffer: &mut [f32], step: u64, sgd: &Sgd, clip: Clip) {
    sgd_at(Level::current(), p, g, buffer, step, sgd, clip);
}

fn sgd_at(
    level: Level,
    p: &mut [f32],
    g: &[f32],
    buffer: &mut [f32],
    step: u64,
    sgd: &Sgd,
    clip: Clip,
) {
    assert_eq!((g.len(), buffer.len()), (p.len(), p.len()), "gradient and state of a parameter");
    assert!(step > 0, "the first step is number 1");
    let factors = SgdFactors {
        learning_rate: sgd.learning_rate as f32,
        momentum: sgd.momentum as f32,
        nesterov: sgd.nesterov,
        is_first: step == 1,
        weight_decay: sgd.weight_decay as f32,
        limit: clip.limit(),
    };
    if pays(p.len()) {
        p.par_chunks_mut(BLOCK)
            .zip(g.par_chunks(BLOCK))
            .zip(buffer.par_chunks_mut(BLOCK))
            .for_each(|((p, g), buffer)| sgd_block(level, p, g, buffer, &factors));
    } else {
        sgd_block(level, p, g, buffer, &factors);
    }
}

struct SgdFactors {
    learning_rate: f32,
    momentum: f32,
    nesterov: bool,
    is_first: bool,
    weight_decay: f32,
    limit: f32,
}

multiversion! {
    fn sgd_block(level, p: &mut [f32], g: &[f32], buffer: &mut [f32], f: &SgdFactors) {
        let len = p.len();
        let (g, buffer) = (&g[..len], &mut buffer[..len]);
        for i in 0..len {
            let grad = if f.weight_decay == 0.0 { g[i] } else { g[i] + f.weight_decay * p[i] };
            buffer[i] = if f.is_first { grad } else { f.momentum * buffer[i] + grad };
            let step = if f.nesterov { grad + f.momentum * buffer[i] } else { buffer[i] };
            p[i] = clamp(p[i] - f.learning_rate * step, f.limit);
        }
    }
}

/// Moves a decaying average towards the values: `a += (1 - decay) (x - a)`.
///
/// The factor is rounded to `f32`; every operation on a value is one `f32` rounding, none is fused. Where the
/// factor is one half or more, `x - decay (x - a)` is computed, as PyTorch does: with a decay of 0 the average is `x`.
///
/// # Panics
/// If the slices have different lengths.
/// # Source
/// PyTorch `torch.optim.swa_utils.get_ema_multi_avg_fn`.
/// # Examples
/// ```
/// let mut average = [1.0, 2.0];
/// fewbit_kernels::optimizer::average(&mut average, &[2.0, -2.0], 0.75);
/// assert_eq!(average, [1.25, 1.0]);
/// ```
pub fn average(average: &mut [f32], values: &[f32], decay: f64) {
    average_at(Level::current(), average, values, decay);
}

fn average_at(level: Level, average: &mut [f32], values: &[f32], decay: f64) {
    assert_eq!(average.len(), values.len(), "values and their average");
    let weight = (1.0 - decay) as f32;
    if pays(average.len()) {
        average
            .par_chunks_mut(BLOCK)
            .zip(values.par_chunks(BLOCK))
            .for_each(|(average, values)| average_block(level, average, values, weight));
    } else {
        average_block(level, average, values, weight);
    }
}

multiversion! {
    fn average_block(level, average: &mut [f32], values: &[f32], weight: f32) {
        let pairs = average.iter_mut().zip(values);
        if weight < 0.5 {
            pairs.for_each(|(a, x)| *a += weight * (x - *a));
        } else {
            pairs.for_each(|(a, x)| *a = x - (x - *a) * (1.0 - weight));
        }
    }
}

/// NaN stays NaN.
#[inline(always)]
fn clamp(x: f32, limit: f32) -> f32 {
    let x = if x > limit { limit } else { x };
    if x < -limit { -limit } else { x }
}

/// `base^exponent` by repeated squaring: the same bits on every machine, unlike a library's `pow`.
fn power(mut base: f64, mut exponent: u64) -> f64 {
    let mut result = 1.0;
    while exponent > 0 {
        if exponent % 2 == 1 {
            result *= base;
        }
        base *= base;
        exponent /= 2;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(seed: u64, len: usize, scale: f32) -> Vec<f32> {
        crate::gemm::testing::values(seed, len).into_iter().map(|v| v * scale).collect()
    }

    /// The specification in `f64`.
    fn adam_in_f64(p: f64, g: f64, m: f64, v: f64, t: u64, a: &Adam) -> (f64, f64, f64) {
        let g = g + a.weight_decay * p;
        let m = a.betas.0 * m + (1.0 - a.betas.0) * g;
        let v = a.betas.1 * v + (1.0 - a.betas.1) * g * g;
        let step = a.learning_rate / (1.0 - a.betas.0.powf(t as f64)) * m;
        (p - step / (v.sqrt() / (1.0 - a.betas.1.powf(t as f64)).sqrt() + a.eps), m, v)
    }

    #[test]
    fn adam_follows_the_formula_on_every_level() {
        for len in [0, 1, 7, 8, 9, 31, 1000] {
            for decay in [0.0, 0.01] {
                let settings = Adam { learning_rate: 0.02, weight_decay: decay, ..Adam::default() };
                let start = (values(1, len, 1.0), values(2, len, 0.1), values(3, len, 0.01));
                let mut kept: Option<(Vec<f32>, Vec<f32>, Vec<f32>)> = None;
                for level in Level::all() {
                    let (mut p, g, mut m) = start.clone();
                    let mut v: Vec<f32> = m.iter().map(|m| m * m).collect();
                    let before = (p.clone(), m.clone(), v.clone());
                    adam_at(level, &mut p, &g, &mut m, &mut v, 3, &settings, Clip::None);
                    for i in 0..len {
                        let wide = |x: f32| f64::from(x);
                        let (ep, em, ev) = adam_in_f64(
                            wide(before.0[i]),
                            wide(g[i]),
                            wide(before.1[i]),
                            wide(before.2[i]),
                            3,
                            &settings,
                        );
                        assert!(
                            (wide(p[i]) - ep).abs() < 1e-6
                                && (wide(m[i]) - em).abs() < 1e-8
                                && (wide(v[i]) - ev).abs() < 1e-8
                        );
                    }
                    if let Some(kept) = &kept {
                        assert_eq!(kept, &(p, m, v), "{level:?}");
                    } else {
                        kept = Some((p, m, v));
                    }
                }
            }
        }
    }

    #[test]
    fn long_parameters_take_the_same_step_in_blocks() {
        let len = BLOCK * 5 + 3;
        let (p, g, m) = (values(4, len, 1.0), values(5, len, 1.0), values(6, len, 0.1));
        let v: Vec<f32> = m.iter().map(|m| m * m).collect();
        let run = |threads| {
            let (mut p, mut m, mut v) = (p.clone(), m.clone(), v.clone());
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                adam(&mut p, &g, &mut m, &mut v, 10, &Adam::default(), Clip::Symmetric(0.5))
            });
            (p, m, v)
        };
        let alone = run(1);
        assert!(alone.0.iter().all(|p| p.abs() <= 0.5));
        assert_eq!(alone, run(2));
        let (mut tail, mut m, mut v) =
            (p[BLOCK * 5..].to_vec(), m[BLOCK * 5..].to_vec(), v[BLOCK * 5..].to_vec());
        adam(
            &mut tail,
            &g[BLOCK * 5..],
            &mut m,
            &mut v,
            10,
            &Adam::default(),
            Clip::Symmetric(0.5),
        );
        assert_eq!(tail, alone.0[BLOCK * 5..]);
    }

    #[test]
    fn sgd_keeps_its_velocity() {
        for level in Level::all() {
            let (mut p, mut buffer) = ([1.0, -1.0, 0.5], [9.0; 3]);
            let settings =
                Sgd { learning_rate: 0.5, momentum: 0.5, nesterov: false, weight_decay: 0.0 };
            sgd_at(level, &mut p, &[1.0, 2.0, -4.0], &mut buffer, 1, &settings, Clip::None);
            assert_eq!((p, buffer), ([0.5, -2.0, 2.5], [1.0, 2.0, -4.0]));
            sgd_at(
                level,
                &mut p,
                &[0.0, 0.0, 1.0],
                &mut buffer,
                2,
                &Sgd { weight_decay: 1.0, ..settings },
                Clip::Symmetric(1.0),
            );
            assert_eq!((p, buffer), ([0.0, -1.0, 1.0], [1.0, -1.0, 1.5]));
        }
    }

    /// The numbers of PyTorch 2.8, `crates/train/tests/pytorch_steps.py`, are compared in `fewbit-train`; here by hand.
    #[test]
    fn nesterov_steps_from_where_the_velocity_leads() {
        for level in Level::all() {
            let (mut p, mut buffer) = ([1.0, -1.0], [9.0; 2]);
            let settings =
                Sgd { learning_rate: 0.5, momentum: 0.5, nesterov: true, weight_decay: 0.0 };
            sgd_at(level, &mut p, &[1.0, 2.0], &mut buffer, 1, &settings, Clip::None);
            assert_eq!((p, buffer), ([0.25, -2.5], [1.0, 2.0]));
            sgd_at(level, &mut p, &[0.0, 1.0], &mut buffer, 2, &settings, Clip::None);
            assert_eq!((p, buffer), ([0.125, -3.5], [0.5, 2.0]));
        }
    }

    /// Without gradients the step of AdamW is the decay alone, which Adam's would be divided by its own size.
    #[test]
    fn decoupled_decay_shrinks_by_itself() {
        for level in Level::all() {
            let settings =
                Adam { learning_rate: 0.5, decoupled_weight_decay: 0.5, ..Adam::default() };
            let (mut p, mut m, mut v) = ([4.0, -8.0, 0.0], [0.0; 3], [0.0; 3]);
            adam_at(level, &mut p, &[0.0; 3], &mut m, &mut v, 1, &settings, Clip::None);
            assert_eq!((p, m, v), ([3.0, -6.0, 0.0], [0.0; 3], [0.0; 3]));
        }
    }

    #[test]
    fn averages_are_the_same_on_every_level_and_in_blocks() {
        for len in [0, 1, 7, 8, 9, 1000, BLOCK * 3 + 5] {
            for decay in [0.0, 0.25, 0.9, 0.999, 1.0] {
                let (start, x) = (values(7, len, 1.0), values(8, len, 3.0));
                let weight = (1.0 - decay) as f32;
                for level in Level::all() {
                    let mut a = start.clone();
                    average_at(level, &mut a, &x, decay);
                    for i in 0..len {
                        let wide = |x: f32| f64::from(x);
                        let exact = wide(start[i]) + (1.0 - decay) * (wide(x[i]) - wide(start[i]));
                        assert!((wide(a[i]) - exact).abs() < 1e-6, "{decay} {i}");
                        if weight < 0.5 {
                            assert_eq!(a[i], start[i] + weight * (x[i] - start[i]));
                        }
                    }
                    match decay {
                        0.0 => assert_eq!(a, x),
                        1.0 => assert_eq!(a, start),
                        _ => {}
                    }
                }
            }
        }
    }

    #[test]
    fn a_nan_stays_through_the_clip() {
        let (mut p, mut m, mut v) = ([1.0], [0.0], [0.0]);
        adam(&mut p, &[f32::NAN], &mut m, &mut v, 1, &Adam::default(), Clip::Symmetric(1.0));
        assert!(p[0].is_nan());
    }
}
