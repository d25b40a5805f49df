//! Codes of values that were quantized: the scale is taken out again.

use super::runs::{self, Scale};
use crate::Grid;
use crate::convert::ROUND;
use crate::isa::{Level, multiversion};

/// Finds the codes `c` of values `c * scale`, each rounded once.
///
/// The quotient is off by an ulp or two; rounding it to what is known about the codes finds them again. Of [`Grid::Any`] nothing is
/// known, and the quotient is left as it is. Numbers of a grid have at most 22 bits.
///
/// # Panics
/// If the lengths do not fit.
pub fn codes(values: &[f32], codes: &mut [f32], grid: Grid, scale: Scale<'_>) {
    codes_at(Level::current(), values, codes, grid, scale);
}

fn codes_at(level: Level, values: &[f32], codes: &mut [f32], grid: Grid, scale: Scale<'_>) {
    assert_eq!(values.len(), codes.len(), "values and codes");
    runs::for_each(codes, scale, |start, scale, codes| {
        let values = &values[start..];
        match grid {
            Grid::Integer { .. } => integers(level, values, codes, scale),
            Grid::Significant { bits } if bits < 24 => {
                significant(level, values, codes, scale, 24 - bits);
            }
            Grid::Significant { .. } | Grid::Any => quotients(level, values, codes, scale),
        }
    });
}

multiversion! {
    fn integers(level, values: &[f32], codes: &mut [f32], scale: f32) {
        let values = &values[..codes.len()];
        for i in 0..codes.len() {
            codes[i] = (values[i] / scale + ROUND) - ROUND;
        }
    }
}

multiversion! {
    /// Rounds off the last `dropped` bits; a tie, which is no code, goes away from zero.
    fn significant(level, values: &[f32], codes: &mut [f32], scale: f32, dropped: u32) {
        let values = &values[..codes.len()];
        let (half, mask) = (1_u32 << (dropped - 1), !0_u32 << dropped);
        for i in 0..codes.len() {
            let quotient = (values[i] / scale).to_bits();
            codes[i] = f32::from_bits((quotient + half) & mask);
        }
    }
}

multiversion! {
    fn quotients(level, values: &[f32], codes: &mut [f32], scale: f32) {
        let values = &values[..codes.len()];
        for i in 0..codes.len() {
            codes[i] = values[i] / scale;
        }
    }
}

#[cfg(test)]
mod tests {
    use fewbit_formats::FloatFormat;

    use super::*;

    #[test]
    fn codes_are_found_again() {
        let scales: Vec<f32> = (0..40).map(|i| 0.011 * 1.37_f32.powi(i - 20)).collect();
        let e4m3: Vec<f32> = FloatFormat::new(4, 3).unwrap().values().collect();
        let integers: Vec<f32> = (-192..=192).map(|i| i as f32).collect();
        for (grid, expected) in [
            (Grid::Significant { bits: 4 }, &e4m3),
            (Grid::Significant { bits: 8 }, &integers),
            (Grid::Integer { max_abs: 192 }, &integers),
        ] {
            let inner = expected.len();
            let values: Vec<f32> =
                scales.iter().flat_map(|s| expected.iter().map(move |code| code * s)).collect();
            for level in Level::all() {
                let mut found = vec![9.0; values.len()];
                let scale = Scale::PerChannel { scales: &scales, inner };
                codes_at(level, &values, &mut found, grid, scale);
                for (found, s) in found.chunks(inner).zip(&scales) {
                    assert_eq!(found, expected, "{grid:?} {s} {level:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_number_stays_none() {
        for grid in [Grid::Significant { bits: 4 }, Grid::Integer { max_abs: 3 }, Grid::Any] {
            let mut found = [0.0; 2];
            codes(&[f32::NAN, f32::INFINITY], &mut found, grid, Scale::PerTensor(0.7));
            assert!(found[0].is_nan() && found[1] == f32::INFINITY, "{grid:?} {found:?}");
        }
    }
}
