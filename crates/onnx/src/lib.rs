//! ONNX files: read, write, check, build.
//!
//! - [`read_model`] and [`write_model`]: a file is decoded without copying its weights, and appears
//!   whole or not at all. A file that is read and written again keeps every byte;
//!   [`Decoded::rewritable`] refuses where it would not.
//! - [`check::validate`]: is the graph one that can be run? In which order?
//! - [`tensor::TensorValue`]: a tensor whose element type, shape and data agree.
//! - [`graph::Graph`]: a graph to be changed, and a file again with nothing lost.
//! - [`builder::GraphBuilder`]: makes files that qonnx, FINN, hls4ml and onnxruntime accept.
//!
//! No file is trusted: whatever its bytes are, the result is a value or an [`Error`] that says
//! where and why, and memory stays within a small multiple of the file's size.

#![forbid(unsafe_code)]

pub mod proto;

mod file;
pub use file::{Decoded, decode, encode, read, read_model, read_tensor, write_model};
mod embed;
pub use embed::embed_external;
mod wire;
pub use wire::UnknownField;

pub mod attribute;
pub mod builder;
pub mod check;
pub mod functions;
pub mod graph;
pub mod tensor;

mod error;
pub use error::{Error, ErrorKind};
pub mod text;
