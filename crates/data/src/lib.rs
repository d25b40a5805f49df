//! Datasets, generated and from files, and the loader that feeds them.

#![forbid(unsafe_code)]

mod atomic;
pub mod cifar10;
mod dataset;
mod error;
#[cfg(feature = "fetch")]
pub mod fetch;
mod glyphs;
mod loader;
pub mod mnist;
pub mod npy;
pub mod npz;
mod published;
mod random;
mod shapes;
mod warning;

pub use dataset::{Dataset, DatasetName, Split};
pub use error::{Error, ErrorKind};
pub use loader::{Augmentation, Batch, Epoch, Loader, LoaderConfig};
pub use published::{FileCheck, FileState};
pub use warning::Warning;
