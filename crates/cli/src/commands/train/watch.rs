//! What a training shows while it runs: a bar on a terminal, a line for each epoch everywhere.

use std::ops::ControlFlow;
use std::time::Instant;

use fewbit_nn::config::{Architecture, NetworkConfig, Quantization, WeightScaling};
use fewbit_train::{DeadStep, EpochEnd, Observer, Start, TestBatch, TrainBatch};

use crate::console::{Console, counted, grouped, seconds};
use crate::interrupt;
use crate::progress::Progress;

/// Watches a training for the person in front of it, and stops it on Ctrl-C.
#[derive(Debug)]
pub struct Watch {
    console: Console,
    bar: Progress,
    started: Instant,
    /// Steps that were done before this process began.
    steps_before: u64,
    /// Images that this process has trained with.
    images: u64,
    steps: u64,
    steps_in_all: u64,
    /// What the bar says of the epoch.
    epoch: String,
    /// What may help layers that do not learn.
    advice: &'static str,
    warnings: Vec<String>,
}

impl Watch {
    /// Watches on the console.
    pub fn new(console: &Console) -> Self {
        Self {
            console: *console,
            bar: Progress::new(console),
            started: Instant::now(),
            steps_before: 0,
            images: 0,
            steps: 0,
            steps_in_all: 0,
            epoch: String::new(),
            advice: "",
            warnings: vec![],
        }
    }

    /// Images that were trained with.
    pub fn images(&self) -> u64 {
        self.images
    }

    /// What the user should know about the training.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Seconds since the training began, evaluation included.
    pub fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// Seconds to the end of the last epoch, if things go on as they did.
    fn seconds_left(&self) -> f64 {
        let done = self.steps - self.steps_before;
        let left = self.steps_in_all.saturating_sub(self.steps);
        self.seconds() * left as f64 / done as f64
    }

    fn show(&mut self, words: &str) {
        let left = seconds(self.seconds_left());
        let Self { bar, epoch, steps, steps_in_all, .. } = self;
        bar.show(*steps, *steps_in_all, || format!("{epoch}, {words}, {left} left"));
    }
}

impl Observer for Watch {
    fn on_start(&mut self, start: &Start<'_>) {
        let recipe = &start.config.recipe;
        let progress = start.progress;
        self.started = Instant::now();
        self.advice = advice(&recipe.network);
        self.steps_before = progress.steps;
        self.steps = progress.steps;
        self.steps_in_all = recipe.epochs.saturating_mul(start.batches_per_epoch);
        let place = match progress.steps {
            0 => String::new(),
            steps => format!(" from step {} on", grouped(steps + 1)),
        };
        self.console.say(format!(
            "training {} ({}) on {} of {} for {}{place}",
            recipe.network.name,
            counted(start.parameters as u64, "parameter"),
            counted(progress.train_images, "image"),
            recipe.dataset,
            counted(recipe.epochs, "epoch"),
        ));
    }

    fn on_batch(&mut self, batch: &TrainBatch) -> ControlFlow<()> {
        self.steps = batch.steps;
        self.images += batch.images;
        if self.bar.draws() {
            self.epoch = format!("epoch {} of {}", batch.epoch, batch.epochs);
            self.show(&format!(
                "{} images/s, loss {:.4}, top-1 {:.2} %",
                speed(batch.images_per_second),
                batch.loss.average(),
                batch.top1_percent.average()
            ));
        }
        if interrupt::requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn on_dead_layers(&mut self, found: &DeadStep<'_>) {
        self.bar.clear();
        if found.layers.is_none() {
            self.console.say(found.to_string());
            return;
        }
        self.console.say(format!("warning: {found}"));
        if self.warnings.is_empty() {
            self.console.say(format!("hint: {}", self.advice));
        }
        self.warnings.push(found.to_string());
    }

    fn on_test_batch(&mut self, batch: &TestBatch) {
        if self.bar.draws() {
            let words = format!("testing {}/{}", batch.batch, batch.batches);
            self.show(&format!("{words}, top-1 {:.2} %", batch.top1_percent));
        }
    }

    fn on_epoch(&mut self, end: &EpochEnd<'_>) {
        let record = end.record;
        self.bar.clear();
        self.console.say(format!(
            "epoch {}: loss {:.4}, training top-1 {:.2} %, test top-1 {:.2} %{}, {} images/s",
            record.epoch,
            record.train_loss,
            record.train_top1_percent,
            record.test_top1_percent,
            if end.is_best { " (best)" } else { "" },
            speed(record.images_per_second),
        ));
    }
}

/// What may help a network whose layers do not learn.
fn advice(network: &NetworkConfig) -> &'static str {
    match &network.architecture {
        Architecture::Resnet18 { quantizers, .. }
            if network.quantization == Quantization::On
                && quantizers.weight_scaling == WeightScaling::Unscaled =>
        {
            "without scales, formats of few exponent bits round most weights to zero; if the training does \
             not get going, try --weight-scaling per_channel --act-scaling learned, a format with more \
             exponent bits, or another --lr"
        }
        Architecture::Fc { .. }
        | Architecture::Cnv { .. }
        | Architecture::Resnet18 { .. }
        | Architecture::Resnet18Integer { .. } => {
            "if this lasts, try a lower --lr, another --loss or another --random_seed"
        }
    }
}

/// Images per second for people; nothing was measured after a resumption at an epoch's end.
pub fn speed(images_per_second: f64) -> String {
    if images_per_second.is_finite() {
        grouped(images_per_second.round_ties_even() as u64)
    } else {
        "-".to_owned()
    }
}
