//! Names: what is read, what is printed, and what a wrong one is answered.

use fewbit_formats::{ErrorKind, FixedPointFormat, FloatFormat, Format, IntegerFormat};

#[test]
fn names_of_formats() {
    // As written, as printed, bits, smallest and largest value.
    let table: &[(&str, &str, u32, f64, f64)] = &[
        ("e3m1", "e3m1", 5, -24.0, 24.0),
        ("E4M3", "e4m3", 8, -448.0, 448.0),
        ("e4m3fn", "e4m3", 8, -448.0, 448.0),
        ("e4m3-nan", "e4m3", 8, -448.0, 448.0),
        ("e4m3-finite", "e4m3-finite", 8, -480.0, 480.0),
        ("e4m3-ieee", "e4m3-ieee", 8, -240.0, 240.0),
        ("e4m3-fnuz", "e4m3-fnuz", 8, -240.0, 240.0),
        ("e4m3fnuz", "e4m3-fnuz", 8, -240.0, 240.0),
        ("e5m2", "e5m2", 8, -57344.0, 57344.0),
        ("e5m2-finite", "e5m2-finite", 8, -114_688.0, 114_688.0),
        ("e5m2-fnuz", "e5m2-fnuz", 8, -57344.0, 57344.0),
        ("e3m4-nan", "e3m4-nan", 8, -30.0, 30.0),
        ("e2m0", "e2m0", 3, -4.0, 4.0),
        ("ue4m3", "ue4m3", 7, 0.0, 480.0),
        ("ue4m3-nan", "ue4m3-nan", 7, 0.0, 448.0),
        ("e4m3b8", "e4m3b8", 8, -224.0, 224.0),
        ("e4m3b7", "e4m3", 8, -448.0, 448.0),
        ("e4m3b-2", "e4m3b-2", 8, -229_376.0, 229_376.0),
        ("e4m3b8-finite", "e4m3b8-finite", 8, -240.0, 240.0),
        ("e4m3-max224", "e4m3-max224", 8, -224.0, 224.0),
        ("e4m3b3-finite-max0.5", "e4m3b3-finite-max0.5", 8, -0.5, 0.5),
        ("e5m10-ieee", "e5m10-ieee", 16, -65504.0, 65504.0),
        ("FLOAT16", "e5m10-ieee", 16, -65504.0, 65504.0),
        ("bfloat16", "e8m7-ieee", 16, -3.389_531_389_251_535_5e38, 3.389_531_389_251_535_5e38),
        ("e8m7", "e8m7", 16, f64::NEG_INFINITY, f64::INFINITY),
        ("FLOAT32", "e8m23", 32, f64::NEG_INFINITY, f64::INFINITY),
        ("FLOAT<4,3,7>", "e4m3-finite", 8, -480.0, 480.0),
        ("FLOAT<4, 3>", "e4m3-finite", 8, -480.0, 480.0),
        ("FLOAT<3,1,3>", "e3m1", 5, -24.0, 24.0),
        ("FLOAT<1,2,0>", "e1m2", 4, -3.5, 3.5),
        ("int4", "int4", 4, -8.0, 7.0),
        ("INT4", "int4", 4, -8.0, 7.0),
        ("uint8", "uint8", 8, 0.0, 255.0),
        ("UINT8", "uint8", 8, 0.0, 255.0),
        ("int4n", "int4-narrow", 4, -7.0, 7.0),
        ("int4-narrow", "int4-narrow", 4, -7.0, 7.0),
        ("uint4-narrow", "uint4-narrow", 4, 0.0, 14.0),
        ("int1", "int1", 1, -1.0, 0.0),
        ("int32", "int32", 32, -2_147_483_648.0, 2_147_483_648.0),
        ("binary", "uint1", 1, 0.0, 1.0),
        ("BINARY", "uint1", 1, 0.0, 1.0),
        ("bipolar", "bipolar", 1, -1.0, 1.0),
        ("BIPOLAR", "bipolar", 1, -1.0, 1.0),
        ("TERNARY", "ternary", 2, -1.0, 1.0),
        ("fixed8.4", "fixed8.4", 8, -8.0, 7.9375),
        ("FIXED<8,4>", "fixed8.4", 8, -8.0, 7.9375),
        ("ufixed8.8", "ufixed8.8", 8, 0.0, 255.0),
        ("fixed8.-2", "fixed8.-2", 8, -0.125, 0.124_023_437_5),
        ("fixed4.6-narrow", "fixed4.6-narrow", 4, -28.0, 28.0),
    ];
    for &(written, printed, bits, min, max) in table {
        let format: Format = written.parse().unwrap_or_else(|error| panic!("{written}: {error}"));
        assert_eq!(format.to_string(), printed, "{written}");
        assert_eq!(printed.parse::<Format>(), Ok(format), "{written}");
        assert_eq!(format.bit_width(), bits, "{written}");
        assert_eq!(f64::from(format.min_value()), min, "{written}");
        assert_eq!(f64::from(format.max_value()), max, "{written}");
    }
}

#[test]
fn every_format_is_read_as_it_is_printed() {
    let mut count = 0;
    let mut check = |format: Format| {
        count += 1;
        assert_eq!(format.to_string().parse::<Format>(), Ok(format), "{format}");
    };
    for e in 1..=8 {
        for m in 0..=23 {
            let format = FloatFormat::new(e, m).unwrap();
            check(format.into());
            check(format.unsigned().unwrap().into());
            check(format.with_exponent_bias(-17).unwrap().into());
            check(format.with_max_value(0.3).unwrap().into());
        }
    }
    for bits in 1..=32 {
        let format = IntegerFormat::new(bits).unwrap();
        check(format.into());
        check(format.unsigned().unwrap().into());
        check(FixedPointFormat::new(format, -5).unwrap().into());
        if bits > 1 {
            check(format.with_narrow_range().unwrap().into());
        }
    }
    assert_eq!(count, 4 * 192 + 4 * 32 - 1);
}

#[test]
fn wrong_names_are_answered_with_right_ones() {
    let table = [
        ("e4m33", "the mantissa bit width 33", None),
        ("e9m3", "the exponent bit width 9", None),
        ("e0m3", "the exponent bit width 0", None),
        ("e4m3b500", "the exponent bias 500", None),
        ("int33", "the integer bit width 33", None),
        ("int0", "the integer bit width 0", None),
        ("int1n", "the bit width of a narrow range 1", None),
        ("e4m3-max0", "the largest value 0", None),
        ("e3m0-ieee", "infinity from NaN", Some("e3m0-nan")),
        ("ue4m3-fnuz", "negative zero", Some("ue4m3b8")),
        ("e1m0-nan", "no value but zero", Some("e1m0")),
        ("e4m", "a name like", Some("e4m")),
        ("4m3", "a name like", Some("e4m3")),
        ("e4n3", "a name like", Some("e4m3")),
        ("em43", "a name like", Some("e")),
        ("int", "a name like", Some("int")),
        ("in8", "a name like", Some("int8")),
        ("unit8", "a name like", Some("uint8")),
        ("bipolr", "a name like", Some("bipolar")),
        ("fp8", "a name like", Some("\"e4m3\" or \"e5m2\"")),
        ("bf16", "a name like", Some("e8m7-ieee")),
        ("e4m3-fnz", "a name like", Some("e4m3-fnuz")),
        ("e4m3-finite-ieee", "a name like", None),
        ("e4m3-max1-max2", "a name like", None),
        ("e4m3-max", "a name like", None),
        ("e4m3-max-1", "a name like", None),
        ("e4m3-maxinf", "a name like", None),
        ("e+4m3", "a name like", Some("e4m3")),
        ("int+4", "a name like", Some("int4")),
        ("e99999999999m3", "a name like", None),
        ("fixed8", "a name like", Some("fixed8.4")),
        ("fixed<8>", "a name like", None),
        ("FLOAT<4,3,7,1>", "a name like", None),
        ("", "a name like", None),
        ("e", "a name like", None),
        ("\u{ff45}4m3", "a name like", Some("e4m3")),
        ("weights.quantizer.bit_width.something.very.long", "a name like", None),
    ];
    for (name, part, meant) in table {
        let error = name.parse::<Format>().unwrap_err();
        let message = error.to_string();
        let part = part.trim_start_matches("the ");
        assert!(message.contains(part), "{name}: {message}");
        assert!(message.contains(&format!("{name:?}")), "{name}: {message}");
        match meant {
            Some(meant) => {
                assert!(error.hint().unwrap_or("").contains(meant), "{name}: {message}");
                assert!(message.contains(meant), "{name}: {message}");
            }
            None => assert_eq!(error.hint(), None, "{name}: {message}"),
        }
    }
}

#[test]
fn the_kind_of_a_format_can_be_demanded() {
    assert_eq!("e3m1".parse::<FloatFormat>().unwrap().mantissa_bit_width(), 1);
    assert_eq!("int4".parse::<IntegerFormat>().unwrap().bit_width(), 4);
    assert_eq!("fixed8.4".parse::<FixedPointFormat>().unwrap().fraction_bit_width(), 4);
    let error = "int4".parse::<FloatFormat>().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownFormat);
    assert!("e3m1".parse::<IntegerFormat>().is_err());
    assert!("bipolar".parse::<FixedPointFormat>().is_err());
    assert_eq!(FloatFormat::new(9, 3).unwrap_err().kind(), ErrorKind::OutOfRange);
    assert_eq!(format!("{:>6}|", "e3m1".parse::<Format>().unwrap()), "  e3m1|");
}
