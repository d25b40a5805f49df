//! Minifloats of more than 8 bits: listed where the list is short, else against integer arithmetic, by stride over all `f32`.

use fewbit_formats::{FloatFormat, Overflow, ReservedCodes, RoundingMode};

use crate::oracle::{Case, FloatOracle, flavours, same};

/// Rounds half to even in integers: `x` and the step are integers times powers of two.
fn nearest(format: &FloatFormat, x: f32) -> f32 {
    if !x.is_finite() {
        return f32::NAN;
    }
    let bits = x.to_bits() & 0x7fff_ffff;
    let field = (bits >> 23) as i32;
    let significand = u64::from(bits & 0x7f_ffff) + if field == 0 { 0 } else { 1 << 23 };
    if significand == 0 {
        return x;
    }
    // x = significand * 2^place
    let place = field.max(1) - 150;
    let exponent = place + 63 - significand.leading_zeros() as i32;
    let step = exponent.max(1 - format.exponent_bias()) - format.mantissa_bit_width() as i32;
    let (multiple, place) = if step <= place {
        (significand, place)
    } else {
        let drop = (step - place).min(60) as u32;
        let (kept, rest) = (significand >> drop, significand & ((1 << drop) - 1));
        let half = 1 << (drop - 1);
        (kept + u64::from(rest > half || (rest == half && kept % 2 == 1)), step)
    };
    // Exact: at most 25 bits.
    let magnitude = (multiple as f64 * 2_f64.powi(place)) as f32;
    let magnitude = magnitude.min(format.max_value());
    if x < 0.0 && !format.signed() && magnitude > 0.0 { 0.0 } else { magnitude.copysign(x) }
}

#[test]
fn every_shape_by_stride_over_all_floats() {
    let mut shapes = 0;
    let mut compared = 0_u64;
    for e in 1..=8 {
        for m in 0..=23 {
            if (e, m) == (8, 23) {
                continue;
            }
            shapes += 1;
            for format in [
                FloatFormat::new(e, m).unwrap(),
                FloatFormat::new(e, m).unwrap().unsigned().unwrap(),
            ] {
                // Odd, so that all low bits occur.
                for x in (0..=u32::MAX).step_by(104_729).map(f32::from_bits) {
                    compared += 1;
                    let (got, expected) = (format.quantize(x), nearest(&format, x));
                    assert!(same(got, expected), "{format} ({x:e}) = {got:e}, not {expected:e}");
                    let wide = format.quantize_with(x, RoundingMode::HalfEven, Overflow::Saturate);
                    assert!(
                        same(wide, expected),
                        "{format} wide ({x:e}) = {wide:e}, not {expected:e}"
                    );
                }
            }
        }
    }
    assert_eq!((shapes, compared), (191, 2 * 191 * 41_011));
}

/// Half precision, bfloat16, and the shapes around the borders between the ways to round.
#[test]
fn shapes_of_9_to_16_bits_around_all_their_values() {
    let mut formats = 0;
    for (e, m) in [(5, 10), (8, 7), (8, 1), (7, 8), (6, 9), (2, 12), (4, 8), (3, 5)] {
        for Case { format, oracle } in flavours(e, m, true).into_iter().chain(flavours(e, m, false))
        {
            formats += 1;
            compare(&format, &oracle);
        }
    }
    assert_eq!(formats, 8 * 7);
}

#[test]
fn every_bias_that_is_allowed() {
    let mut formats = 0;
    for (e, m) in [(1, 0), (2, 1), (4, 3), (3, 0), (8, 2)] {
        for bias in -200..=200 {
            let format = FloatFormat::new(e, m).unwrap().with_exponent_bias(bias);
            assert_eq!(
                format.is_ok(),
                (-126..=150 - m as i32).contains(&bias),
                "{bias}: {format:?}"
            );
            let Ok(format) = format else { continue };
            assert_eq!(format.exponent_bias(), bias);
            formats += 1;
            let reserved = format.reserved();
            compare(&format, &FloatOracle::new(e, m, bias, reserved, true));
        }
    }
    assert_eq!(formats, 5 * 277 - 1 - 3 - 2);
}

fn compare(format: &FloatFormat, oracle: &FloatOracle) {
    let probes = oracle.probes();
    let mut slice = vec![0.0; probes.len()];
    format.quantize_slice(&probes, &mut slice);
    for (&x, &y) in probes.iter().zip(&slice) {
        let expected = oracle.quantize(x, RoundingMode::HalfEven, Overflow::Saturate);
        assert!(same(y, expected), "{format} ({x:e}) = {y:e}, not {expected:e}");
        for mode in [RoundingMode::Ceil, RoundingMode::Floor, RoundingMode::HalfUp] {
            let expected = oracle.quantize(x, mode, Overflow::Nan);
            let got = format.quantize_with(x, mode, Overflow::Nan);
            assert!(same(got, expected), "{format} {mode} ({x:e}) = {got:e}, not {expected:e}");
        }
    }
    for (code, &meaning) in oracle.codes.iter().enumerate() {
        let value = format.decode(code as u32);
        assert!(same(value, meaning as f32), "{format} decode({code:#x}) = {value}, not {meaning}");
        if value.is_finite() {
            assert_eq!(format.encode(value), Some(code as u32), "{format} encode({value:e})");
        }
    }
}

#[test]
fn e8m7_has_no_largest_value_but_infinity() {
    let format = FloatFormat::new(8, 7).unwrap();
    assert_eq!(format.max_value(), f32::INFINITY);
    assert_eq!(format.quantize(3.4e38), f32::INFINITY);
    assert!(format.quantize(f32::INFINITY).is_nan());
    assert_eq!(format.quantize(0.1), 0.100_097_656);
    assert_eq!(format.quantize(1e6), 999_424.0);
    // Brevitas gives 1.1754944e-38: its logarithm is taken of |x| + 2^-126 (spec 1.7).
    assert_eq!(format.quantize(1.180_094_1e-38), 1.184_677_9e-38);
    assert_eq!(format.encode(f32::INFINITY), Some(0x7f80));
    assert_eq!(format.next_up(f32::NEG_INFINITY), Some(-f32::from_bits(0x7f7f_0000)));
    assert_eq!(format.next_up(f32::from_bits(0x7f7f_0000)), None);
    let bfloat16 = format.with_reserved(ReservedCodes::Ieee).unwrap();
    assert_eq!(bfloat16.max_value(), f32::from_bits(0x7f7f_0000));
    assert_eq!(bfloat16.quantize(3.4e38), bfloat16.max_value());
}

#[test]
fn e8m23_is_the_identity() {
    let format = FloatFormat::new(8, 23).unwrap();
    for format in [format, format.with_reserved(ReservedCodes::Ieee).unwrap()] {
        for x in (0..=u32::MAX).step_by(99_991).map(f32::from_bits).chain([f32::INFINITY]) {
            assert!(same(format.quantize(x), x), "{x:e}");
            for mode in RoundingMode::ALL {
                assert!(same(format.quantize_with(x, mode, Overflow::Saturate), x), "{x:e}");
            }
        }
    }
    assert_eq!(format.significant_bits(), 24);
    assert_eq!(format.with_max_value(1.0).unwrap().quantize(7.0), 1.0);
}

#[test]
fn clipped_formats() {
    let e4m3 = FloatFormat::new(4, 3).unwrap();
    let half = e4m3.with_max_value(224.0).unwrap();
    assert_eq!(
        (half.max_value(), half.quantize(1e9), half.quantize(-300.0)),
        (224.0, 224.0, -224.0)
    );
    assert_eq!(half.encode(224.0), Some(0x76));
    assert_eq!(half.encode(240.0), None);
    assert_eq!(half.to_string(), "e4m3-max224");
    let off_grid = e4m3.with_max_value(100.5).unwrap();
    assert_eq!(off_grid.quantize(100.0), 96.0);
    assert_eq!(off_grid.quantize(101.0), 100.5);
    assert_eq!(off_grid.quantize(1e9), 100.5);
    assert_eq!(off_grid.encode_nearest(1e9, Overflow::Saturate), e4m3.encode(96.0));
    assert_eq!(off_grid.significant_bits(), 8);
    assert_eq!(
        off_grid.quantize_with(1e9, RoundingMode::HalfEven, Overflow::Infinity),
        f32::INFINITY
    );
    assert_eq!(e4m3.with_max_value(448.0).unwrap(), e4m3);
    assert_eq!(e4m3.with_max_value(1e9).unwrap(), e4m3);
    assert_eq!(half.with_max_value(f32::INFINITY).unwrap(), e4m3);
    for wrong in [0.0, -1.0, f32::NAN] {
        assert!(e4m3.with_max_value(wrong).is_err(), "{wrong}");
    }
    let e3m1 = FloatFormat::new(3, 1).unwrap();
    assert_eq!(e3m1.with_max_value(0.3).unwrap().integer_grid(), None);
    assert_eq!(e3m1.with_max_value(0.375).unwrap().integer_grid().unwrap().max_multiple, 3);
    assert_eq!(e3m1.with_max_value(0.3).unwrap().value_count(), 2 * 3 + 1);
    let tiny = e4m3.with_max_value(0.001).unwrap();
    assert_eq!(
        (tiny.quantize(5.0), tiny.encode_nearest(5.0, Overflow::Saturate)),
        (0.001, Some(0))
    );
}
