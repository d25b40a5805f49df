//! What a format means for the operation that rounds.

use fewbit_formats::{Format, IntegerFormat};

use super::restriction::Restriction;
use crate::error::{Error, ErrorKind};
use crate::ops::{MinifloatGradient, Outside, Rule};

/// How tensors are rounded to a format.
pub(super) fn rule(
    quantizer: &'static str,
    format: Format,
    gradient: MinifloatGradient,
    outside: Outside,
) -> Result<Rule, Error> {
    match format {
        Format::Float(format) => Ok(Rule::Minifloat { format, gradient }),
        Format::Integer(format) => Ok(Rule::integer(format, outside)),
        Format::Bipolar => Ok(Rule::Bipolar { outside }),
        Format::Ternary => Ok(Rule::Ternary { threshold: fewbit_formats::TERNARY_THRESHOLD }),
        Format::FixedPoint(_) => Err(Error::new(ErrorKind::InvalidQuantizer {
            quantizer,
            field: "format",
            value: format.to_string(),
            expected: "an integer format with a scale that is a power of two",
        })),
    }
}

/// What the largest magnitude is divided by to give the scale.
///
/// # Source
/// formats.md 1.13, 1.14: the magnitude of the smallest integer if there is a sign, else the largest
/// integer; with a power-of-two restriction the power of two beyond it. Of minifloats 1.16: the nearest power
/// of two to the largest value, as of the threshold (Brevitas), which may clip almost half of the range; the one
/// below it if the threshold is moved up, which clips nothing, or down (MX).
pub(super) fn divisor(format: Format, restriction: Restriction) -> f32 {
    match (format, restriction) {
        (Format::Integer(integer), Restriction::None) if integer.signed() => -integer.min_value(),
        (Format::Integer(integer), Restriction::None) => integer.max_value(),
        (Format::Integer(integer), _) => {
            let bits = integer.bit_width() - u32::from(integer.signed());
            f64::from(bits).exp2() as f32
        }
        (_, Restriction::None) => format.max_value(),
        (_, Restriction::Round) => Restriction::Round.apply(format.max_value()),
        (_, Restriction::Ceil | Restriction::Floor) => Restriction::Floor.apply(format.max_value()),
    }
}

/// The format of the quantizers with a constant scale: bipolar for one bit, else integers that are
/// symmetric around zero.
pub(super) fn common_format(quantizer: &'static str, bit_width: u32) -> Result<Format, Error> {
    match bit_width {
        1 => Ok(Format::Bipolar),
        2..=32 => Ok(Format::Integer(IntegerFormat::new(bit_width)?.with_narrow_range()?)),
        _ => Err(Error::new(ErrorKind::InvalidQuantizer {
            quantizer,
            field: "bit_width",
            value: bit_width.to_string(),
            expected: "1 to 32",
        })),
    }
}
