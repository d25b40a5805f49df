//! Linear layers: `y = x wᵀ` under the arithmetic contract.

mod packed;
mod product;
pub(crate) use product::Conversions;
pub mod reference;

pub use packed::PackedWeights;

use crate::Accumulation;
use crate::isa::Level;

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

impl MatmulShape {
    fn check(&self, x: usize, w: usize, y: usize) {
        let MatmulShape { n, m, k } = *self;
        assert_eq!(Some(x), n.checked_mul(k), "x of {n} x {k}");
        assert_eq!(Some(w), m.checked_mul(k), "w of {m} x {k}");
        assert_eq!(Some(y), n.checked_mul(m), "y of {n} x {m}");
    }
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
    shape.check(x.len(), w.len(), y.len());
    product::multiply(Level::current(), x, w, y, shape, accumulation);
}

/// Multiplies by weights that were packed before: the bits of [`matmul_nt`], without its preparation.
///
/// # Shape
/// `x`: `[N, K]`, `y`: `[N, M]`.
/// # Panics
/// If a slice has another length.
/// # Examples
/// ```
/// use fewbit_kernels::{Accumulation, PackedWeights, matmul_packed};
///
/// let w = PackedWeights::new(&[1.0, 0.0, -1.0, 2.0, 2.0, 2.0], 2, 3, Accumulation::Paired);
/// let mut y = [0.0; 4];
/// matmul_packed(&[1.0, 2.0, 3.0, 0.0, 0.0, 1.0], &w, &mut y);
/// assert_eq!(y, [-2.0, 12.0, -1.0, 2.0]);
/// ```
pub fn matmul_packed(x: &[f32], w: &PackedWeights, y: &mut [f32]) {
    w.multiply(x, y);
}

#[cfg(test)]
mod tests;
