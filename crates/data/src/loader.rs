//! The loader: brings the images of a dataset in order, or shuffled, as batches of numbers.

mod augmentation;
mod epoch;
mod permutation;

use crate::{Dataset, Error};

pub use augmentation::Augmentation;
pub use epoch::{Batch, Epoch};

/// How a loader goes through a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoaderConfig {
    /// Images in a batch; the last one of an epoch holds what is left.
    pub batch_size: usize,
    /// Chooses the order of a shuffled epoch and how images are altered, together with the epoch's number.
    pub seed: u64,
    /// Whether each epoch has an order of its own; otherwise it is the dataset's.
    pub shuffle: bool,
    /// Threads that prepare batches ahead of use; with 0, each is prepared when it is asked for.
    /// The batches are the same.
    pub workers: usize,
    /// How images are altered on their way.
    pub augmentation: Augmentation,
}

impl LoaderConfig {
    /// Makes batches in the dataset's order, of the images as they are.
    pub fn in_order(batch_size: usize) -> Self {
        let augmentation = Augmentation::NONE;
        Self { batch_size, seed: 0, shuffle: false, workers: 1, augmentation }
    }

    /// Makes batches in an order that the seed and the epoch decide, of the images as they are.
    ///
    /// How the images of a dataset are customarily altered for training, [`DatasetName::augmentation`](crate::DatasetName::augmentation) says.
    pub fn shuffled(batch_size: usize, seed: u64) -> Self {
        Self { shuffle: true, seed, ..Self::in_order(batch_size) }
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
    /// [`ErrorKind::BadValue`](crate::ErrorKind::BadValue) if the batch size is 0, there are more than 1024 workers,
    /// or an augmentation is larger than the images.
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
        config.augmentation.check(dataset.image_shape())?;
        Ok(Self { dataset: dataset.clone(), config })
    }

    /// Starts an epoch. Its order and its alterations depend on the seed and on `epoch`, on nothing else.
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
