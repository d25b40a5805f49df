//! General matrix product for gradients: `C = A B` with either operand transposed.

pub mod reference;

use std::ops::Range;

use crate::blocked::{self, Left, Panels};
use crate::isa::Level;
use crate::tile::{COLUMNS, ROWS, Words};
use crate::{pack, scratch};

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
    gemm_at(Level::current(), a, b, c);
}

pub(crate) fn gemm_at(level: Level, a: Matrix<'_>, b: Matrix<'_>, c: &mut [f32]) {
    let left = Left {
        words: scratch::bits(a.data),
        rows: a.rows,
        row_step: a.row_stride,
        step: a.col_stride,
    };
    let right = Right {
        level,
        words: scratch::bits(b.data),
        rows: b.rows,
        columns: b.cols,
        row_step: b.row_stride,
        column_step: b.col_stride,
        often: a.rows > SELDOM * ROWS,
    };
    blocked::multiply(level, Words::F32, a.cols, left, &right, c);
}

/// Tiles that a panel is used for without being packed: beyond that, packing pays.
const SELDOM: usize = 3;

/// The right operand of a product of `f32`.
struct Right<'a> {
    level: Level,
    words: &'a [u32],
    rows: usize,
    columns: usize,
    row_step: usize,
    column_step: usize,
    /// Each panel is used by many tiles.
    often: bool,
}

impl Right<'_> {
    /// First column and number of columns.
    fn place(&self, panel: usize) -> (usize, usize) {
        (panel * COLUMNS, (self.columns - panel * COLUMNS).min(COLUMNS))
    }
}

impl Panels for Right<'_> {
    fn columns(&self) -> usize {
        self.columns
    }

    fn in_place(&self, panel: usize, depth: Range<usize>) -> Option<(&[u32], usize)> {
        let (first, count) = self.place(panel);
        let straight = self.column_step == 1 && count == COLUMNS && !self.often;
        straight.then(|| {
            let start = (depth.start * self.row_step + first).min(self.words.len());
            (&self.words[start..], self.row_step)
        })
    }

    fn pack(&self, panel: usize, depth: Range<usize>, packed: &mut [u32]) {
        debug_assert!(depth.end <= self.rows);
        let (first, count) = self.place(panel);
        let start = (depth.start * self.row_step + first * self.column_step).min(self.words.len());
        let words = &self.words[start..];
        if self.column_step == 1 {
            pack::rows(words, self.row_step, count, packed);
        } else if self.row_step == 1 {
            pack::transposed(self.level, words, self.column_step, count, packed);
        } else {
            pack::strided(words, self.column_step, self.row_step, count, packed);
        }
    }

    fn start(&self, _: usize) -> Option<[i32; COLUMNS]> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::testing::values;
    use super::*;

    /// Every way to lie in memory, on every level, with one thread and with two.
    #[test]
    fn bits_of_the_definition() {
        let sizes = [
            (0, 3, 5),
            (3, 0, 5),
            (3, 5, 0),
            (1, 1, 1),
            (11, 17, 31),
            (12, 16, 32),
            (13, 15, 33),
            (5, 2049, 40),
            (40, 64, 100),
            (150, 130, 70),
        ];
        let mut cases = 0;
        for (m, k, n) in sizes {
            let (a, b) = (values(m as u64, m * k), values(n as u64 + 99, k * n));
            for layout in 0..4 {
                let left = if layout % 2 == 0 {
                    Matrix::new(&a, m, k)
                } else {
                    Matrix::new(&a, k, m).transposed()
                };
                let right = if layout < 2 {
                    Matrix::new(&b, k, n)
                } else {
                    Matrix::new(&b, n, k).transposed()
                };
                let mut expected = vec![9.0; m * n];
                reference::gemm(left, right, &mut expected);
                for level in Level::all() {
                    for threads in [1, 2] {
                        let pool =
                            rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                        let mut c = vec![7.0; m * n];
                        pool.install(|| gemm_at(level, left, right, &mut c));
                        let same = c.iter().zip(&expected).all(|(c, e)| c.to_bits() == e.to_bits());
                        assert!(same, "{m} {k} {n}, layout {layout}, {level:?}, {threads} threads");
                        cases += 1;
                    }
                }
            }
        }
        assert!(cases >= sizes.len() * 4 * 2);
    }
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
