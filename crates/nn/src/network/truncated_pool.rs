//! The numbers of an average pooling whose lowest bits are left out.

use fewbit_formats::{Format, IntegerFormat, RoundingMode};

use crate::error::Error;
use crate::ops::{Grid, Scale, Truncation};

/// What follows the mean, and what is known about the result.
///
/// # Source
/// quantizers.md 2.7. Where fewer bits come together than are to be left, all of them are left
/// (discrepancies.md D-16).
#[derive(Debug)]
pub struct TruncatedPool {
    pub truncation: Truncation,
    /// What is known about the result.
    pub grid: Grid,
    /// Bits of the sums of the windows.
    pub sum_bits: u32,
    /// The scale of the result in units of that of the input.
    pub factor: f32,
}

impl TruncatedPool {
    /// For windows of `size` rows and columns of what lies on `grid`; nothing if that is not made of
    /// integers.
    pub fn of(grid: &Grid, size: usize, bit_width: u32) -> Result<Option<Self>, Error> {
        let Grid::Scaled { format: Format::Integer(format), scale: Scale::PerTensor(scale) } = grid
        else {
            return Ok(None);
        };
        let area = (size * size) as f32;
        let divisor = (left_out(format.bit_width(), size, bit_width) as f32).exp2();
        let mut out = IntegerFormat::new(bit_width)?;
        if !format.signed() {
            out = out.unsigned()?;
        }
        let truncation = Truncation {
            scale: scale / area,
            divisor,
            rounding_mode: RoundingMode::Floor,
            min: out.min_value(),
            max: out.max_value(),
        };
        let scale = Scale::PerTensor(truncation.out_scale());
        Ok(Some(Self {
            truncation,
            grid: Grid::Scaled { format: Format::Integer(out), scale },
            sum_bits: sum_bits(format.bit_width(), size),
            factor: divisor / area,
        }))
    }
}

/// Bits of the sum of a window of integers of so many bits.
fn sum_bits(bit_width: u32, size: usize) -> u32 {
    let largest = ((1_u64 << bit_width) - 1) * (size * size) as u64;
    // The logarithm, rounded up.
    u64::BITS - (largest - 1).leading_zeros()
}

/// How many of the lowest bits are left out.
fn left_out(bit_width: u32, size: usize, left: u32) -> u32 {
    sum_bits(bit_width, size).saturating_sub(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_of_the_specification() {
        assert_eq!((sum_bits(4, 4), left_out(4, 4, 8)), (8, 0));
        assert_eq!((sum_bits(8, 4), left_out(8, 4, 8)), (12, 4));
        assert_eq!((sum_bits(2, 2), left_out(2, 2, 8)), (4, 0));
    }
}
