//! The training loop: optimizers, schedules, checkpoints, run folders.

#![forbid(unsafe_code)]

mod accuracy;
mod atomic;
mod checkpoint;
mod clock;
mod config;
mod danger;
mod error;
mod log_file;
mod metrics;
mod progress;
mod schedule;
pub mod tensorboard;

pub use accuracy::{Hits, Meter};
pub use checkpoint::{Checkpoint, Moments};
pub use clock::{Clock, Timestamp};
pub use config::{Loss, Optim, Recipe, RunOptions, TrainConfig};
pub use error::{Error, ErrorKind};
pub use log_file::{LogFile, TestLine, TrainLine};
pub use metrics::{EpochRecord, MetricsFile, read_metrics};
pub use progress::{BestEpoch, Progress, Running};
pub use schedule::{Schedule, Scheduler};
