//! Names of formats.

use std::fmt;
use std::str::FromStr;

use super::{Format, suggestion};
use crate::{Error, FixedPointFormat, FloatFormat, IntegerFormat, ReservedCodes};

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Float(format) => fmt::Display::fmt(format, f),
            Self::Integer(format) => fmt::Display::fmt(format, f),
            Self::Bipolar => f.pad("bipolar"),
            Self::Ternary => f.pad("ternary"),
            Self::FixedPoint(format) => fmt::Display::fmt(format, f),
        }
    }
}

impl fmt::Display for FloatFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.signed() { "" } else { "u" };
        let mut name =
            format!("{sign}e{}m{}", self.exponent_bit_width(), self.mantissa_bit_width());
        if self.exponent_bias() != self.usual_bias() {
            name += &format!("b{}", self.exponent_bias());
        }
        if self.reserved() != self.usual_codes() {
            name += "-";
            name += suffix(self.reserved());
        }
        if self.is_clipped() {
            name += &format!("-max{}", self.max_value());
        }
        f.pad(&name)
    }
}

impl fmt::Display for IntegerFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, narrow) = affixes(self);
        f.pad(&format!("{sign}int{}{narrow}", self.bit_width()))
    }
}

impl fmt::Display for FixedPointFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, narrow) = affixes(&self.integer());
        let width = self.integer().bit_width();
        f.pad(&format!("{sign}fixed{width}.{}{narrow}", self.integer_bit_width()))
    }
}

fn suffix(reserved: ReservedCodes) -> &'static str {
    match reserved {
        ReservedCodes::None => "finite",
        ReservedCodes::Nan => "nan",
        ReservedCodes::Ieee => "ieee",
        ReservedCodes::Fnuz => "fnuz",
    }
}

fn affixes(format: &IntegerFormat) -> (&'static str, &'static str) {
    let sign = if format.signed() { "" } else { "u" };
    (sign, if format.narrow_range() { "-narrow" } else { "" })
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let lower = name.trim().to_ascii_lowercase();
        let read = match lower.as_str() {
            "bipolar" => Some(Ok(Self::Bipolar)),
            "ternary" => Some(Ok(Self::Ternary)),
            "binary" => {
                Some(IntegerFormat::new(1).and_then(IntegerFormat::unsigned).map(Self::from))
            }
            "float32" => Some(FloatFormat::new(8, 23).map(Self::from)),
            "float16" => Some(ieee(5, 10)),
            "bfloat16" => Some(ieee(8, 7)),
            _ => float(&lower)
                .or_else(|| integer(&lower))
                .or_else(|| fixed_point(&lower))
                .or_else(|| qonnx_float(&lower)),
        };
        match read {
            Some(Ok(format)) => Ok(format),
            Some(Err(error)) => Err(error.about(name)),
            None => Err(Error::unknown_format(name, EXPECTED, suggestion::of(&lower))),
        }
    }
}

const EXPECTED: &str = "a name like e4m3, int8, uint4, bipolar, binary, ternary or fixed8.4";

macro_rules! from_str_of_one_kind {
    ($type:ident, $variant:ident, $expected:literal) => {
        impl FromStr for $type {
            type Err = Error;

            fn from_str(name: &str) -> Result<Self, Error> {
                match name.parse()? {
                    Format::$variant(format) => Ok(format),
                    _ => Err(Error::unknown_format(name, $expected, None)),
                }
            }
        }
    };
}

from_str_of_one_kind!(FloatFormat, Float, "a minifloat like e4m3");
from_str_of_one_kind!(IntegerFormat, Integer, "an integer like int8 or uint4");
from_str_of_one_kind!(FixedPointFormat, FixedPoint, "a fixed-point format like fixed8.4");

type Read = Option<Result<Format, Error>>;

fn ieee(exponent_bit_width: u32, mantissa_bit_width: u32) -> Result<Format, Error> {
    let format = FloatFormat::new(exponent_bit_width, mantissa_bit_width)?;
    Ok(format.with_reserved(ReservedCodes::Ieee)?.into())
}

/// `[u]eXmY[bB][fn|fnuz][-codes][-maxV]`
fn float(name: &str) -> Read {
    let (unsigned, rest) = prefix(name, "u");
    let (exponent, rest) = number(rest.strip_prefix('e')?)?;
    let (mantissa, mut rest) = number(rest.strip_prefix('m')?)?;
    let mut bias = None;
    if let Some(after) = rest.strip_prefix('b') {
        let (value, after) = signed_number(after)?;
        (bias, rest) = (Some(value), after);
    }
    let mut reserved = None;
    let fnuz = prefix(rest, "fnuz");
    let ocp = prefix(rest, "fn");
    if fnuz.0 {
        (reserved, rest) = (Some(ReservedCodes::Fnuz), fnuz.1);
    } else if ocp.0 {
        (reserved, rest) = (Some(ReservedCodes::Nan), ocp.1);
    }
    let codes = [ReservedCodes::None, ReservedCodes::Nan, ReservedCodes::Ieee, ReservedCodes::Fnuz];
    let mut max = None;
    if let Some(all) = rest.strip_prefix('-') {
        for part in all.split('-') {
            if let Some(codes) = codes.into_iter().find(|&codes| suffix(codes) == part) {
                if reserved.replace(codes).is_some_and(|before| before != codes) || max.is_some() {
                    return None;
                }
            } else {
                let value = part.strip_prefix("max")?;
                let plain = value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
                if !plain || max.replace(value.parse::<f32>().ok()?).is_some() {
                    return None;
                }
            }
        }
    } else if !rest.is_empty() {
        return None;
    }
    Some(make_float(exponent, mantissa, unsigned, reserved, bias, max))
}

fn make_float(
    exponent_bit_width: u32,
    mantissa_bit_width: u32,
    unsigned: bool,
    reserved: Option<ReservedCodes>,
    bias: Option<i32>,
    max: Option<f32>,
) -> Result<Format, Error> {
    let mut format = FloatFormat::new(exponent_bit_width, mantissa_bit_width)?;
    if unsigned {
        format = format.unsigned()?;
    }
    if let Some(reserved) = reserved {
        format = format.with_reserved(reserved)?;
    }
    if let Some(bias) = bias {
        format = format.with_exponent_bias(bias)?;
    }
    if let Some(max) = max {
        format = format.with_max_value(max)?;
    }
    Ok(format.into())
}

/// `[u]intN[n|-narrow]`
fn integer(name: &str) -> Read {
    let (unsigned, rest) = prefix(name, "u");
    let (width, rest) = number(rest.strip_prefix("int")?)?;
    let narrow = narrow(rest)?;
    Some(make_integer(width, unsigned, narrow).map(Format::from))
}

/// `[u]fixedW.I[n|-narrow]` or `fixed<W,I>`
fn fixed_point(name: &str) -> Read {
    let (unsigned, rest) = prefix(name, "u");
    let rest = rest.strip_prefix("fixed")?;
    let (width, before, narrow) = if let Some(inside) = angle_brackets(rest) {
        let [width, before] = inside.split(',').collect::<Vec<_>>().try_into().ok()?;
        (whole_number(width)?, whole_signed_number(before)?, false)
    } else {
        let (width, rest) = number(rest)?;
        let (before, rest) = signed_number(rest.strip_prefix('.')?)?;
        (width, before, narrow(rest)?)
    };
    let fixed = |integer| FixedPointFormat::new(integer, before).map(Format::from);
    Some(make_integer(width, unsigned, narrow).and_then(fixed))
}

fn make_integer(bit_width: u32, unsigned: bool, narrow: bool) -> Result<IntegerFormat, Error> {
    let mut format = IntegerFormat::new(bit_width)?;
    if unsigned {
        format = format.unsigned()?;
    }
    if narrow { format.with_narrow_range() } else { Ok(format) }
}

/// `float<e,m>` or `float<e,m,bias>`
fn qonnx_float(name: &str) -> Read {
    let inside: Vec<&str> = angle_brackets(name.strip_prefix("float")?)?.split(',').collect();
    let (exponent, mantissa, bias) = match inside[..] {
        [exponent, mantissa] => (exponent, mantissa, None),
        [exponent, mantissa, bias] => (exponent, mantissa, Some(whole_signed_number(bias)?)),
        _ => return None,
    };
    let (exponent, mantissa) = (whole_number(exponent)?, whole_number(mantissa)?);
    Some(make_float(exponent, mantissa, false, Some(ReservedCodes::None), bias, None))
}

fn prefix<'a>(text: &'a str, prefix: &str) -> (bool, &'a str) {
    match text.strip_prefix(prefix) {
        Some(rest) => (true, rest),
        None => (false, text),
    }
}

/// Whether the end of a name says that the range is narrow.
fn narrow(rest: &str) -> Option<bool> {
    match rest {
        "" => Some(false),
        "n" | "-narrow" => Some(true),
        _ => None,
    }
}

fn angle_brackets(text: &str) -> Option<&str> {
    text.strip_prefix('<')?.strip_suffix('>')
}

/// The decimal number at the start, and what follows.
fn number(text: &str) -> Option<(u32, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

fn signed_number(text: &str) -> Option<(i32, &str)> {
    let (negative, digits) = prefix(text, "-");
    let (magnitude, rest) = number(digits)?;
    let magnitude = i32::try_from(magnitude).ok()?;
    Some((if negative { -magnitude } else { magnitude }, rest))
}

fn whole_number(text: &str) -> Option<u32> {
    number(text.trim()).filter(|(_, rest)| rest.is_empty()).map(|(number, _)| number)
}

fn whole_signed_number(text: &str) -> Option<i32> {
    signed_number(text.trim()).filter(|(_, rest)| rest.is_empty()).map(|(number, _)| number)
}
