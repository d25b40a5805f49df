//! Datasets, generated and from files, and the loader that feeds them.

#![forbid(unsafe_code)]

mod atomic;
mod error;
pub mod npy;
pub mod npz;

pub use error::{Error, ErrorKind};
