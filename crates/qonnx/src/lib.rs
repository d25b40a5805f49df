//! The executor of QONNX files.
//!
//! [`Model::load`] reads a file, checks it, and works out once whatever does not depend on the inputs: quantized
//! weights, transposes, the form in which the kernels want them. [`Model::run`] then computes batches of any size,
//! also where the file fixes its batch, and gives back the outputs and any inner tensor that is asked for:
//!
//! ```no_run
//! use fewbit_qonnx::{Model, Options, Value};
//!
//! let model = Model::load("network.onnx".as_ref(), Options::default())?;
//! let images = Value::new(vec![100, 1, 28, 28], vec![0.5f32; 78_400])?;
//! let outputs = model.run(&[(model.inputs()[0].name(), images)], &[])?;
//! println!("{:?}", outputs.first().shape());
//! # Ok::<(), fewbit_qonnx::Error>(())
//! ```
//!
//! What is computed is laid down in `ARCHITECTURE.md` (the arithmetic contract): an item's result depends neither
//! on the batch it is in, nor on the number of threads, nor on the machine. [`Mode::Reference`] computes as the
//! `qonnx` package does instead, node by node.
//!
//! No file is trusted: what is wrong with one ends in an [`Error`] that names the node, what was found, and what
//! would be right. Results that are out of proportion to what went in are refused before memory is asked for.

#![forbid(unsafe_code)]

mod model;
pub use model::{Model, TensorInfo};
mod options;
pub use options::{BatchNorm, Mode, Options};
mod outputs;
pub use outputs::Outputs;
mod value;
pub use value::{DType, Data, Element, Value};

/// Elements of 16 and fewer bits.
pub mod small {
    pub use half::{bf16, f16};

    pub use crate::value::{
        F4E2M1, F6E2M3, F6E3M2, F8E4M3, F8E4M3Fnuz, F8E5M2, F8E5M2Fnuz, F8E8M0, I2, I4, U2, U4,
    };
}
mod error;
pub use error::{Error, ErrorKind};

pub mod clean;
pub mod codes;
pub mod convert;
pub mod cost;
pub mod equivalence;
pub mod facts;
pub mod inspect;
pub mod lints;
pub mod prove;
pub mod ranges;

mod attributes;
mod broadcast;
mod ops;
mod tensor;
