//! Datasets, generated and from files, and the loader that feeds them.

#![forbid(unsafe_code)]
