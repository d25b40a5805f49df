//! Sums of products: convolutions, matrix products, and those of integers.

pub(super) mod conv;
mod conv_nd;
mod conv_transpose;
mod einsum;
mod gemm;
mod integer_product;
pub(super) mod matmul;
mod plain;
pub(super) mod product;
mod xnor_popcount;

use super::Table;

/// The operators by name.
pub(super) const OPERATORS: Table = &[
    ("Conv", conv::new),
    ("ConvInteger", integer_product::conv_integer),
    ("ConvTranspose", conv_transpose::new),
    ("Einsum", einsum::new),
    ("Gemm", gemm::new),
    ("MatMul", matmul::new),
    ("MatMulInteger", integer_product::matmul_integer),
    ("QLinearConv", integer_product::qlinear_conv),
    ("QLinearMatMul", integer_product::qlinear_matmul),
];

/// Those of QONNX.
pub(super) const QUANTIZED: Table = &[("XnorPopcountMatMul", xnor_popcount::new)];
