//! Floating-point operations per second of matrix products: the best and the median of 21 runs, two per multiply-add.
//!
//! An argument is part of the names to run; `--threads=1` runs on one core.

use std::hint::black_box;
use std::time::Instant;

use fewbit_formats::CounterRng;
use fewbit_kernels::gemm::{Matrix, gemm};
use fewbit_kernels::{Accumulation, MatmulShape, matmul_nt};

fn main() {
    let filters: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let threads =
        std::env::args().find_map(|a| a.strip_prefix("--threads=").and_then(|t| t.parse().ok()));
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads.unwrap_or(0))
        .build_global()
        .expect("the first pool");
    let bench = Bench { filters };
    println!("{}, {} threads", fewbit_kernels::Isa::current(), rayon::current_num_threads());
    // Batch, inputs, outputs of the layers of TFC and LFC, and of an evaluation.
    for (n, k, m) in [
        (100, 784, 64),
        (100, 64, 64),
        (100, 64, 10),
        (100, 784, 1024),
        (100, 1024, 1024),
        (100, 1024, 10),
        (1000, 784, 64),
        (1000, 1024, 1024),
    ] {
        let shape = MatmulShape { n, m, k };
        let macs = (n * k * m) as f64;
        for (name, accumulation, x_codes, w_codes) in [
            ("i8", Accumulation::Integer { x_max_abs: 3, w_max_abs: 1 }, 3.0, 1.0),
            ("i16", Accumulation::Integer { x_max_abs: 1000, w_max_abs: 100 }, 100.0, 100.0),
            ("bf16", Accumulation::Paired, 64.0, 64.0),
            ("f32", Accumulation::Sequential, 0.0, 0.0),
        ] {
            let (x, w) = (values(1, n * k, x_codes), values(2, m * k, w_codes));
            let mut y = vec![0.0; n * m];
            bench.run(&format!("matmul_nt {name} {n}x{k}x{m}"), macs, || {
                matmul_nt(black_box(&x), &w, &mut y, shape, accumulation);
            });
        }
        let (dy, w, x) = (values(1, n * m, 0.0), values(2, m * k, 0.0), values(3, n * k, 0.0));
        let (mut dx, mut dw) = (vec![0.0; n * k], vec![0.0; m * k]);
        bench.run(&format!("gemm dx {n}x{m}x{k}"), macs, || {
            gemm(Matrix::new(black_box(&dy), n, m), Matrix::new(&w, m, k), &mut dx);
        });
        bench.run(&format!("gemm dw {m}x{n}x{k}"), macs, || {
            gemm(Matrix::new(black_box(&dy), n, m).transposed(), Matrix::new(&x, n, k), &mut dw);
        });
    }
}

/// Seeded values in [-1, 1], or integers up to `codes`.
fn values(key: u64, len: usize, codes: f32) -> Vec<f32> {
    let mut values = vec![0.0; len];
    CounterRng::new(1, key).fill_uniform(0, &mut values);
    for v in &mut values {
        *v = 2.0 * *v - 1.0;
        if codes > 0.0 {
            *v = (*v * codes).round_ties_even();
        }
    }
    values
}

struct Bench {
    filters: Vec<String>,
}

impl Bench {
    fn run(&self, name: &str, macs: f64, mut f: impl FnMut()) {
        if !self.filters.is_empty() && !self.filters.iter().any(|filter| name.contains(filter)) {
            return;
        }
        f();
        let start = Instant::now();
        f();
        let once = start.elapsed().as_secs_f64();
        let repetitions = (0.005 / once).clamp(1.0, 1000.0) as usize;
        let mut seconds: Vec<f64> = (0..21)
            .map(|_| {
                let start = Instant::now();
                (0..repetitions).for_each(|_| f());
                start.elapsed().as_secs_f64() / repetitions as f64
            })
            .collect();
        seconds.sort_by(f64::total_cmp);
        let median: f64 = seconds[seconds.len() / 2];
        let rate = |seconds: f64| 2.0 * macs / seconds / 1e9;
        println!(
            "{name:>32}  best {:8.1} us {:7.1} Gop/s, median {:8.1} us {:7.1} Gop/s",
            seconds[0] * 1e6,
            rate(seconds[0]),
            median * 1e6,
            rate(median)
        );
    }
}
