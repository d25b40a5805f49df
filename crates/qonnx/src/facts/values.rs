//! The narrowest format that holds given values.

use fewbit_formats::{FloatFormat, Format, IntegerFormat, ReservedCodes};

use super::format::{Scaling, TensorFormat};
use crate::tensor::Binary;

/// Fewer values than these are on some grid by chance.
const FEWEST: usize = 16;

/// The narrowest format of at most 16 bits whose codes, times a power of two, are these values.
pub(super) fn format(values: &[f32]) -> Option<TensorFormat> {
    if values.len() < FEWEST {
        return None;
    }
    let parts = Parts::of(values)?;
    let float = parts.float();
    let (integer, scale) = parts.integer()?;
    let narrow = match float {
        Some(float) if float.bit_width() < integer.bit_width() => {
            TensorFormat::codes(Format::Float(float))
        }
        _ => TensorFormat { scale: Scaling::of(&[scale]), ..TensorFormat::codes(integer) },
    };
    (narrow.bits() <= 16).then_some(narrow)
}

/// What all values have in common.
struct Parts {
    /// All values are odd or even multiples of two to this power.
    lowest: i32,
    /// The exponent of the largest magnitude.
    highest: i32,
    significant_bits: u32,
    smallest: f32,
    largest: f32,
    zero: bool,
}

impl Parts {
    /// Nothing if a value is not finite or is subnormal, or all are zero.
    fn of(values: &[f32]) -> Option<Self> {
        let mut parts = Self {
            lowest: i32::MAX,
            highest: i32::MIN,
            significant_bits: 1,
            smallest: f32::INFINITY,
            largest: f32::NEG_INFINITY,
            zero: false,
        };
        for &v in values {
            parts.smallest = parts.smallest.min(v);
            parts.largest = parts.largest.max(v);
            if v == 0.0 {
                parts.zero = true;
                continue;
            }
            let own = Binary::of(v)?;
            parts.significant_bits = parts.significant_bits.max(own.significant_bits);
            parts.lowest = parts.lowest.min(own.lowest);
            parts.highest = parts.highest.max(own.highest);
        }
        (parts.highest != i32::MIN).then_some(parts)
    }

    /// Integers and the power of two that they are multiplied by.
    fn integer(&self) -> Option<(Format, f32)> {
        let unit = f64::from(self.lowest).exp2();
        let (low, high) = (f64::from(self.smallest) / unit, f64::from(self.largest) / unit);
        if low.abs().max(high.abs()) > 32767.0 {
            // Wider than anything that is called few bits: a format that is never chosen.
            return IntegerFormat::new(32).ok().map(|format| (format.into(), unit as f32));
        }
        let format = match (low as i64, high as i64) {
            (-1, 1) if !self.zero => Format::Bipolar,
            (-1, 1) => Format::Ternary,
            (low, high) => {
                let wide = IntegerFormat::new(17).ok()?;
                super::sources::clipped(wide, low, high).into()
            }
        };
        Some((format, unit as f32))
    }

    /// A minifloat without a scale: its subnormal step is the unit, or less.
    fn float(&self) -> Option<FloatFormat> {
        let mantissa = self.significant_bits - 1;
        (2..=5).find_map(|exponent| {
            let usual = FloatFormat::new(exponent, mantissa)
                .ok()?
                .with_reserved(ReservedCodes::None)
                .ok()?;
            let step = 2 - (1 << (exponent - 1)) - mantissa as i32;
            let format = if step <= self.lowest
                && f64::from(self.highest) <= f64::from(usual.max_value()).log2().floor()
            {
                usual
            } else {
                // With another bias, the highest exponent is that of the largest value.
                let bias = (1 << exponent) - 1 - self.highest;
                let format = usual.with_exponent_bias(bias).ok()?;
                (1 - bias - mantissa as i32 <= self.lowest).then_some(format)?
            };
            Some(format)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repeated(values: &[f32]) -> Vec<f32> {
        values.iter().copied().cycle().take(FEWEST.max(values.len())).collect()
    }

    #[test]
    fn formats_of_values() {
        let e3m1: Vec<f32> = FloatFormat::new(3, 1).unwrap().values().collect();
        let cases: &[(&[f32], &str)] = &[
            (&[-1.0, 1.0], "BIPOLAR"),
            (&[-0.5, 0.0, 0.5], "SCALEDINT<2>"),
            (&[-1.0, 0.0, 1.0], "TERNARY"),
            (&[-7.0, 3.0, 2.0, 7.0], "INT4"),
            (&[0.25, 0.5, 0.75], "SCALEDINT<2>"),
            (&e3m1, "FLOAT<3,1,3>"),
        ];
        for (values, expected) in cases {
            let found = format(&repeated(values)).unwrap();
            assert_eq!(found.qonnx_name(), *expected, "{values:?}");
        }
        assert!(format(&repeated(&[0.1, 0.7, 0.3])).is_none());
        assert!(format(&repeated(&[0.0])).is_none());
        assert!(format(&[1.0, -1.0]).is_none());
        assert!(format(&repeated(&[1.0, f32::NAN])).is_none());
    }

    /// Whatever is found holds the values.
    #[test]
    fn formats_hold_their_values() {
        let mut found = 0;
        for (e, m) in [(2, 1), (3, 1), (3, 2), (4, 3), (5, 2), (2, 3)] {
            for scale in [1.0f32, 0.125, 16.0] {
                let all = FloatFormat::new(e, m).unwrap().values().map(|v| v * scale);
                let all = repeated(&all.filter(|v| v.is_finite()).collect::<Vec<f32>>());
                let Some(narrow) = format(&all) else { continue };
                let unit = match narrow.scale {
                    Scaling::One => 1.0,
                    Scaling::PerTensor(unit) => unit,
                    _ => panic!("one scale"),
                };
                let codes = narrow.format.unwrap();
                assert!(all.iter().all(|v| codes.contains(v / unit)), "e{e}m{m} {scale}: {codes}");
                assert!(narrow.bits() <= e + m + 1, "e{e}m{m} {scale}: {codes}");
                found += 1;
            }
        }
        assert_eq!(found, 18);
    }
}
