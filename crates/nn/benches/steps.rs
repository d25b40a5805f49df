//! Images per second of training steps and of evaluation: the best and the median of some runs.
//!
//! An argument is part of the names of the networks to run, `--cpu` counts the processor time of all
//! threads (Linux): for a busy machine.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods, reason = "a bench")]

use std::time::Instant;

use fewbit_nn::ops::{self, Adam, AdamMoments, Clip};
use fewbit_nn::{Device, Network, NetworkConfig, Pass, Tensor};

const BATCH: usize = 100;
const RUNS: usize = 7;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let cpu = arguments.iter().any(|argument| argument == "--cpu");
    let clock: fn() -> f64 = if cpu { processor_time } else { wall_time };
    for name in NetworkConfig::shipped_names() {
        let chosen = arguments.iter().filter(|a| !a.starts_with("--"));
        // Without a choice, those that are small.
        let small = !name.starts_with("RESNET18") && !name.starts_with("CNV");
        if chosen.clone().count() == 0 && !small {
            continue;
        }
        if chosen.clone().count() > 0 && !chosen.clone().any(|part| name.contains(part.as_str())) {
            continue;
        }
        let config = NetworkConfig::named(&name).unwrap();
        let mut network = Network::new(&config, 1, &Device::cpu()).unwrap();
        let [c, h, w] = config.image_shape;
        let pixels = (0..BATCH * c * h * w).map(|i| (i * 37 % 256) as f32 / 255.0).collect();
        let images = Tensor::from_vec(pixels, &[BATCH, c, h, w], &Device::cpu());
        let labels: Vec<u8> = (0..BATCH).map(|i| (i % config.classes) as u8).collect();
        let mut moments: Vec<AdamMoments> =
            network.parameters_mut().iter().map(|(_, p)| AdamMoments::zero(p.value())).collect();
        let mut step = 0;
        report(&name, "training", clock, || {
            let logits = network.forward(&images, Pass::Training { step }).unwrap();
            step += 1;
            let mut gradients = ops::square_hinge_loss(&logits, &labels).unwrap().backward();
            for ((_, parameter), moments) in network.parameters_mut().into_iter().zip(&mut moments)
            {
                let gradient = parameter.take_gradient(&mut gradients).unwrap();
                parameter.update(|mut value| {
                    let settings = Adam::default();
                    ops::adam_step(&mut value, &gradient, moments, &settings, Clip::Symmetric(1.0));
                    value
                });
                gradient.recycle();
            }
        });
        report(&name, "evaluation", clock, || {
            network.forward(&images, Pass::Evaluation).unwrap();
        });
    }
}

fn report(name: &str, what: &str, clock: fn() -> f64, mut step: impl FnMut()) {
    // As many steps as take a tenth of a second or so.
    let started = clock();
    let mut steps = 0;
    while steps == 0 || clock() - started < 0.1 {
        step();
        steps += 1;
    }
    let mut rates: Vec<f64> = (0..RUNS)
        .map(|_| {
            let started = clock();
            (0..steps).for_each(|_| step());
            (BATCH * steps) as f64 / (clock() - started).max(1e-9)
        })
        .collect();
    rates.sort_by(f64::total_cmp);
    println!(
        "{name:<24} {what:<10} {:>10.0} images/s, median {:>10.0}",
        rates[RUNS - 1],
        rates[RUNS / 2]
    );
}

fn wall_time() -> f64 {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_secs_f64()
}

/// Seconds of all threads, in ticks of a hundredth.
fn processor_time() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}
