//! One format in words and tables.

use std::fmt::Write as _;

use fewbit_formats::{FloatFormat, Format, ReservedCodes};
use serde_json::{Value, json};

use super::codes::bits;
use super::{finite, number, sums};
use crate::console::{counted, grouped, table};

/// Formats of up to so many bits are listed value by value.
const LISTED_BITS: u32 = 8;

/// What kind of format it is, in a few words.
pub fn kind(format: &Format) -> String {
    let sign = |signed| if signed { "signed" } else { "unsigned" };
    match format {
        Format::Float(f) => {
            let sign = if f.signed() { "1 sign bit, " } else { "no sign bit, " };
            let exponent = counted(f.exponent_bit_width().into(), "exponent bit");
            let mantissa = counted(f.mantissa_bit_width().into(), "mantissa bit");
            format!("minifloat, {sign}{exponent}, {mantissa}")
        }
        Format::Integer(f) => {
            let narrow = if f.narrow_range() { ", narrow range" } else { "" };
            format!(
                "{} integer, {}{narrow}",
                sign(f.signed()),
                counted(f.bit_width().into(), "bit")
            )
        }
        Format::Bipolar => "-1 and 1, one bit".to_owned(),
        Format::Ternary => "-1, 0 and 1, two bits".to_owned(),
        Format::FixedPoint(f) => format!(
            "{} fixed point, {}, {} of them before the point",
            sign(f.integer().signed()),
            counted(f.integer().bit_width().into(), "bit"),
            f.integer_bit_width()
        ),
    }
}

/// Everything worth knowing.
pub fn text(format: &Format) -> String {
    let mut text = format!("{format}: {}\n\n", kind(format));
    let mut fact = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<18}{value}");
    };
    let (min, max) = (number(format.min_value()), number(format.max_value()));
    fact("bits", format.bit_width().to_string());
    fact("values", format!("{}, from {min} to {max}", grouped(format.value_count())));
    fact("least above 0", number(format.smallest_positive()));
    if let Some(above) = format.next_up(1.0).filter(|_| format.contains(1.0)) {
        fact("next above 1", number(above));
    }
    match format {
        Format::Float(f) => float_facts(f, &mut fact),
        Format::Integer(_) | Format::FixedPoint(_) => {
            fact("code", "two's complement if signed".to_owned());
            fact("rounding", format!("nearest, ties to even; clipped to {min} and {max}"));
        }
        Format::Bipolar => {
            fact("code", "1 for 1, 0 for -1".to_owned());
            fact("rounding", "the sign; 1 for both zeros, -1 for NaN".to_owned());
        }
        Format::Ternary => {
            fact("code", "two's complement".to_owned());
            fact("rounding", "the sign where the magnitude is above 0.5, else 0".to_owned());
        }
    }
    fact("significant bits", format.significant_bits().to_string());
    fact("sums of products", accumulation(format));
    text.push('\n');
    match format {
        Format::Float(f) if f.bit_width() <= LISTED_BITS => text.push_str(&grid(format, f)),
        _ if format.bit_width() <= 4 => text.push_str(&list(format)),
        _ => text.push_str("  Use --encode and --decode for single numbers and codes.\n"),
    }
    text
}

fn float_facts(f: &FloatFormat, fact: &mut impl FnMut(&str, String)) {
    let (bias, m) = (f.exponent_bias(), f.mantissa_bit_width());
    fact("exponent bias", bias.to_string());
    fact("least normal", number(f.smallest_normal()));
    fact(
        "value",
        format!(
            "2^(E - {bias}) * (1 + M / {}) for exponent field E and mantissa field M",
            1_u32 << m
        ),
    );
    fact("value if E = 0", format!("2^(1 - {bias}) * M / {}", 1_u32 << m));
    fact("reserved codes", reserved(f.reserved()).to_owned());
    let (min, max) = (number(f.min_value()), number(f.max_value()));
    let beyond = if f.max_value().is_finite() {
        format!("clipped to {min} and {max}")
    } else {
        "above the largest f32 infinity".to_owned()
    };
    fact("rounding", format!("nearest, ties to even; {beyond}"));
}

fn reserved(codes: ReservedCodes) -> &'static str {
    match codes {
        ReservedCodes::None => "none, every code is a number",
        ReservedCodes::Nan => "all bits of E and M set: NaN",
        ReservedCodes::Ieee => "all bits of E set: infinity if M = 0, else NaN",
        ReservedCodes::Fnuz => "the code of negative zero: NaN",
    }
}

fn accumulation(format: &Format) -> String {
    match (format.integer_grid(), sums(format)) {
        (Some(grid), _) => format!(
            "integer: values are multiples of {}, up to {} of them; exact",
            number(grid.step),
            grid.max_multiple
        ),
        (None, "paired") => {
            "paired: products are exact in f32, added two by two in order".to_owned()
        }
        (None, _) => "sequential: f32, one fused multiply-add after the other".to_owned(),
    }
}

/// The values above zero of a minifloat: a row for each exponent, columns for mantissas.
fn grid(format: &Format, f: &FloatFormat) -> String {
    let m = f.mantissa_bit_width();
    let columns = 1_u32 << m.min(3);
    let mut header = vec!["E".to_owned()];
    header.extend((0..columns).map(|column| match m {
        0 => "value".to_owned(),
        1..=3 => format!("M={column}"),
        _ => format!("+{column}"),
    }));
    if m > 3 {
        header[0] = "E, M".to_owned();
    }
    let mut rows = Vec::new();
    for exponent in 0..1_u32 << f.exponent_bit_width() {
        for first in (0..1 << m).step_by(columns as usize) {
            let start = if m > 3 { format!("{exponent}, {first}") } else { exponent.to_string() };
            let codes = (0..columns).map(|column| (exponent << m) + first + column);
            let cells = codes.map(|code| number(format.decode(code)));
            rows.push(std::iter::once(start).chain(cells).collect());
        }
    }
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let sign = if f.signed() { "; with the sign bit set, the negative ones" } else { "" };
    format!("Values by exponent field E and mantissa field M{sign}:\n\n{}", table(&header, &rows))
}

fn list(format: &Format) -> String {
    let rows: Vec<Vec<String>> = (0..1_u32 << format.bit_width())
        .map(|code| {
            let value = format.decode(code);
            // A narrow range and ternary leave a code out.
            let words = if format.contains(value) { number(value) } else { "unused".to_owned() };
            vec![bits(format, code), words]
        })
        .collect();
    table(&["code", "value"], &rows)
}

/// All codes with their values, in order of the codes; `null` for formats of more than 8 bits.
pub fn values(format: &Format) -> Value {
    if format.bit_width() > LISTED_BITS {
        return Value::Null;
    }
    let codes = 0..1_u32 << format.bit_width();
    codes
        .map(|code| {
            let value = format.decode(code);
            json!({
                "code": code,
                "bits": bits(format, code),
                "value": finite(value),
                "value_text": number(value),
                "is_value": format.contains(value),
            })
        })
        .collect()
}
