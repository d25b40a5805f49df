//! The definition of [`gemm`](super::gemm), one output after the other.

use super::Matrix;

/// `c = a b`, each output one chain of fused multiply-adds.
#[allow(clippy::disallowed_methods, reason = "the contract defines a fused multiply-add")]
pub fn gemm(a: Matrix<'_>, b: Matrix<'_>, c: &mut [f32]) {
    for i in 0..a.rows {
        for j in 0..b.cols {
            let mut acc = 0.0_f32;
            for k in 0..a.cols {
                acc = a.data[i * a.row_stride + k * a.col_stride]
                    .mul_add(b.data[k * b.row_stride + j * b.col_stride], acc);
            }
            c[i * b.cols + j] = acc;
        }
    }
}
