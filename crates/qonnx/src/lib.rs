//! The executor of QONNX files.

#![forbid(unsafe_code)]
