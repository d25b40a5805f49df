//! Images a second of ONNX files: `cargo bench -p fewbit-qonnx --bench networks -- [--steps] FILE ...`.
//!
//! Random images, batches of 100 and of 1; the best of several rounds, since other programs only ever slow one down. `--steps`
//! computes step by step. `RAYON_NUM_THREADS` sets the threads, `FEWBIT_ISA` lowers the instruction set.

#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a benchmark prints, and stops at what is wrong"
)]

use std::hint::black_box;
use std::time::Instant;

use fewbit_qonnx::{Model, Options, Value};

fn main() {
    if let Ok(isa) = std::env::var("FEWBIT_ISA") {
        fewbit_kernels::limit_isa(isa.parse().expect("an instruction set"));
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let steps = arguments.iter().any(|argument| argument == "--steps");
    for file in arguments.iter().filter(|argument| !argument.starts_with("--")) {
        let model = Model::load(file.as_ref(), Options::default()).expect("a model");
        let input = &model.inputs()[0];
        let item: Vec<usize> = input
            .shape()
            .expect("a shape")
            .iter()
            .skip(1)
            .map(|extent| extent.expect("an extent"))
            .collect();
        let size: usize = item.iter().product();
        let name = model
            .tensor_names()
            .find(|name| model.constant(name).is_none() && *name != input.name());
        let keep: Vec<&str> = if steps { name.into_iter().collect() } else { Vec::new() };
        for batch in [100, 1] {
            let mut state = 1u32;
            let mut next = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / (1 << 24) as f32
            };
            let values: Vec<f32> = (0..batch * size).map(|_| next()).collect();
            let x = Value::new([&[batch], &item[..]].concat(), values).expect("a shape that fits");
            let run =
                || black_box(model.run(&[(input.name(), x.clone())], &keep).expect("it runs"));
            let start = Instant::now();
            run();
            let first = start.elapsed().as_secs_f64();
            let (begin, mut best, mut rounds) = (Instant::now(), f64::INFINITY, 0);
            while rounds < 5 || begin.elapsed().as_secs_f64() < 1.5 {
                let start = Instant::now();
                run();
                best = best.min(start.elapsed().as_secs_f64());
                rounds += 1;
            }
            println!(
                "{:9.0} images/s, {:9.1} us a run, the first {:9.1} us, batch {batch:3}, {:?} stages: {}",
                batch as f64 / best,
                best * 1e6,
                first * 1e6,
                model.planned_stages().filter(|_| !steps),
                file.rsplit('/').next().unwrap_or(file)
            );
        }
    }
}
