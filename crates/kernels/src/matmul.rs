//! Linear layers: `y = x wᵀ` under the arithmetic contract.

pub mod reference;

use crate::Accumulation;

/// Sizes of [`matmul_nt`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatmulShape {
    /// Rows of `x`: the batch.
    pub n: usize,
    /// Rows of `w`: the output features.
    pub m: usize,
    /// Columns of both: the input features, over which is summed.
    pub k: usize,
}

/// Multiplies by a transposed matrix: `y = x wᵀ`, summed as `accumulation` says.
///
/// # Shape
/// `x`: `[N, K]`, `w`: `[M, K]`, `y`: `[N, M]`.
/// # Panics
/// If a slice has another length.
/// # Examples
/// ```
/// use fewbit_kernels::{Accumulation, MatmulShape, matmul_nt};
///
/// let (x, w) = ([1.0, 2.0, 3.0], [1.0, 0.0, -1.0, 2.0, 2.0, 2.0]);
/// let mut y = [0.0; 2];
/// matmul_nt(&x, &w, &mut y, MatmulShape { n: 1, m: 2, k: 3 }, Accumulation::Paired);
/// assert_eq!(y, [-2.0, 12.0]);
/// ```
pub fn matmul_nt(
    x: &[f32],
    w: &[f32],
    y: &mut [f32],
    shape: MatmulShape,
    accumulation: Accumulation,
) {
    let MatmulShape { n, m, k } = shape;
    assert_eq!(Some(x.len()), n.checked_mul(k), "x of {n} x {k}");
    assert_eq!(Some(w.len()), m.checked_mul(k), "w of {m} x {k}");
    assert_eq!(Some(y.len()), n.checked_mul(m), "y of {n} x {m}");
    reference::matmul_nt(x, w, y, shape, accumulation);
}
