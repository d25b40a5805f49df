//! Integers up to 8 bits, fixed point, bipolar and ternary: all codes, and all numbers around values and midpoints.

use fewbit_formats::{FixedPointFormat, Format, IntegerFormat, RoundingMode};

use crate::exhaustive_floats::assert_grid;
use crate::oracle::{around, same};

/// Signed, unsigned, whole and narrow ranges, with their smallest and largest integers.
fn integers() -> Vec<(IntegerFormat, i64, i64)> {
    let mut formats = Vec::new();
    for bits in 1..=8 {
        let signed = IntegerFormat::new(bits).unwrap();
        let unsigned = signed.unsigned().unwrap();
        let power = 2_i64.pow(bits - 1);
        formats.push((signed, -power, power - 1));
        formats.push((unsigned, 0, 2 * power - 1));
        if bits > 1 {
            formats.push((signed.with_narrow_range().unwrap(), 1 - power, power - 1));
            formats.push((unsigned.with_narrow_range().unwrap(), 0, 2 * power - 2));
        }
    }
    assert_eq!(formats.len(), 30);
    formats
}

/// The nearest value of a list, by comparison.
fn oracle(values: &[f64], step: f64, x: f32, mode: RoundingMode) -> f32 {
    if x.is_nan() {
        return x;
    }
    let (first, last) = (values[0], values[values.len() - 1]);
    let wide = f64::from(x);
    if wide <= first || wide >= last {
        return wide.clamp(first, last) as f32;
    }
    let above = values.partition_point(|&v| v <= wide);
    let (lower, upper) = (values[above - 1], values[above]);
    let middle = (lower + upper) / 2.0;
    let positive = wide > 0.0;
    let up = match mode {
        _ if lower == wide => false,
        RoundingMode::Ceil => true,
        RoundingMode::Floor => false,
        RoundingMode::Up => positive,
        RoundingMode::Down => !positive,
        _ if wide != middle => wide > middle,
        RoundingMode::HalfEven => (lower / step) % 2.0 != 0.0,
        RoundingMode::HalfUp => positive,
        RoundingMode::HalfDown => !positive,
    };
    (if up { upper } else { lower }) as f32
}

fn probes(values: &[f64], step: f64) -> Vec<f32> {
    let centres = values.iter().flat_map(|&v| [v, v + step / 2.0]);
    let centres = centres.chain([values[0] - step / 2.0, values[0] - step]);
    let powers = (-149..=127).map(|k| 2_f64.powi(k));
    around(centres.chain(powers).map(|v| v as f32).chain([f32::MAX]))
}

/// Compares everything that a format on a uniform grid does; returns the number of roundings.
fn check(format: Format, first: i64, last: i64, step: f64) -> u64 {
    let values: Vec<f64> = (first..=last).map(|n| n as f64 * step).collect();
    let mut compared = 0;
    for x in probes(&values, step) {
        let nearest = oracle(&values, step, x, RoundingMode::HalfEven);
        let got = format.quantize(x);
        assert!(
            got == nearest || x.is_nan() && got.is_nan(),
            "{format} ({x:e}) = {got}, not {nearest}"
        );
        for mode in RoundingMode::ALL {
            compared += 1;
            let (got, expected) = (format.quantize_with(x, mode), oracle(&values, step, x, mode));
            let equal = got == expected || x.is_nan() && got.is_nan();
            assert!(equal, "{format} {mode} ({x:e}) = {got}, not {expected}");
        }
        assert_eq!(format.contains(x), values.contains(&f64::from(x)), "{format} {x:e}");
        let up = values.iter().copied().find(|&v| v > f64::from(x)).map(|v| v as f32);
        assert_eq!(format.next_up(x), up, "{format} next_up({x:e})");
        let down = values.iter().rev().copied().find(|&v| v < f64::from(x)).map(|v| v as f32);
        assert_eq!(format.next_down(x), down, "{format} next_down({x:e})");
        let code = format.encode_nearest(x);
        assert_eq!(
            code.map(|code| format.decode(code)),
            (!x.is_nan()).then_some(nearest),
            "{format} {x:e}"
        );
    }
    for (n, &value) in (first..=last).zip(&values) {
        let code = n as u32 & ((1 << format.bit_width()) - 1);
        assert_eq!(format.encode(value as f32), Some(code), "{format} {value}");
        assert_eq!(format.decode(code), value as f32, "{format} {value}");
    }
    let positive: Vec<f32> = values.iter().map(|&v| v.abs() as f32).filter(|&v| v > 0.0).collect();
    assert_grid(&format, &positive);
    assert_eq!(format.value_count(), values.len() as u64, "{format}");
    assert_eq!(f64::from(format.min_value()), values[0], "{format}");
    assert_eq!(f64::from(format.max_value()), values[values.len() - 1], "{format}");
    assert_eq!(format.signed(), first < 0, "{format}");
    let smallest = values.iter().copied().find(|&v| v > 0.0).unwrap_or(0.0);
    assert_eq!(f64::from(format.smallest_positive()), smallest, "{format}");
    compared
}

#[test]
fn integers_up_to_8_bits() {
    let mut compared = 0;
    for (format, first, last) in integers() {
        assert_eq!((format.min(), format.max()), (first, last), "{format}");
        compared += check(format.into(), first, last, 1.0);
    }
    assert_eq!(compared, 872_340);
}

#[test]
fn fixed_point_up_to_8_bits() {
    let mut compared = 0;
    for (integer, first, last) in integers() {
        for before in [-32, -3, 0, 1, 4, 8, 11, 64] {
            let format = FixedPointFormat::new(integer, before).unwrap();
            let step = 2_f64.powi(before - integer.bit_width() as i32);
            assert_eq!(f64::from(format.step()), step, "{format}");
            compared += check(format.into(), first, last, step);
        }
    }
    assert_eq!(compared, 8 * 872_340);
}

#[test]
fn ternary_is_an_integer_but_for_its_midpoints_and_nan() {
    let values = [-1.0, 0.0, 1.0];
    for x in probes(&values, 1.0) {
        let expected =
            if x.is_nan() { 0.0 } else { oracle(&values, 1.0, x, RoundingMode::HalfDown) };
        assert_eq!(Format::Ternary.quantize(x), expected, "{x:e}");
        let code = Format::Ternary.encode_nearest(x);
        assert_eq!(code, (!x.is_nan()).then_some((expected as i32 & 3) as u32), "{x:e}");
        assert_eq!(Format::Ternary.contains(x), values.contains(&f64::from(x)), "{x:e}");
    }
    for (code, value) in [(0b11, -1.0), (0, 0.0), (1, 1.0)] {
        assert_eq!(Format::Ternary.encode(value), Some(code));
        assert_eq!(Format::Ternary.decode(code), value);
    }
    assert_grid(&Format::Ternary, &[1.0, 1.0]);
    assert_eq!(Format::Ternary.next_up(-0.5), Some(0.0));
    assert_eq!(Format::Ternary.next_down(0.0), Some(-1.0));
    assert_eq!(Format::Ternary.next_down(-1.0), None);
}

#[test]
fn bipolar_is_the_sign() {
    for x in probes(&[-1.0, 1.0], 2.0) {
        let expected = if x >= 0.0 { 1.0 } else { -1.0 };
        assert!(same(Format::Bipolar.quantize(x), expected), "{x:e}");
        let code = Format::Bipolar.encode_nearest(x);
        assert_eq!(code, (!x.is_nan()).then_some(u32::from(x >= 0.0)), "{x:e}");
    }
    assert_eq!([0, 1].map(|code| Format::Bipolar.decode(code)), [-1.0, 1.0]);
    assert_eq!(
        [-1.0, 1.0, 0.0, -0.0].map(|x| Format::Bipolar.encode(x)),
        [Some(0), Some(1), None, None]
    );
    assert_grid(&Format::Bipolar, &[1.0, 1.0]);
    assert_eq!((Format::Bipolar.next_up(0.0), Format::Bipolar.next_up(1.0)), (Some(1.0), None));
    assert_eq!(Format::Bipolar.value_count(), 2);
}

#[test]
fn wide_integers_saturate_exactly_in_their_codes() {
    let int32 = IntegerFormat::new(32).unwrap();
    assert_eq!((int32.min(), int32.max()), (-(1 << 31), (1 << 31) - 1));
    assert_eq!(int32.encode_nearest(3e9), Some(0x7fff_ffff));
    assert_eq!(int32.encode_nearest(f32::NEG_INFINITY), Some(0x8000_0000));
    assert_eq!(int32.quantize(3e9), 2_147_483_648.0);
    assert_eq!(int32.decode_integer(0xffff_ffff), -1);
    assert_eq!(int32.significant_bits(), 24);
    assert_eq!(int32.integer_grid(), None);
    let uint32 = int32.unsigned().unwrap();
    assert_eq!(uint32.max(), (1 << 32) - 1);
    assert_eq!(uint32.encode_nearest(5e9), Some(u32::MAX));
    assert_eq!(uint32.value_count(), 1 << 32);
    // 16 bits: -32768 has no place as a magnitude, 32767 has.
    let int16 = IntegerFormat::new(16).unwrap();
    assert_eq!(int16.integer_grid(), None);
    assert_eq!(int16.with_narrow_range().unwrap().integer_grid().unwrap().max_multiple, 32767);
}

#[test]
fn zero_points_of_zero_take_the_sign_from_zero() {
    let int4 = IntegerFormat::new(4).unwrap();
    assert_eq!(int4.quantize(-0.0).to_bits(), 0);
    assert_eq!(int4.quantize(-0.3).to_bits(), (-0.0_f32).to_bits());
    assert!(int4.quantize(f32::NAN).is_nan());
    assert_eq!(int4.quantize(f32::INFINITY), 7.0);
}
