//! Outputs of Brevitas and qonnx, bit for bit.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;

use fewbit_formats::{FloatFormat, Overflow, ReservedCodes, RoundingMode};
use flate2::bufread::DeflateDecoder;
use rawzip::{CompressionMethod, ZipArchive};

use crate::oracle::same;

/// The `f32` arrays of a file, flat, by name.
type Arrays = BTreeMap<String, Vec<f32>>;

fn shared(name: &str) -> Option<Vec<u8>> {
    let Ok(shared) = std::env::var("FEWBIT_SHARED") else {
        eprintln!("skipped: FEWBIT_SHARED is not set");
        return None;
    };
    let path = format!("{shared}/golden/{name}");
    Some(fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}")))
}

fn arrays(npz: Vec<u8>) -> Arrays {
    let archive = ZipArchive::from_slice(npz).unwrap();
    let mut arrays = BTreeMap::new();
    let mut records = archive.entries();
    while let Some(record) = records.next_entry().unwrap() {
        let name = String::from_utf8(record.file_path().as_bytes().to_vec()).unwrap();
        let (method, place) = (record.compression_method(), record.wayfinder());
        let entry = archive.get_entry(place).unwrap();
        let mut npy = Vec::new();
        match method {
            CompressionMethod::STORE => npy.extend_from_slice(entry.data()),
            CompressionMethod::DEFLATE => {
                DeflateDecoder::new(entry.data()).read_to_end(&mut npy).unwrap();
            }
            method => panic!("{name}: {method:?}"),
        }
        // Magic, version, length of the header, header, data.
        let header = 10 + usize::from(u16::from_le_bytes([npy[8], npy[9]]));
        let dictionary = String::from_utf8_lossy(&npy[10..header]);
        assert!(dictionary.contains("'<f4'"), "{name}: {dictionary}");
        let data = npy[header..].chunks_exact(4);
        let data = data.map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect();
        arrays.insert(name.strip_suffix(".npy").unwrap().to_owned(), data);
    }
    arrays
}

/// For the last numbers below 2^128 the logarithm is rounded to 128 in `f32`. Without mantissa bits that makes the step infinite and the result NaN, where
/// every other large number gives the largest value.
fn is_overflow_of_the_logarithm(format: &FloatFormat, x: f32) -> bool {
    format.mantissa_bit_width() == 0 && f64::from(x.abs()).log2() as f32 == 128.0 && x.is_finite()
}

/// 36 formats, signed and unsigned, with OCP's codes and without any.
#[test]
fn brevitas_minifloats_without_a_scale() {
    let Some(npz) = shared("a_float_act_unscaled.npz") else { return };
    let meta: serde_json::Value =
        serde_json::from_slice(&shared("a_float_meta.json").unwrap()).unwrap();
    let arrays = arrays(npz);
    let (mut tables, mut compared, mut overflows) = (0, 0, 0);
    for (name, x) in arrays.iter().filter_map(|(name, x)| Some((name.strip_suffix(".x")?, x))) {
        let [shape, sign, class] = name.split('_').collect::<Vec<_>>().try_into().unwrap();
        let mut format: FloatFormat = shape.parse().unwrap();
        match sign {
            "s" => {}
            "u" => format = format.unsigned().unwrap(),
            _ => panic!("{name}"),
        }
        match class {
            "ocp" => {}
            "plain" => format = format.with_reserved(ReservedCodes::None).unwrap(),
            _ => panic!("{name}"),
        }
        let facts = &meta["meta"][name];
        assert_eq!(facts["max"].as_f64(), Some(f64::from(format.max_value())), "{name}");
        assert_eq!(facts["min"].as_f64(), Some(f64::from(format.min_value())), "{name}");
        assert_eq!(facts["bit_width"].as_u64(), Some(u64::from(format.bit_width())), "{name}");
        assert_eq!(
            facts["exponent_bias"].as_i64(),
            Some(i64::from(format.exponent_bias())),
            "{name}"
        );
        assert_eq!(facts["nan"] != "None", format.has_nan(), "{name}");
        assert_eq!(facts["inf"] != "None", format.has_inf(), "{name}");

        tables += 1;
        let y = &arrays[&format!("{name}.y")];
        assert_eq!((x.len(), Some(x.len() as u64)), (y.len(), facts["n"].as_u64()), "{name}");
        for (&x, &y) in x.iter().zip(y) {
            compared += 1;
            let got = format.quantize(x);
            if y.is_nan() && is_overflow_of_the_logarithm(&format, x) {
                overflows += 1;
                continue;
            }
            assert!(same(got, y), "{name}: {format} ({x:e}) = {got:e}, Brevitas {y:e}");
        }
    }
    assert_eq!((tables, compared, overflows), (144, 247_776, 48));
}

/// Every mode and attribute. (Directed roundings of qonnx are wrong just below some powers of two, where its logarithm is rounded up; these numbers do not
/// occur here.)
#[test]
fn qonnx_float_quant() {
    let Some(npz) = shared("c_qonnx_floatquant.npz") else { return };
    let cases: serde_json::Value =
        serde_json::from_slice(&shared("c_qonnx_floatquant.json").unwrap()).unwrap();
    let arrays = arrays(npz);
    let (mut count, mut compared, mut overflows) = (0, 0, 0);
    for (name, case) in cases.as_object().unwrap() {
        count += 1;
        let family = name.split('.').next().unwrap();
        let inits = case["inits"].as_array().unwrap();
        let number = |i: usize| inits[i].as_f64().unwrap();
        let format = FloatFormat::new(number(1) as u32, number(2) as u32)
            .and_then(|format| format.with_reserved(ReservedCodes::None))
            .and_then(|format| format.with_exponent_bias(number(3) as i32))
            .and_then(|format| format.with_max_value(number(4) as f32))
            .unwrap();
        let flag = |name: &str| case["attrs"][name].as_i64().unwrap() != 0;
        let overflow = match (flag("saturation"), flag("has_inf"), flag("has_nan")) {
            (true, ..) => Overflow::Saturate,
            (false, true, _) => Overflow::Infinity,
            (false, false, true) => Overflow::Nan,
            (false, false, false) => panic!("{name} has no result"),
        };
        let mode: RoundingMode = case["attrs"]["rounding_mode"].as_str().unwrap().parse().unwrap();
        let x = &arrays[&format!("{family}.x")];
        let y = &arrays[name];
        assert_eq!(x.len(), y.len(), "{name}");
        for (i, (&x, &y)) in x.iter().zip(y).enumerate() {
            compared += 1;
            // [2, 3, 4, 4] with a scale for each of the three channels.
            let scale = match inits[0].as_f64() {
                Some(scale) => scale,
                None => inits[0][0][i / 16 % 3][0][0].as_f64().unwrap(),
            } as f32;
            let u = x / scale;
            let got = format.quantize_with(u, mode, overflow) * scale;
            if mode == RoundingMode::HalfEven && overflow == Overflow::Saturate {
                assert!(same(got, format.quantize(u) * scale), "{name}: {x:e}");
            }
            if got == y || got.is_nan() && y.is_nan() {
                continue;
            }
            assert!(
                y.is_nan() && is_overflow_of_the_logarithm(&format, u),
                "{name}: {format} {mode} ({u:e}) = {got:e}, qonnx {y:e}"
            );
            overflows += 1;
        }
    }
    assert_eq!((count, compared, overflows), (281, 77_040, 44));
}
