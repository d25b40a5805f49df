//! Numbers to codes and back.

use fewbit_formats::Format;
use serde_json::{Value, json};

use super::{finite, number};
use crate::console::table;
use crate::failure::{Failure, Outcome};

/// A part of the answer.
pub struct Part {
    /// For people.
    pub text: String,
    /// For machines.
    pub json: Value,
}

/// Rounds numbers to the format; `None` if there are none.
pub fn encode(format: &Format, numbers: &[f32]) -> Option<Part> {
    if numbers.is_empty() {
        return None;
    }
    let mut rows = Vec::new();
    let mut entries = Vec::new();
    for &x in numbers {
        let code = format.encode_nearest(x);
        let value = code.map(|code| format.decode(code));
        rows.push(vec![
            number(x),
            value.map_or("none".into(), number),
            code.map_or("-".into(), hexadecimal),
            code.map_or("-".into(), |code| bits(format, code)),
        ]);
        entries.push(json!({
            "number": finite(x),
            "number_text": number(x),
            "value": value.and_then(finite),
            "value_text": value.map(number),
            "code": code,
            "bits": code.map(|code| bits(format, code)),
        }));
    }
    let text = table(&["number", "nearest value", "code", "bits"], &rows);
    Some(Part { text, json: entries.into() })
}

/// Reads codes; `None` if there are none.
pub fn decode(format: &Format, codes: &[String]) -> Outcome<Option<Part>> {
    if codes.is_empty() {
        return Ok(None);
    }
    let mut rows = Vec::new();
    let mut entries = Vec::new();
    for text in codes {
        let code = parse(format, text)?;
        let value = format.decode(code);
        rows.push(vec![hexadecimal(code), bits(format, code), number(value)]);
        entries.push(json!({
            "code": code,
            "bits": bits(format, code),
            "value": finite(value),
            "value_text": number(value),
        }));
    }
    let text = table(&["code", "bits", "value"], &rows);
    Ok(Some(Part { text, json: entries.into() }))
}

/// Reads `18`, `0x12` or `0b10010`.
fn parse(format: &Format, text: &str) -> Outcome<u32> {
    let plain = text.replace('_', "").to_ascii_lowercase();
    let code = match (plain.strip_prefix("0x"), plain.strip_prefix("0b")) {
        (Some(digits), _) => u32::from_str_radix(digits, 16),
        (_, Some(digits)) => u32::from_str_radix(digits, 2),
        _ => plain.parse(),
    };
    let width = format.bit_width();
    match code {
        Ok(code) if width >= 32 || code >> width == 0 => Ok(code),
        Ok(_) => {
            let largest = hexadecimal((1 << width) - 1);
            Err(Failure::new(format!(
                "{text:?} is no code of {format}, whose codes have {width} bits"
            ))
            .or_hint(format!("codes are 0 to {largest}")))
        }
        Err(_) => Err(Failure::new(format!("{text:?} is not a code"))
            .or_hint("codes are written as 18, 0x12 or 0b10010")),
    }
}

fn hexadecimal(code: u32) -> String {
    format!("0x{code:02x}")
}

/// The bits of a code, sign, exponent and mantissa apart: `1_011_1`.
pub fn bits(format: &Format, code: u32) -> String {
    let width = format.bit_width() as usize;
    let digits = format!("{code:0width$b}");
    let Format::Float(float) = format else { return digits };
    let (rest, mantissa) = digits.split_at(width - float.mantissa_bit_width() as usize);
    let (sign, exponent) = rest.split_at(usize::from(float.signed()));
    let parts = [sign, exponent, mantissa];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_by_hand() {
        for (name, code, expected) in [
            ("e3m1", 0b10111, "1_011_1"),
            ("ue4m3", 0b0111000, "0111_000"),
            ("e8m0", 5, "0_00000101"),
            ("int4", 9, "1001"),
            ("bipolar", 1, "1"),
        ] {
            assert_eq!(bits(&name.parse().unwrap(), code), expected, "{name}");
        }
    }

    #[test]
    fn codes_in_three_notations() {
        let format: Format = "e3m1".parse().unwrap();
        for text in ["18", "0x12", "0b10010", "0b1_001_0", "0X12"] {
            assert_eq!(parse(&format, text).unwrap(), 18, "{text}");
        }
        for (text, words) in
            [("32", "5 bits"), ("0x", "not a code"), ("-1", "not a code"), ("é", "é")]
        {
            let error = parse(&format, text).unwrap_err();
            assert!(error.message().contains(words), "{error}");
        }
        assert_eq!(parse(&"int32".parse().unwrap(), "0xffffffff").unwrap(), u32::MAX);
    }
}
