//! Every minifloat of up to 8 bits, every kind of reserved codes: all its codes, and all numbers around its values and midpoints.

use fewbit_formats::{Format, Overflow, RoundingMode};

use crate::oracle::{Case, flavours, same};

/// 28 signed formats (one to seven exponent bits), 36 unsigned ones, each with the reserved codes it can have.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut shapes = (0, 0);
    for e in 1..=8 {
        for m in 0..=8 - e {
            if e + m <= 7 {
                shapes.0 += 1;
                cases.extend(flavours(e, m, true));
            }
            shapes.1 += 1;
            cases.extend(flavours(e, m, false));
        }
    }
    assert_eq!(shapes, (28, 36));
    // Of 4 * 28 signed ones, e1m0 cannot have NaN and seven formats without mantissa cannot have infinities; of 3 * 36 unsigned ones likewise, with eight.
    assert_eq!(cases.len(), 4 * 28 - 1 - 7 + 3 * 36 - 1 - 8);
    cases
}

#[test]
fn rounding_is_to_the_nearest_value_in_every_mode() {
    let mut compared = 0_u64;
    let mut failures = Vec::new();
    for Case { format, oracle } in cases() {
        let probes = oracle.probes();
        let mut slice = vec![0.0; probes.len()];
        format.quantize_slice(&probes, &mut slice);
        for (&x, &from_slice) in probes.iter().zip(&slice) {
            let expected = oracle.quantize(x, RoundingMode::HalfEven, Overflow::Saturate);
            let got = format.quantize(x);
            if !same(got, expected) || !same(from_slice, expected) {
                failures
                    .push(format!("{format} quantize({x:e}) = {got} {from_slice}, not {expected}"));
            }
            for mode in RoundingMode::ALL {
                for overflow in [Overflow::Saturate, Overflow::Infinity, Overflow::Nan] {
                    compared += 1;
                    let expected = oracle.quantize(x, mode, overflow);
                    let got = format.quantize_with(x, mode, overflow);
                    if !same(got, expected) {
                        failures.push(format!(
                            "{format} {mode} {overflow:?} ({x:e}) = {got}, not {expected}"
                        ));
                    }
                }
            }
        }
    }
    assert_eq!(failures.len(), 0, "of {compared}: {:#?}", &failures[..failures.len().min(20)]);
    assert_eq!(compared, COMPARED);
}

/// Counted once: a list of probes that shrinks is noticed.
const COMPARED: u64 = 18_363_828;

#[test]
fn codes_and_values() {
    let mut codes = 0;
    for Case { format, oracle } in cases() {
        assert_eq!(oracle.codes.len(), 1 << format.bit_width(), "{format}");
        for (code, &meaning) in oracle.codes.iter().enumerate() {
            codes += 1;
            let (code, value) = (code as u32, format.decode(code as u32));
            assert!(
                same(value, meaning as f32),
                "{format} decode({code:#x}) = {value}, not {meaning}"
            );
            assert!(same(format.decode(code | 1 << 31), value) || format.bit_width() == 32);
            let encoded = format.encode(value);
            if value.is_nan() {
                let canonical = encoded.unwrap();
                assert!(format.decode(canonical).is_nan(), "{format} NaN -> {canonical:#x}");
            } else {
                assert_eq!(encoded, Some(code), "{format} encode({value})");
                let nearest = format.encode_nearest(value, Overflow::Infinity);
                assert_eq!(nearest, Some(code), "{format} encode_nearest({value})");
            }
        }
        for x in oracle.probes() {
            let is_value = oracle.codes.iter().any(|&v| v == f64::from(x));
            assert_eq!(
                Format::from(format).contains(x),
                is_value && x.is_finite(),
                "{format} {x:e}"
            );
            if x.is_finite() {
                let code = format.encode_nearest(x, Overflow::Saturate).unwrap();
                // Equal, with any sign of zero: FNUZ and unsigned formats have no code for -0.
                assert_eq!(format.decode(code), format.quantize(x), "{format} {x:e}");
            }
        }
    }
    assert_eq!(codes, 22_038);
}

#[test]
fn what_formats_say_of_their_values() {
    for Case { format, oracle } in cases() {
        let positive: Vec<f32> = oracle.values[1..].iter().map(|&v| v as f32).collect();
        let finite: Vec<f32> = positive.iter().copied().filter(|v| v.is_finite()).collect();
        let mut all: Vec<f32> = vec![0.0];
        all.extend(&finite);
        if format.signed() {
            all.splice(0..0, finite.iter().rev().map(|v| -v));
        }
        assert!(format.values().eq(all.iter().copied()), "{format}");
        assert_eq!(format.value_count(), all.len() as u64, "{format}");
        assert_eq!(format.max_value(), positive[positive.len() - 1], "{format}");
        let min = if format.signed() { -format.max_value() } else { 0.0 };
        assert_eq!(format.min_value(), min, "{format}");
        assert_eq!(format.smallest_subnormal(), positive[0], "{format}");
        let normal = 2_f64.powi(1 - format.exponent_bias()) as f32;
        assert_eq!(format.smallest_normal(), normal, "{format}");
        assert_eq!(format.has_inf(), oracle.codes.iter().any(|v| v.is_infinite()), "{format}");
        assert_eq!(format.has_nan(), oracle.codes.iter().any(|v| v.is_nan()), "{format}");
        assert_grid(&format.into(), &positive);

        for x in oracle.probes() {
            let up = all.iter().copied().find(|&v| v > x);
            assert_eq!(format.next_up(x), up, "{format} next_up({x:e})");
            let down = all.iter().rev().copied().find(|&v| v < x);
            assert_eq!(format.next_down(x), down, "{format} next_down({x:e})");
        }
    }
}

/// The integer grid and the significant bits, from all positive values.
pub fn assert_grid(format: &Format, positive: &[f32]) {
    let step = positive.iter().copied().fold(f32::INFINITY, f32::min);
    let multiples: Vec<f64> = positive.iter().map(|&v| f64::from(v) / f64::from(step)).collect();
    let largest = multiples.iter().copied().fold(0.0, f64::max);
    let fits = largest <= 32767.0 && multiples.iter().all(|m| m.fract() == 0.0);
    match format.integer_grid() {
        Some(grid) => {
            assert!(fits, "{format} {grid:?}");
            assert_eq!((grid.step, f64::from(grid.max_multiple)), (step, largest), "{format}");
        }
        None => assert!(!fits, "{format}: multiples up to {largest} of {step}"),
    }
    // A number needs n bits if it is an odd number below 2^n, and no smaller power, times a power of two.
    let needed = |v: f32| {
        let mut v = f64::from(v);
        while v.fract() != 0.0 {
            v *= 2.0;
        }
        while v % 2.0 == 0.0 {
            v /= 2.0;
        }
        (1..).find(|&n| v < 2_f64.powi(n)).unwrap() as u32
    };
    let bits = positive.iter().copied().filter(|v| v.is_finite()).map(needed).max().unwrap();
    assert!(format.significant_bits() >= bits, "{format} needs {bits} bits");
    // Where the whole range of the mantissa is there, the number is exact.
    if positive.len() > 1 << format.significant_bits() {
        assert_eq!(format.significant_bits(), bits, "{format}");
    }
}

#[test]
fn slices_of_every_length_and_alignment() {
    let format: fewbit_formats::FloatFormat = "e3m2".parse().unwrap();
    let x: Vec<f32> = (0..80).map(|i| (i as f32 - 40.0) * 0.77).collect();
    for start in 0..9 {
        for len in [0, 1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64] {
            let mut y = vec![9.0; len];
            format.quantize_slice(&x[start..start + len], &mut y);
            for (&x, &y) in x[start..].iter().zip(&y) {
                assert!(same(y, format.quantize(x)));
            }
        }
    }
}
