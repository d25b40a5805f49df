//! The tables of the OCP formats, made with gfloat and ml_dtypes.

use std::fs;

use fewbit_formats::{E8m0, FloatFormat, Overflow, RoundingMode};

use crate::oracle::same;

/// The rows of a table without its header, `None` if the shared folder is not there.
fn rows(name: &str) -> Option<Vec<Vec<String>>> {
    let Ok(shared) = std::env::var("FEWBIT_SHARED") else {
        eprintln!("skipped: FEWBIT_SHARED is not set");
        return None;
    };
    let path = format!("{shared}/fp_tables/{name}.csv");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    Some(text.lines().skip(1).map(|line| line.split(',').map(str::to_owned).collect()).collect())
}

fn hex(text: &str) -> Option<u32> {
    u32::from_str_radix(text, 16).ok()
}

#[test]
fn codes_decode_to_the_values_of_the_tables() {
    let mut count = 0;
    for name in ["e2m1", "e2m3", "e3m2", "e4m3", "e5m2"] {
        let format: FloatFormat = name.parse().unwrap();
        let Some(rows) = rows(&format!("decode_ocp_{name}")) else { return };
        assert_eq!(rows.len(), 1 << format.bit_width(), "{name}");
        for row in rows {
            count += 1;
            let expected = hex(&row[2]).map_or(f32::NAN, f32::from_bits);
            let value = format.decode(hex(&row[0]).unwrap());
            assert!(same(value, expected), "{name} {row:?}: {value}");
        }
    }
    assert_eq!(count, 16 + 64 + 64 + 256 + 256);
}

#[test]
fn numbers_encode_to_the_codes_of_the_tables() {
    let mut count = 0;
    for name in ["e2m1", "e2m3", "e3m2", "e4m3", "e5m2"] {
        let format: FloatFormat = name.parse().unwrap();
        let bits = format.bit_width() - 1;
        let is_nan = |code: Option<u32>| code.is_none_or(|code| format.decode(code).is_nan());
        let Some(rows) = rows(&format!("encode_f32_to_ocp_{name}")) else { return };
        for row in rows {
            count += 1;
            let x = f32::from_bits(hex(&row[0]).unwrap());
            // gfloat, saturating: infinities become the largest value.
            let saturated = format.encode_nearest(x, Overflow::Saturate);
            let table = hex(&row[2]);
            assert!(
                saturated == table || is_nan(saturated) && is_nan(table),
                "{name} {row:?}: {saturated:x?}"
            );
            // gfloat, not saturating: infinity, else NaN (of one sign only), else no code.
            let overflowed = match format.overflow() {
                Some(overflow) => format.encode_nearest(x, overflow),
                None if x.abs() <= format.max_value() => saturated,
                None => {
                    let open = format.quantize_with(x, RoundingMode::HalfEven, Overflow::Infinity);
                    if open.is_finite() { saturated } else { None }
                }
            };
            let table = hex(&row[3]);
            assert!(
                overflowed == table || is_nan(overflowed) && is_nan(table),
                "{name} {row:?}: {overflowed:x?}"
            );
            // ml_dtypes: not saturating if there is a code for it, and NaN keeps its sign; without NaN it becomes -0.
            let mut ours = if format.overflow().is_some() { overflowed } else { saturated };
            if x.is_nan() && !format.has_nan() {
                ours = Some(1 << bits);
            }
            let table = hex(&row[4]);
            let both_nan = x.is_nan() && is_nan(ours) && is_nan(table);
            assert!(ours == table || both_nan, "{name} {row:?}: {ours:x?}");
        }
    }
    assert_eq!(count, 2111 + 2399 + 2399 + 3539 + 3503);
}

#[test]
fn e8m0_agrees_with_the_tables() {
    let Some(decode) = rows("decode_ocp_e8m0") else { return };
    assert_eq!(decode.len(), 256);
    for row in decode {
        let expected = hex(&row[2]).map_or(f32::NAN, f32::from_bits);
        let code = hex(&row[0]).unwrap() as u8;
        assert!(same(E8m0.decode(code), expected), "{row:?}");
        assert_eq!(E8m0.encode(expected), Some(code));
    }
    let encode = rows("encode_f32_to_ocp_e8m0").unwrap();
    assert_eq!(encode.len(), 3548);
    let (mut unlike_gfloat, mut unlike_ml_dtypes) = (Vec::new(), Vec::new());
    for row in encode {
        let x = f32::from_bits(hex(&row[0]).unwrap());
        let [gfloat, ml_dtypes] = [2, 4].map(|column| hex(&row[column]).unwrap() as u8);
        if E8m0.encode_rounded(x, RoundingMode::HalfEven) != gfloat {
            unlike_gfloat.push(x);
        }
        // Ties go up there, and what is above the range becomes NaN.
        let ours = E8m0.encode_rounded(x, RoundingMode::HalfUp);
        let above = x > E8m0.decode(254) && ml_dtypes == E8m0::NAN && ours == 254;
        if ours != ml_dtypes && !above {
            unlike_ml_dtypes.push(x.to_bits());
        }
    }
    // There, minus infinity is the largest value, and the smallest f32 rounds to a zero that does not exist.
    assert_eq!(unlike_gfloat, [f32::NEG_INFINITY, f32::from_bits(1)]);
    // There, some of the numbers between 2^-127 and 1.5 * 2^-127 are rounded up.
    assert_eq!(unlike_ml_dtypes, [0x0050_0000, 0x005f_ffff]);
}
