//! The crate from outside: trainings with real networks, and their files.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests, their helpers included")]

mod events;
mod graphs;
mod published_networks;
mod pytorch;
mod resuming;
mod threads;
mod tiny;
mod training;
mod trajectories;

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fewbit_data::{Dataset, DatasetName, Split};
use fewbit_nn::NetworkConfig;
use fewbit_train::{Clock, Timestamp, TrainConfig};

/// The folder of the shared test data, or nothing if this machine has none.
pub fn shared() -> Option<PathBuf> {
    let folder = std::env::var_os("FEWBIT_SHARED").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: FEWBIT_SHARED is not set");
    }
    folder
}

/// A clock that advances by a millisecond whenever it is looked at.
#[derive(Default)]
pub struct TestClock(Cell<u64>);

impl Clock for TestClock {
    fn elapsed(&self) -> Duration {
        self.0.set(self.0.get() + 1);
        Duration::from_millis(self.0.get())
    }

    fn now(&self) -> Timestamp {
        Timestamp { unix: Duration::from_secs(1_755_470_010), offset_seconds: 0 }
    }
}

/// A short training of a small network on glyphs.
pub fn plan(network: &str, experiments: &Path) -> TrainConfig {
    let mut config = TrainConfig::new(NetworkConfig::named(network).unwrap());
    config.recipe.dataset = DatasetName::Glyphs;
    (config.recipe.batch_size, config.recipe.epochs) = (50, 3);
    config.run.experiments = experiments.to_owned();
    config
}

/// The first glyphs for training, and for testing.
pub fn glyphs(train: usize, test: usize) -> [Dataset; 2] {
    let open = |split, limit| {
        Dataset::open(DatasetName::Glyphs, Path::new("."), split, Some(limit)).unwrap()
    };
    [open(Split::Train, train), open(Split::Test, test)]
}
