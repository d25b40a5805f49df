//! Networks, fake quantizers and their gradients, export to QONNX.

#![forbid(unsafe_code)]
