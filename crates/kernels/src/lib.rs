//! CPU kernels: plain references and SIMD code chosen at run time. The only crate with unsafe code.
//!
//! Everything works on row-major `f32` slices. Shapes are checked once, at the safe door of each function; a shape
//! that does not fit is a bug of the caller and stops with the numbers.
//!
//! The bits of every result are the same on every [`Isa`], for every number of threads and every batch size
//! (ARCHITECTURE.md, "The arithmetic contract"). What a matrix product or a convolution adds up, and in which order,
//! is chosen by [`accumulation`] from what is known about the operands.

#![deny(unsafe_op_in_unsafe_fn)]

mod accumulation;
mod blocked;
mod convert;
mod isa;
mod pack;
mod parallel;
mod scratch;
mod tile;
mod wide;

pub mod activation;
pub mod batch_norm;
pub mod conv2d;
pub mod dropout;
pub mod elementwise;
pub mod epilogue;
pub mod gemm;
pub mod loss;
mod matmul;
pub mod optimizer;
pub mod pool;
pub mod program;
pub mod quantize;
pub mod statistics;
pub mod tensor_norm;

pub use accumulation::{Accumulation, Grid, accumulation};
pub use conv2d::{Conv2dShape, conv2d};
pub use gemm::gemm;
pub use isa::{Isa, limit_isa};
pub use matmul::{MatmulShape, PackedWeights, matmul_nt, matmul_packed};
pub use wide::WideWeights;
