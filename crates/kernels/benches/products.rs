//! Floating-point operations per second of matrix products: the best and the median of some runs, two per multiply-add.
//!
//! An argument is part of the names to run; `--threads=1` runs on one core.

mod harness;

use std::hint::black_box;

use fewbit_kernels::gemm::{Matrix, gemm};
use fewbit_kernels::{Accumulation, MatmulShape, matmul_nt};

fn main() {
    let bench = harness::Bench::new();
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
        let operations = 2.0 * (n * k * m) as f64;
        for (name, accumulation, x_codes, w_codes) in [
            ("i8", Accumulation::Integer { x_max_abs: 3, w_max_abs: 1 }, 3.0, 1.0),
            ("i16", Accumulation::Integer { x_max_abs: 1000, w_max_abs: 100 }, 100.0, 100.0),
            ("bf16", Accumulation::Paired, 64.0, 64.0),
            ("f32", Accumulation::Sequential, 0.0, 0.0),
        ] {
            let (x, w) = (harness::values(1, n * k, x_codes), harness::values(2, m * k, w_codes));
            let mut y = vec![0.0; n * m];
            bench.run(&format!("matmul_nt {name} {n}x{k}x{m}"), operations, "op", || {
                matmul_nt(black_box(&x), &w, &mut y, shape, accumulation);
            });
        }
        let (dy, w, x) = (
            harness::values(1, n * m, 0.0),
            harness::values(2, m * k, 0.0),
            harness::values(3, n * k, 0.0),
        );
        let (mut dx, mut dw) = (vec![0.0; n * k], vec![0.0; m * k]);
        bench.run(&format!("gemm dx {n}x{m}x{k}"), operations, "op", || {
            gemm(Matrix::new(black_box(&dy), n, m), Matrix::new(&w, m, k), &mut dx);
        });
        bench.run(&format!("gemm dw {m}x{n}x{k}"), operations, "op", || {
            gemm(Matrix::new(black_box(&dy), n, m).transposed(), Matrix::new(&x, n, k), &mut dw);
        });
    }
}
