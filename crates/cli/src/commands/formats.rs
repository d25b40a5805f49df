//! `fewbit formats`: number formats explained.

mod codes;
mod explain;

use clap::Args;
use fewbit_formats::{Format, IntegerGrid};
use serde_json::{Map, Value, json};

use crate::command_line::Example;
use crate::console::{grouped, table};
use crate::failure::{Failure, Hint, Outcome};
use crate::program::{Report, Verdict};

/// Examples of `--help`.
pub const EXAMPLES: &[Example] = &[
    Example { purpose: "the formats that have names of their own", lines: "fewbit formats" },
    Example { purpose: "every value of a five-bit minifloat", lines: "fewbit formats e3m1" },
    Example {
        purpose: "numbers to codes and codes to numbers",
        lines: "fewbit formats e4m3 --encode 1.3 -1000 -inf nan --decode 0x7e 0b1010",
    },
];

/// Flags of `formats`.
#[derive(Args, Clone, Debug)]
pub struct FormatsArgs {
    /// A format: any eXmY (e3m1, e4m3, e5m2-fnuz, ue4m3, e4m3b8), intN, uintN, intN-narrow, fixedN.I,
    /// bipolar, ternary, or a name of qonnx such as FLOAT<4,3,7>; without it, lists formats
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Round these numbers to the format and show their codes
    #[arg(long, value_name = "X", num_args = 1.., allow_negative_numbers = true, requires = "name")]
    pub encode: Vec<f32>,
    /// Show the numbers of these codes, such as 18, 0x12 or 0b10010
    #[arg(long, value_name = "CODE", num_args = 1.., requires = "name")]
    pub decode: Vec<String>,
}

/// Runs the command.
pub fn run(args: &FormatsArgs) -> Outcome<Report> {
    let Some(name) = &args.name else { return list() };
    let format = parse(name)?;
    let encoded = codes::encode(&format, &args.encode);
    let decoded = codes::decode(&format, &args.decode)?;
    let (mut text, mut json) = (String::new(), facts(&format));
    if args.encode.is_empty() && args.decode.is_empty() {
        text.push_str(&explain::text(&format));
    } else {
        text.push_str(&format!("{format}: {}\n", explain::kind(&format)));
    }
    json.insert("values".into(), explain::values(&format));
    for (key, part) in [("encoded", encoded), ("decoded", decoded)] {
        if let Some(part) = part {
            text.push('\n');
            text.push_str(&part.text);
            json.insert(key.into(), part.json);
        }
    }
    Ok(Report { text, json: Value::Object(json), verdict: Verdict::Good })
}

/// Reads a name; the advice that the error carries becomes a hint.
fn parse(name: &str) -> Outcome<Format> {
    name.parse().map_err(|error: fewbit_formats::Error| {
        let hint = error.hint().unwrap_or("`fewbit formats` lists formats").to_owned();
        let message = error.to_string();
        let message = message.strip_suffix(&format!("; {hint}")).unwrap_or(&message);
        Failure::new(message).or_hint(hint)
    })
}

/// Formats worth knowing, with what is said about them elsewhere.
const LISTED: [(&str, &str); 27] = [
    ("bipolar", "-1 and 1: weights and activations of binary networks"),
    ("ternary", "-1, 0 and 1"),
    ("uint1", "0 and 1, also called binary"),
    ("int2", "two's complement"),
    ("int2-narrow", "symmetric: the most negative code is left out"),
    ("int4", "two's complement"),
    ("uint4", "without a sign, as after ReLU"),
    ("int8", "two's complement"),
    ("uint8", "without a sign"),
    ("fixed8.4", "fixed point: 8 bits, 4 of them before the point"),
    ("e2m1", "OCP FP4"),
    ("e3m1", "5 bits; sums of products are exact integers"),
    ("e2m3", "OCP FP6"),
    ("e3m2", "OCP FP6"),
    ("e3m3", "7 bits, every code finite"),
    ("e4m2", "7 bits, every code finite"),
    ("e3m4", "8 bits, every code finite"),
    ("e4m3", "OCP FP8: one NaN code"),
    ("e4m3-finite", "every code finite"),
    ("e4m3-ieee", "infinities and NaN as IEEE 754 has them"),
    ("e4m3-fnuz", "no negative zero, one NaN code"),
    ("e5m2", "OCP FP8: infinities and NaN as IEEE 754 has them"),
    ("e5m2-finite", "every code finite"),
    ("e5m2-fnuz", "no negative zero, one NaN code"),
    ("e5m10-ieee", "IEEE binary16, float16"),
    ("e8m7-ieee", "bfloat16"),
    ("e8m23", "float32: rounding to it changes nothing"),
];

fn list() -> Outcome<Report> {
    let mut rows = Vec::new();
    let mut entries = Vec::new();
    for (name, words) in LISTED {
        let format: Format = name.parse().context("a listed format")?;
        rows.push(vec![
            name.to_owned(),
            format.bit_width().to_string(),
            grouped(format.value_count()),
            number(format.min_value()),
            number(format.max_value()),
            number(format.smallest_positive()),
            sums(&format).to_owned(),
            words.to_owned(),
        ]);
        let mut entry = facts(&format);
        entry.insert("description".into(), words.into());
        entries.push(Value::Object(entry));
    }
    let header =
        ["name", "bits", "values", "smallest", "largest", "least > 0", "sums", "what it is"];
    let text = format!(
        "{}\nsums: how products of two such numbers are added up. integer: exact. paired and\n\
         sequential: f32 in one fixed order, the same on every machine.\n\
         `fewbit formats NAME` explains one; any eXmY, intN, uintN or fixedN.I is a format.\n",
        table(&header, &rows)
    );
    Ok(Report { text, json: json!({ "formats": entries }), verdict: Verdict::Good })
}

/// What a program may want to know about a format.
fn facts(format: &Format) -> Map<String, Value> {
    let facts = json!({
        "name": format.to_string(),
        "kind": explain::kind(format),
        "bit_width": format.bit_width(),
        "signed": format.signed(),
        "value_count": format.value_count(),
        "min_value": finite(format.min_value()),
        "max_value": finite(format.max_value()),
        "smallest_positive": format.smallest_positive(),
        "significant_bits": format.significant_bits(),
        "integer_grid": format.integer_grid().map(|IntegerGrid { step, max_multiple }| {
            json!({ "step": step, "max_multiple": max_multiple })
        }),
        "accumulation": sums(format),
    });
    match facts {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// How products of two numbers of the format are added up (ARCHITECTURE.md, the arithmetic contract).
fn sums(format: &Format) -> &'static str {
    match (format.integer_grid(), format.significant_bits()) {
        (Some(_), _) => "integer",
        (None, ..=8) => "paired",
        (None, _) => "sequential",
    }
}

/// JSON has no infinity and no NaN: they are `null` there.
fn finite(x: f32) -> Option<f32> {
    x.is_finite().then_some(x)
}

/// The shortest text that reads as exactly this number.
fn number(x: f32) -> String {
    let magnitude = x.abs();
    if x.is_nan() {
        "nan".to_owned()
    } else if !x.is_finite() || magnitude == 0.0 || (1e-4..1e7).contains(&magnitude) {
        x.to_string()
    } else {
        format!("{x:e}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_they_are_written() {
        for x in [0.0, -0.0, 0.1, 1e-45, 448.0, f32::MAX, f32::INFINITY, 9_999_999.0, 1e-4] {
            assert_eq!(number(x).parse::<f32>().unwrap().to_bits(), x.to_bits(), "{}", number(x));
        }
        assert_eq!(
            (number(f32::NAN), number(2f32.powi(-20))),
            ("nan".into(), "9.536743e-7".into())
        );
    }

    #[test]
    fn the_list_holds_printed_names() {
        for (name, _) in LISTED {
            assert_eq!(name.parse::<Format>().unwrap().to_string(), name);
        }
        assert_eq!(list().unwrap().text.lines().count(), LISTED.len() + 5);
    }

    #[test]
    fn sums_follow_the_contract() {
        for (name, expected) in [("e3m1", "integer"), ("e4m3", "paired"), ("e8m23", "sequential")] {
            assert_eq!(sums(&name.parse().unwrap()), expected, "{name}");
        }
    }
}
