//! Datasets, generated and from files, and the loader that feeds them.

#![forbid(unsafe_code)]

mod atomic;
mod dataset;
mod error;
#[cfg(feature = "fetch")]
pub mod fetch;
mod glyphs;
mod loader;
pub mod mnist;
pub mod npy;
pub mod npz;
mod random;

pub use dataset::{Dataset, DatasetName, Split};
pub use error::{Error, ErrorKind};
pub use loader::{Batch, Epoch, Loader, LoaderConfig};
