//! Initial weights: a function of the seed and the parameter's path alone.
//!
//! Every parameter draws from a stream of its own, so that its start depends neither on the order
//! in which layers are built nor on what else the network contains.

use fewbit_formats::CounterRng;

/// Draws `count` values uniformly from `[low, high)`.
///
/// `path` is the name of the parameter (`features.2.weight`).
///
/// # Source
/// networks.md 3.3: weights of fully connected networks start uniform in (-1, 1).
pub fn uniform(seed: u64, path: &str, count: usize, low: f32, high: f32) -> Vec<f32> {
    let rng = CounterRng::new(seed, stream_of(path));
    (0..count as u64).map(|i| low + (high - low) * rng.uniform_at(i)).collect()
}

/// Draws `count` values from a normal distribution around zero.
///
/// # Source
/// networks.md 3.6: weights of convolutions. Box-Muller, in `f64`.
pub fn normal(seed: u64, path: &str, count: usize, deviation: f64) -> Vec<f32> {
    let rng = CounterRng::new(seed, stream_of(path));
    let draw = |i: u64| {
        // In (0, 1], so that the logarithm is finite.
        let radius = 1.0 - f64::from(rng.uniform_at(2 * i));
        let turn = f64::from(rng.uniform_at(2 * i + 1));
        let normal = (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * turn).cos();
        (deviation * normal) as f32
    };
    (0..count as u64).map(draw).collect()
}

/// Names a random stream after a path: the 64-bit FNV-1a hash of its bytes.
pub fn stream_of(path: &str) -> u64 {
    path.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_by_path_and_seed() {
        let a = uniform(1, "features.2.weight", 1000, -1.0, 1.0);
        assert_eq!(a, uniform(1, "features.2.weight", 1000, -1.0, 1.0));
        assert_ne!(a, uniform(2, "features.2.weight", 1000, -1.0, 1.0));
        assert_ne!(a, uniform(1, "features.6.weight", 1000, -1.0, 1.0));
    }

    #[test]
    fn normal_values_have_their_moments() {
        let values = normal(3, "w", 100_000, 0.5);
        let moment = |power| {
            values.iter().map(|&v| (f64::from(v) / 0.5).powi(power)).sum::<f64>() / 100_000.0
        };
        // Standard errors are 0.003, 0.0045 and 0.03.
        assert!(moment(1).abs() < 0.015, "{}", moment(1));
        assert!((moment(2) - 1.0).abs() < 0.022, "{}", moment(2));
        assert!((moment(4) - 3.0).abs() < 0.16, "{}", moment(4));
    }

    #[test]
    fn values_fill_the_interval() {
        let values = uniform(7, "w", 100_000, -1.0, 1.0);
        assert!(values.iter().all(|v| (-1.0..1.0).contains(v)));
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / 100_000.0;
        let square = values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / 100_000.0;
        // Standard errors are 0.0018 and 0.0009.
        assert!(mean.abs() < 0.009, "mean {mean}");
        assert!((square - 1.0 / 3.0).abs() < 0.005, "mean square {square}");
    }
}
