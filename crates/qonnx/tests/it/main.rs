//! The crate from outside: real files, stored outputs of the originals, and files that are wrong.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests, their helpers included")]

mod batches;
mod clean;
mod codes;
mod convert;
mod cost;
mod golden_operators;
mod graphs;
mod hostile;
mod lints;
mod networks;
mod onnx_backend;
mod plans;
mod prove;
mod qonnx_operators;
mod ranges;
mod zoo;

use std::path::{Path, PathBuf};

use fewbit_data::npy::{NpyArray, NpyData};
use fewbit_data::npz::NpzArchive;
use fewbit_qonnx::Value;

/// The folder of the shared test data, or nothing if this machine has none.
pub fn shared() -> Option<PathBuf> {
    let folder = std::env::var_os("FEWBIT_SHARED").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: FEWBIT_SHARED is not set");
    }
    folder
}

/// An array of numpy as a tensor.
pub fn value(array: NpyArray) -> Value {
    let (shape, data) = array.into_parts();
    match data {
        NpyData::F32(data) => Value::new(shape, data),
        NpyData::F64(data) => Value::new(shape, data),
        NpyData::I64(data) => Value::new(shape, data),
        NpyData::U8(data) => Value::new(shape, data),
        other => panic!("arrays of {:?} are not expected here", other.dtype()),
    }
    .unwrap()
}

/// A file with one array.
pub fn npy(path: &Path) -> Value {
    value(fewbit_data::npy::read(path).unwrap())
}

/// An array of an archive.
pub fn array(archive: &NpzArchive, name: &str) -> Value {
    value(archive.read(name).unwrap())
}

/// The elements of a tensor of `f32`.
pub fn floats(value: &Value) -> &[f32] {
    value.as_slice().unwrap()
}

/// How two tensors differ.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Difference {
    /// Values that are not equal; both zeros are, and two NaN.
    pub differ: usize,
    /// The largest difference.
    pub largest: f32,
}

/// Compares two tensors of the same number of elements.
pub fn difference(found: &[f32], expected: &[f32]) -> Difference {
    assert_eq!(found.len(), expected.len());
    let mut all = Difference::default();
    for (&a, &b) in found.iter().zip(expected) {
        if a != b && !(a.is_nan() && b.is_nan()) {
            all.differ += 1;
            all.largest = all.largest.max((a - b).abs());
        }
    }
    all
}

/// The place of the largest of each `classes` values.
pub fn predictions(logits: &[f32], classes: usize) -> Vec<usize> {
    let best =
        |row: &[f32]| (0..row.len()).reduce(|best, i| if row[i] > row[best] { i } else { best });
    logits.chunks(classes).map(|row| best(row).unwrap()).collect()
}
