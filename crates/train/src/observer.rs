//! What a training tells while it runs. This crate prints nothing itself.

use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;

use crate::accuracy::Meter;
use crate::config::TrainConfig;
use crate::divergence::DeadLayers;
use crate::metrics::EpochRecord;
use crate::progress::Progress;

/// Is told what happens; every method may be left out.
pub trait Observer {
    /// The training begins, or goes on where `start.progress` says.
    fn on_start(&mut self, start: &Start<'_>) {
        let _ = start;
    }

    /// A training batch is done. `Break` asks to stop here; a checkpoint is written first.
    fn on_batch(&mut self, batch: &TrainBatch) -> ControlFlow<()> {
        let _ = batch;
        ControlFlow::Continue(())
    }

    /// Layers do not learn: at the first step, or at the last step of an epoch and otherwise than before.
    fn on_dead_layers(&mut self, found: &DeadStep<'_>) {
        let _ = found;
    }

    /// A batch of the test set is done.
    fn on_test_batch(&mut self, batch: &TestBatch) {
        let _ = batch;
    }

    /// An epoch is done, evaluation included. Its checkpoints are not written yet.
    fn on_epoch(&mut self, epoch: &EpochEnd<'_>) {
        let _ = epoch;
    }

    /// A checkpoint has been written.
    fn on_checkpoint(&mut self, path: &Path) {
        let _ = path;
    }
}

/// Observes nothing.
#[derive(Clone, Copy, Debug)]
pub struct Silent;

impl Observer for Silent {}

/// The beginning of a training.
#[derive(Clone, Copy, Debug)]
pub struct Start<'a> {
    /// The plan.
    pub config: &'a TrainConfig,
    /// How far it has come before.
    pub progress: &'a Progress,
    /// Batches of an epoch.
    pub batches_per_epoch: u64,
    /// Trainable values of the network.
    pub parameters: usize,
}

/// A training batch.
#[derive(Clone, Copy, Debug)]
pub struct TrainBatch {
    /// Number of the epoch, from 1.
    pub epoch: u64,
    /// Epochs of the whole training.
    pub epochs: u64,
    /// Number of the batch in the epoch, from 1.
    pub batch: u64,
    /// Batches of the epoch.
    pub batches: u64,
    /// Images of the batch.
    pub images: u64,
    /// Optimizer steps since the start of the training.
    pub steps: u64,
    /// The learning rate of the step.
    pub learning_rate: f64,
    /// Loss, of the batch and over the epoch so far.
    pub loss: Meter,
    /// Share of images classified correctly, of the batch and over the epoch so far.
    pub top1_percent: Meter,
    /// Training images per second in this epoch so far.
    pub images_per_second: f64,
}

/// A step that some layers learned nothing from.
#[derive(Clone, Copy, Debug)]
pub struct DeadStep<'a> {
    /// Number of the epoch, from 1.
    pub epoch: u64,
    /// Number of the step in the epoch, from 1.
    pub step: u64,
    /// The layers; `None` where all learn again.
    pub layers: Option<&'a DeadLayers>,
}

impl fmt::Display for DeadStep<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { epoch, step, layers } = self;
        match layers {
            Some(layers) => write!(f, "{layers} (epoch {epoch}, step {step})"),
            None => write!(f, "gradients reach all weights again (epoch {epoch}, step {step})"),
        }
    }
}

/// A batch of the test set.
#[derive(Clone, Copy, Debug)]
pub struct TestBatch {
    /// Number of the batch, from 1.
    pub batch: u64,
    /// Batches of the test set.
    pub batches: u64,
    /// Share of images classified correctly so far.
    pub top1_percent: f64,
}

/// The end of an epoch.
#[derive(Clone, Copy, Debug)]
pub struct EpochEnd<'a> {
    /// What was measured, as it is written to `metrics.jsonl`.
    pub record: &'a EpochRecord,
    /// How far the training has come.
    pub progress: &'a Progress,
    /// Whether the network is the best so far.
    pub is_best: bool,
}
