//! The training loop: optimizers, schedules, checkpoints, run folders.
//!
//! Nothing here prints or looks at a clock: a [`Trainer`] tells an [`Observer`] what happens and asks
//! a [`Clock`] for the time. The same [`Recipe`] gives the same bits on any number of threads, and
//! however often the run was killed and resumed.

#![forbid(unsafe_code)]

mod accuracy;
mod atomic;
mod checkpoint;
mod clock;
mod config;
mod danger;
mod divergence;
mod error;
mod evaluation;
mod log_file;
mod metrics;
mod observer;
mod optimizer;
mod progress;
pub mod pytorch;
pub mod recipes;
mod run_folder;
mod schedule;
mod step;
pub mod tensorboard;
mod trainer;

pub use accuracy::{Hits, Meter};
pub use checkpoint::{Checkpoint, Moments};
pub use clock::{Clock, Timestamp};
pub use config::{Augment, Decayed, Loss, Optim, Recipe, RunOptions, TrainConfig};
pub use divergence::{DeadLayers, LayerCheck};
pub use error::{Error, ErrorKind};
pub use evaluation::{Evaluation, evaluate, evaluate_timed};
pub use log_file::{LogFile, TestLine, TrainLine};
pub use metrics::{EpochRecord, MetricsFile, read_metrics};
pub use observer::{DeadStep, EpochEnd, Observer, Silent, Start, TestBatch, TrainBatch};
pub use optimizer::{BadGradient, GradientCheck, Optimizer};
pub use progress::{BestEpoch, Progress, Running};
pub use run_folder::{FolderClaim, RunFolder};
pub use schedule::{Schedule, Scheduler};
pub use step::{Examples, StepError, StepResult, StepSettings, train_step};
pub use trainer::{Ended, Trainer};
