//! Dropout whose choice depends on nothing but a seed and the place of a value.

use fewbit_formats::CounterRng;

use crate::isa::{Level, multiversion};
use crate::parallel::blocks;

/// Sets each value to 0 with probability `p` and scales the others by `1 / (1 - p)`.
///
/// Value `i` is dropped if `rng.uniform_at(i) < p`: the same for any number of threads. The gradient is the
/// same function of `dy`, so that no mask is kept.
/// With `p = 1` everything is 0.
///
/// # Panics
/// If the lengths differ or `p` is outside `[0, 1]`.
pub fn dropout(x: &[f32], y: &mut [f32], p: f32, rng: &CounterRng) {
    assert_eq!(x.len(), y.len(), "lengths differ");
    assert!((0.0..=1.0).contains(&p), "dropout probability {p}");
    let scale = 1.0 / (1.0 - p);
    let level = Level::current();
    blocks(y, |start, y| drop_block(level, &x[start..], y, start as u64, p, scale, rng));
}

/// Numbers drawn at a time.
const PIECE: usize = 1024;

multiversion! {
    /// Draws in pieces: a number alone costs as much as four.
    fn drop_block(level, x: &[f32], y: &mut [f32], start: u64, p: f32, scale: f32, rng: &CounterRng) {
        let mut drawn = [0.0; PIECE];
        let pieces = y.chunks_mut(PIECE).zip(x.chunks(PIECE));
        for (i, (y, x)) in pieces.enumerate() {
            let drawn = &mut drawn[..y.len()];
            rng.fill_uniform(start + (i * PIECE) as u64, drawn);
            for ((y, &x), &drawn) in y.iter_mut().zip(x).zip(&*drawn) {
                *y = if drawn < p { 0.0 } else { x * scale };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_the_right_part_whatever_the_threads() {
        let len = (1 << 18) + 5;
        let x: Vec<f32> = (0..len).map(|i| i as f32 + 1.0).collect();
        let rng = CounterRng::new(7, 3);
        let run = |threads| {
            let mut y = vec![0.0; len];
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| dropout(&x, &mut y, 0.2, &rng));
            y
        };
        let y = run(1);
        assert_eq!(y, run(2));
        let dropped = y.iter().filter(|y| **y == 0.0).count();
        assert!((dropped as f64 / len as f64 - 0.2).abs() < 0.005, "{dropped}");
        assert!(y.iter().zip(&x).all(|(y, x)| *y == 0.0 || *y == x * 1.25));
        let mut short = vec![0.0; 100];
        dropout(&x[..100], &mut short, 0.2, &rng);
        assert_eq!(short, y[..100]);
        dropout(&x[..100], &mut short, 1.0, &rng);
        assert_eq!(short, [0.0; 100]);
    }
}
