//! Laws that hold for every format and every number.

use fewbit_formats::{
    FixedPointFormat, FloatFormat, Format, IntegerFormat, Overflow, ReservedCodes, RoundingMode,
};
use proptest::prelude::*;

fn float() -> impl Strategy<Value = FloatFormat> {
    let reserved = prop_oneof![
        Just(ReservedCodes::None),
        Just(ReservedCodes::Nan),
        Just(ReservedCodes::Ieee),
        Just(ReservedCodes::Fnuz),
    ];
    let bias = prop_oneof![Just(None), (-126..=127).prop_map(Some)];
    let parts = (1_u32..=8, 0_u32..=23, reserved, any::<bool>(), bias);
    parts.prop_filter_map("no such format", |(e, m, reserved, signed, bias)| {
        let mut format = FloatFormat::new(e, m).ok()?;
        if !signed {
            format = format.unsigned().ok()?;
        }
        format = format.with_reserved(reserved).ok()?;
        match bias {
            Some(bias) => format.with_exponent_bias(bias).ok(),
            None => Some(format),
        }
    })
}

fn integer() -> impl Strategy<Value = IntegerFormat> {
    (1_u32..=24, any::<bool>(), any::<bool>()).prop_filter_map(
        "no such format",
        |(bits, signed, narrow)| {
            let mut format = IntegerFormat::new(bits).ok()?;
            if !signed {
                format = format.unsigned().ok()?;
            }
            if narrow { format.with_narrow_range().ok() } else { Some(format) }
        },
    )
}

fn format() -> impl Strategy<Value = Format> {
    prop_oneof![
        4 => float().prop_map(Format::from),
        2 => integer().prop_map(Format::from),
        1 => (integer(), -32..=64).prop_map(|(f, i)| FixedPointFormat::new(f, i).unwrap().into()),
        1 => Just(Format::Bipolar),
        1 => Just(Format::Ternary),
    ]
}

/// Any bits, and numbers of usual size.
fn number() -> impl Strategy<Value = f32> {
    prop_oneof![
        any::<u32>().prop_map(f32::from_bits),
        -600.0_f32..600.0,
        (any::<u32>(), 0_u32..24)
            .prop_map(|(bits, zeros)| f32::from_bits(bits & (u32::MAX << zeros))),
    ]
}

fn finite() -> impl Strategy<Value = f32> {
    number().prop_filter("finite", |x| x.is_finite())
}

fn mode() -> impl Strategy<Value = RoundingMode> {
    prop::sample::select(RoundingMode::ALL.to_vec())
}

fn is_e8m23(format: &Format) -> bool {
    matches!(format, Format::Float(f) if f.significant_bits() == 24 && f.exponent_bit_width() == 8)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None,
        max_global_rejects: 200_000, ..ProptestConfig::with_cases(20_000) })]

    #[test]
    fn rounding_twice_is_rounding_once(format in format(), x in finite(), mode in mode()) {
        let once = format.quantize_with(x, mode);
        prop_assume!(once.is_finite());
        prop_assert_eq!(format.quantize_with(once, mode), once);
        prop_assert_eq!(format.quantize(once), once);
    }

    #[test]
    fn rounding_keeps_the_order(format in format(), a in finite(), b in finite(), mode in mode()) {
        let (a, b) = if a <= b { (a, b) } else { (b, a) };
        prop_assert!(format.quantize_with(a, mode) <= format.quantize_with(b, mode));
        prop_assert!(format.quantize(a) <= format.quantize(b));
    }

    #[test]
    fn rounding_is_odd(format in float(), x in number()) {
        prop_assume!(format.signed());
        let (y, mirrored) = (format.quantize(x), format.quantize(-x));
        prop_assert!((-y).to_bits() == mirrored.to_bits() || y.is_nan() && mirrored.is_nan());
    }

    #[test]
    fn rounding_to_nearest_is_one_of_the_two_ways(format in float(), x in number()) {
        let y = format.quantize(x);
        let other = format.quantize_with(x, RoundingMode::HalfEven, Overflow::Saturate);
        prop_assert!(y.to_bits() == other.to_bits() || y.is_nan() && other.is_nan(), "{} {}", y, other);
        let mut slice = [0.0];
        format.quantize_slice(&[x], &mut slice);
        prop_assert!(y.to_bits() == slice[0].to_bits() || y.is_nan() && slice[0].is_nan());
    }

    #[test]
    fn directed_roundings_enclose(format in format(), x in finite()) {
        prop_assume!(!matches!(format, Format::Bipolar | Format::Ternary));
        prop_assume!(x > format.min_value() && x < format.max_value());
        let [below, above] = [RoundingMode::Floor, RoundingMode::Ceil].map(|m| format.quantize_with(x, m));
        prop_assert!(below <= x && x <= above);
        let nearest = format.quantize(x);
        prop_assert!(nearest == below || nearest == above);
        prop_assert!(nearest.is_infinite() || (nearest - x).abs() <= (x - below).abs().min((above - x).abs()));
        // Nothing lies between the two.
        if below < above {
            // Infinity is no value.
            let finite = |v: f32| v.is_finite().then_some(v);
            if below.is_finite() {
                prop_assert_eq!(format.next_up(below), finite(above));
            }
            if above.is_finite() {
                prop_assert_eq!(format.next_down(above), finite(below));
            }
            prop_assert_eq!(format.next_up(x), finite(above));
            prop_assert_eq!(format.next_down(x), finite(below));
        }
    }

    #[test]
    fn values_have_codes_and_codes_values(format in format(), x in finite()) {
        let value = format.quantize(x);
        let code = format.encode(value);
        prop_assert!(code.is_some(), "{} has no code for {}", format, value);
        let code = code.unwrap();
        prop_assert_eq!(format.decode(code), value);
        prop_assert_eq!(format.encode_nearest(value), Some(code));
        prop_assert!(format.bit_width() == 32 || code >> format.bit_width() == 0);
        prop_assert_eq!(format.contains(value), value.is_finite());
    }

    #[test]
    fn codes_come_back(format in format(), code in any::<u32>()) {
        let code = code & (u32::MAX >> (32 - format.bit_width()));
        let value = format.decode(code);
        match format.encode(value) {
            // Above f32::MAX all codes share infinity.
            Some(back) if value.is_nan() || value.is_infinite() => {
                let again = format.decode(back);
                prop_assert!(again == value || again.is_nan() && value.is_nan());
            }
            Some(back) => prop_assert_eq!(back, code),
            // The value that a narrow range leaves out; infinity above the maximum of a bias.
            None => prop_assert!(value < format.min_value() || value > format.max_value(), "{}", value),
        }
    }

    #[test]
    fn multiples_and_bits_are_as_stated(format in format(), x in finite()) {
        let value = format.quantize(x);
        prop_assume!(value.is_finite());
        if let Some(grid) = format.integer_grid() {
            let multiple = f64::from(value) / f64::from(grid.step);
            prop_assert_eq!(multiple.fract(), 0.0);
            prop_assert!(multiple.abs() <= f64::from(grid.max_multiple));
        }
        // As an odd integer times a power of two.
        let bits = value.abs().to_bits();
        let significand = if bits >> 23 == 0 { bits } else { (bits & 0x7f_ffff) | 0x80_0000 };
        let odd = significand.checked_shr(significand.trailing_zeros()).unwrap_or(0);
        prop_assert!(odd < 1 << format.significant_bits(), "{} {}", format, value);
    }

    #[test]
    fn names_are_read_as_printed(format in format()) {
        prop_assert_eq!(format.to_string().parse::<Format>(), Ok(format));
    }

    #[test]
    fn any_text_is_a_format_or_an_error(text in "[eEuUmMbB]?[efinutxbo0-9<>,.-]{0,12}(-max|-finite|-fnuz|-narrow)?[0-9.]{0,4}") {
        if let Ok(format) = text.parse::<Format>() {
            prop_assert_eq!(format.to_string().parse::<Format>(), Ok(format));
        }
    }

    #[test]
    fn infinities_are_nan_to_minifloats(format in float(), negative in any::<bool>()) {
        let x = if negative { f32::NEG_INFINITY } else { f32::INFINITY };
        prop_assert!(is_e8m23(&format.into()) || format.quantize(x).is_nan());
    }
}
