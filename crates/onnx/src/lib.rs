//! ONNX files: read, write, check.

#![forbid(unsafe_code)]
