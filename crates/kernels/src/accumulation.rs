//! Which sum a product of two operands is: the arithmetic contract.

/// What is known about the values of an operand after its scale has been taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Grid {
    /// Every value is an integer of at most `max_abs` in magnitude.
    Integer {
        /// The largest magnitude.
        max_abs: u32,
    },
    /// Every value has at most `bits` significant bits.
    Significant {
        /// Number of significant bits, the leading one included.
        bits: u32,
    },
    /// Any `f32`.
    Any,
}

/// How the products of a matrix product or a convolution are added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Accumulation {
    /// The exact sum of integers, converted to `f32` once (to nearest, ties to even).
    ///
    /// Operands that break their promise (a NaN, a value beyond `max_abs`) give the `f64` sum in order of `k`, rounded once.
    Integer {
        /// Bound of the magnitudes of the left operand, at most 32767.
        x_max_abs: u32,
        /// Bound of the magnitudes of the right operand, at most 32767.
        w_max_abs: u32,
    },
    /// In `f32`, over `k` in pairs, the odd one first: `acc = fma(x[2j], w[2j], fma(x[2j+1], w[2j+1], acc))`, from +0.
    ///
    /// The products are exact when both operands have at most 12 significant bits, so fusing rounds nothing away:
    /// it is `acc = (acc + odd) + even`.
    Paired,
    /// In `f32`, `acc = fma(x[k], w[k], acc)` with `k` ascending, from +0.
    Sequential,
}

/// Returns the accumulation that the contract lays down for these operands.
///
/// # Examples
/// ```
/// use fewbit_kernels::{Accumulation, Grid, accumulation};
///
/// let e3m1 = Grid::Integer { max_abs: 192 };
/// let e4m3 = Grid::Significant { bits: 4 };
/// assert_eq!(accumulation(e3m1, e3m1), Accumulation::Integer { x_max_abs: 192, w_max_abs: 192 });
/// assert_eq!(accumulation(e3m1, e4m3), Accumulation::Paired);
/// assert_eq!(accumulation(Grid::Any, e4m3), Accumulation::Sequential);
/// ```
pub fn accumulation(x: Grid, w: Grid) -> Accumulation {
    match (x, w) {
        (Grid::Integer { max_abs: x_max_abs }, Grid::Integer { max_abs: w_max_abs })
            if x_max_abs <= MAX_INTEGER && w_max_abs <= MAX_INTEGER =>
        {
            Accumulation::Integer { x_max_abs, w_max_abs }
        }
        _ if has_eight_bits(x) && has_eight_bits(w) => Accumulation::Paired,
        _ => Accumulation::Sequential,
    }
}

/// The largest magnitude whose products are summed as integers.
const MAX_INTEGER: u32 = 32767;

fn has_eight_bits(grid: Grid) -> bool {
    match grid {
        Grid::Integer { max_abs } => max_abs <= 256,
        Grid::Significant { bits } => bits <= 8,
        Grid::Any => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borders() {
        let integer = |max_abs| Grid::Integer { max_abs };
        let bits = |bits| Grid::Significant { bits };
        let cases = [
            (integer(32767), integer(1), Accumulation::Integer { x_max_abs: 32767, w_max_abs: 1 }),
            (integer(32768), integer(1), Accumulation::Sequential),
            (integer(256), bits(8), Accumulation::Paired),
            (integer(257), bits(8), Accumulation::Sequential),
            (bits(8), bits(8), Accumulation::Paired),
            (bits(9), bits(8), Accumulation::Sequential),
            (bits(8), Grid::Any, Accumulation::Sequential),
        ];
        for (x, w, expected) in cases {
            assert_eq!(accumulation(x, w), expected, "{x:?} {w:?}");
        }
    }
}
