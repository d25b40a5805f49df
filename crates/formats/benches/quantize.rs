//! Elements per second of the slice quantizer on one core, with the instructions of the target's baseline.
//!
//! Medians of 21 runs over a warm buffer of 4096 elements. `fewbit-kernels` compiles the same function for wider instructions.

use std::hint::black_box;
use std::time::Instant;

use fewbit_formats::{CounterRng, FloatFormat};

fn main() {
    let rng = CounterRng::new(1, 0);
    let mut x = vec![0.0; 4096];
    rng.fill_uniform(0, &mut x);
    for x in &mut x {
        *x = (*x - 0.5) * 1000.0;
    }
    let mut y = vec![0.0; x.len()];
    for name in ["e4m3", "e3m1", "e5m2", "ue4m3", "e8m7", "e5m10", "e8m23", "e4m3b140"] {
        let format: FloatFormat = name.parse().expect("names of this list are formats");
        report(name, &x, &mut y, |x, y| format.quantize_slice(x, y));
    }
    let e4m3: FloatFormat = "e4m3".parse().expect("e4m3 is a format");
    report("e4m3 stochastic", &x, &mut y, |x, y| e4m3.quantize_slice_stochastic(x, y, &rng, 0));
    report("uniform numbers", &x, &mut y, |_, y| rng.fill_uniform(0, y));
}

fn report(name: &str, x: &[f32], y: &mut [f32], mut run: impl FnMut(&[f32], &mut [f32])) {
    let repetitions = 2000;
    let mut seconds: Vec<f64> = (0..21)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..repetitions {
                run(black_box(x), y);
                black_box(&mut *y);
            }
            start.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    let rate = (repetitions * x.len()) as f64 / seconds[seconds.len() / 2] / 1e9;
    #[allow(clippy::print_stdout, reason = "a benchmark prints")]
    {
        println!("{name:>16}  {rate:6.2} G elements/s");
    }
}
