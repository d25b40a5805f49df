//! The loader: brings the images of a dataset in order, or shuffled, as batches of numbers.

mod epoch;
mod permutation;

use crate::{Dataset, Error};

pub use epoch::{Batch, Epoch};

/// How a loader goes through a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoaderConfig {
    /// Images in a batch; the last one of an epoch holds what is left.
    pub batch_size: usize,
    /// Chooses the order of a shuffled epoch, together with the epoch's number.
    pub seed: u64,
    /// Whether each epoch has an order of its own; otherwise it is the dataset's.
    pub shuffle: bool,
    /// Threads that prepare batches ahead of use; with 0, each is prepared when it is asked for.
    /// The batches are the same.
    pub workers: usize,
}

impl LoaderConfig {
    /// Makes batches in the dataset's order.
    pub fn in_order(batch_size: usize) -> Self {
        Self { batch_size, seed: 0, shuffle: false, workers: 1 }
    }

    /// Makes batches in an order that the seed and the epoch decide.
    pub fn shuffled(batch_size: usize, seed: u64) -> Self {
        Self { batch_size, seed, shuffle: true, workers: 1 }
    }
}

/// A dataset and the way through it.
#[derive(Clone, Debug)]
pub struct Loader {
    dataset: Dataset,
    config: LoaderConfig,
}

impl Loader {
    /// Makes a loader.
    ///
    /// # Errors
    /// [`ErrorKind::BadValue`](crate::ErrorKind::BadValue) if the batch size is 0, or there are more than 1024 workers.
    ///
    /// # Examples
    /// ```
    /// use fewbit_data::{Dataset, DatasetName, Loader, LoaderConfig};
    /// let (images, labels) = ([[0u8; 784], [255; 784], [51; 784]].concat(), vec![7u8, 1, 5]);
    /// let dataset = Dataset::new(DatasetName::Mnist, [1, 28, 28], 10, images, labels)?;
    /// let loader = Loader::new(&dataset, LoaderConfig::in_order(2))?;
    /// let batches: Vec<_> = loader.epoch(1).collect();
    /// assert_eq!((batches.len(), batches[0].count, batches[1].count), (2, 2, 1));
    /// assert_eq!((batches[1].images[0], batches[1].labels[0]), (0.2, 5));
    /// # Ok::<(), fewbit_data::Error>(())
    /// ```
    pub fn new(dataset: &Dataset, config: LoaderConfig) -> Result<Self, Error> {
        if config.batch_size == 0 {
            return Err(Error::bad_value("batch size", "0 images", "1 or more"));
        }
        if config.workers > 1024 {
            let found = format!("{} workers", config.workers);
            return Err(Error::bad_value("loader", found, "at most 1024"));
        }
        Ok(Self { dataset: dataset.clone(), config })
    }

    /// Starts an epoch. Its order depends on the seed and on `epoch`, on nothing else.
    pub fn epoch(&self, epoch: u64) -> Epoch {
        Epoch::new(&self.dataset, self.config, epoch)
    }

    /// Returns the number of batches of an epoch.
    pub fn batches(&self) -> usize {
        self.dataset.len().div_ceil(self.config.batch_size)
    }

    /// Returns the dataset.
    pub fn dataset(&self) -> &Dataset {
        &self.dataset
    }
}
