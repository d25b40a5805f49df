//! The numbers that a tensor holds.

use fewbit_formats::{Format, IntegerFormat, ReservedCodes};

/// The numbers that a tensor holds: codes of a format times a scale, or whatever its element type can hold.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorFormat {
    /// The format of the codes; nothing for any number of the element type.
    pub format: Option<Format>,
    /// What the codes are multiplied by.
    pub scale: Scaling,
    /// What is subtracted from the codes before: 0 but for asymmetric quantizers.
    pub zero_point: f32,
    /// Bits of an element without a format.
    pub(crate) element_bits: u32,
    /// The node that made the codes.
    pub quantizer: Option<String>,
}

/// The scales of a tensor.
#[derive(Clone, Debug, PartialEq)]
pub enum Scaling {
    /// None, or one.
    One,
    /// The same for all elements.
    PerTensor(f32),
    /// One for each channel, or even more.
    PerChannel {
        /// How many scales there are.
        count: usize,
        /// The smallest.
        lowest: f32,
        /// The largest.
        highest: f32,
        /// True if all are powers of two.
        powers_of_two: bool,
    },
    /// It is computed from the input, or not known.
    Unknown,
}

impl TensorFormat {
    /// Any number of `f32`.
    pub(crate) const FLOAT32: Self = Self {
        format: None,
        scale: Scaling::One,
        zero_point: 0.0,
        element_bits: 32,
        quantizer: None,
    };

    pub(crate) fn codes(format: impl Into<Format>) -> Self {
        Self { format: Some(format.into()), ..Self::FLOAT32 }
    }

    /// The integers that sums of products are counted as.
    pub(crate) fn sums(signed: bool, scale: Scaling) -> Self {
        let format = IntegerFormat::new(32).expect("32 bits are allowed");
        let format = if signed { format } else { format.unsigned().expect("not narrow") };
        Self { scale, ..Self::codes(format) }
    }

    /// The number of bits that an element is stored in.
    pub fn bits(&self) -> u32 {
        self.format.map_or(self.element_bits, |format| format.bit_width())
    }

    /// True if the values are the codes themselves.
    pub fn is_unscaled(&self) -> bool {
        self.scale == Scaling::One && self.zero_point == 0.0
    }

    /// True for integers, as qonnx sees it: without a scale.
    pub(crate) fn is_integer(&self) -> bool {
        let integer =
            matches!(self.format, Some(Format::Integer(_) | Format::Bipolar | Format::Ternary));
        integer && self.is_unscaled()
    }

    /// True for integers with or without a scale.
    pub(crate) fn is_scaled_integer(&self) -> bool {
        matches!(
            self.format,
            Some(Format::Integer(_) | Format::Bipolar | Format::Ternary | Format::FixedPoint(_))
        )
    }

    pub(crate) fn signed(&self) -> bool {
        self.format.is_none_or(|format| format.signed())
    }

    /// The name of the data type in qonnx: `INT4`, `SCALEDINT<4>`, `FLOAT<3,1,3>`, `FLOAT32`.
    ///
    /// qonnx has no name for minifloats with a scale: they are `SCALEDFLOAT<3,1,3>` here.
    pub fn qonnx_name(&self) -> String {
        let unscaled = self.is_unscaled();
        match self.format {
            None if self.element_bits == 16 => "FLOAT16".to_owned(),
            None => "FLOAT32".to_owned(),
            Some(Format::Float(f)) => {
                let prefix = if unscaled { "" } else { "SCALED" };
                let (e, m, bias) =
                    (f.exponent_bit_width(), f.mantissa_bit_width(), f.exponent_bias());
                format!("{prefix}FLOAT<{e},{m},{bias}>")
            }
            Some(Format::FixedPoint(f)) if unscaled => {
                format!("FIXED<{},{}>", f.integer().bit_width(), f.integer_bit_width())
            }
            Some(format) if !unscaled => format!("SCALEDINT<{}>", format.bit_width()),
            Some(Format::Bipolar) => "BIPOLAR".to_owned(),
            Some(Format::Ternary) => "TERNARY".to_owned(),
            Some(Format::Integer(f)) if f.signed() => format!("INT{}", f.bit_width()),
            Some(Format::Integer(f)) if f.bit_width() == 1 => "BINARY".to_owned(),
            Some(format) => format!("UINT{}", format.bit_width()),
        }
    }

    /// The format by the name that `fewbit formats` knows: `int4`, `e3m1`, `float32`.
    pub fn name(&self) -> String {
        match self.format {
            None if self.element_bits == 32 => "float32".to_owned(),
            None if self.element_bits == 16 => "float16".to_owned(),
            None => format!("{} bits", self.element_bits),
            // Quantizers of QONNX have no reserved codes: e4m3 with a limit of 448 is that of OCP.
            Some(Format::Float(f)) => ocp(f).unwrap_or(Format::Float(f)).to_string(),
            Some(format) => format.to_string(),
        }
    }
}

/// The format of OCP with the same values, if there is one.
fn ocp(found: fewbit_formats::FloatFormat) -> Option<Format> {
    if found.reserved() != ReservedCodes::None {
        return None;
    }
    let named =
        fewbit_formats::FloatFormat::new(found.exponent_bit_width(), found.mantissa_bit_width())
            .ok()?;
    let same =
        named.exponent_bias() == found.exponent_bias() && named.max_value() == found.max_value();
    same.then_some(Format::Float(named))
}

impl Scaling {
    /// The scaling by these numbers.
    pub(crate) fn of(scales: &[f32]) -> Self {
        match scales {
            [] => Self::Unknown,
            [first, rest @ ..] if rest.iter().all(|scale| scale == first) => {
                if *first == 1.0 {
                    Self::One
                } else {
                    Self::PerTensor(*first)
                }
            }
            _ => Self::PerChannel {
                count: scales.len(),
                lowest: scales.iter().copied().fold(f32::INFINITY, f32::min),
                highest: scales.iter().copied().fold(f32::NEG_INFINITY, f32::max),
                powers_of_two: scales.iter().copied().all(is_power_of_two),
            },
        }
    }

    /// True if each scale is a power of two; nothing if the scales are not known.
    pub fn is_power_of_two(&self) -> Option<bool> {
        match self {
            Self::One => Some(true),
            Self::PerTensor(scale) => Some(is_power_of_two(*scale)),
            Self::PerChannel { powers_of_two, .. } => Some(*powers_of_two),
            Self::Unknown => None,
        }
    }
}

impl std::fmt::Display for Scaling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::One => f.write_str("1"),
            Self::PerTensor(scale) => write!(f, "{scale}"),
            Self::PerChannel { count, lowest, highest, .. } => {
                write!(f, "{count} from {lowest} to {highest}")
            }
            Self::Unknown => f.write_str("computed"),
        }
    }
}

/// True for 2, 1, 0.5 and so on.
pub(crate) fn is_power_of_two(scale: f32) -> bool {
    scale.is_normal() && scale > 0.0 && scale.to_bits() & 0x007f_ffff == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let cases = [
            ("INT4", "INT4", 4),
            ("UINT8", "UINT8", 8),
            ("BINARY", "BINARY", 1),
            ("BIPOLAR", "BIPOLAR", 1),
            ("TERNARY", "TERNARY", 2),
            ("FIXED<8,4>", "FIXED<8,4>", 8),
            ("e3m1", "FLOAT<3,1,3>", 5),
            ("FLOAT<4,3,7>", "FLOAT<4,3,7>", 8),
        ];
        for (read, written, bits) in cases {
            let format = TensorFormat::codes(read.parse::<Format>().unwrap());
            assert_eq!((format.qonnx_name().as_str(), format.bits()), (written, bits));
        }
        let scaled =
            TensorFormat { scale: Scaling::PerTensor(0.5), ..TensorFormat::codes(Format::Bipolar) };
        assert_eq!(scaled.qonnx_name(), "SCALEDINT<1>");
        let float: Format = "FLOAT<4,3,7>".parse().unwrap();
        let Format::Float(float) = float else { panic!("a minifloat") };
        let limited = TensorFormat::codes(Format::Float(float.with_max_value(448.0).unwrap()));
        assert_eq!(limited.name(), "e4m3");
        assert_eq!(TensorFormat::FLOAT32.name(), "float32");
    }

    #[test]
    fn scales() {
        assert_eq!(Scaling::of(&[1.0, 1.0]), Scaling::One);
        assert_eq!(Scaling::of(&[0.25]).is_power_of_two(), Some(true));
        let many = Scaling::of(&[0.25, 3.0]);
        assert_eq!(
            (many.is_power_of_two(), many.to_string().as_str()),
            (Some(false), "2 from 0.25 to 3")
        );
    }
}
