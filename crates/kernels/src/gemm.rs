//! General matrix product for gradients: `C = A B` with either operand transposed.

pub mod reference;

/// A matrix in a slice, rows and columns at any distance.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) row_stride: usize,
    pub(crate) col_stride: usize,
}

impl<'a> Matrix<'a> {
    /// A row-major matrix.
    ///
    /// # Panics
    /// If `data` has not `rows * cols` values.
    pub fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        assert_eq!(Some(data.len()), rows.checked_mul(cols), "matrix of {rows} x {cols}");
        Self { data, rows, cols, row_stride: cols, col_stride: 1 }
    }

    /// The same values, rows and columns exchanged; nothing is moved.
    pub fn transposed(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }
}

/// Multiplies two matrices: `c = a b`, `c` row-major.
///
/// Each output is one chain of fused multiply-adds over the inner dimension, ascending, from +0: the same bits on every
/// machine and for every number of threads.
///
/// # Shape
/// `a`: `[M, K]`, `b`: `[K, N]`, `c`: `[M, N]`.
/// # Panics
/// If the shapes do not fit.
/// # Examples
/// ```
/// use fewbit_kernels::gemm::{Matrix, gemm};
///
/// let a = Matrix::new(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2, 3);
/// let mut c = [0.0; 4];
/// gemm(a, a.transposed(), &mut c);
/// assert_eq!(c, [14.0, 32.0, 32.0, 77.0]);
/// ```
pub fn gemm(a: Matrix<'_>, b: Matrix<'_>, c: &mut [f32]) {
    assert_eq!(
        a.cols, b.rows,
        "inner dimensions of {}x{} and {}x{}",
        a.rows, a.cols, b.rows, b.cols
    );
    assert_eq!(Some(c.len()), a.rows.checked_mul(b.cols), "output of {} x {}", a.rows, b.cols);
    reference::gemm(a, b, c);
}

#[cfg(test)]
pub(crate) mod testing {
    /// Seeded values in (-1, 1).
    pub(crate) fn values(seed: u64, len: usize) -> Vec<f32> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678_9abc_def1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..len).map(|_| next()).collect()
    }
}
