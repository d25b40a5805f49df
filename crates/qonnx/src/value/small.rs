//! Numbers of 16 and fewer bits: what stands in memory, and the wider type in which every one of them is exact.

use std::sync::Arc;

use fewbit_formats::{E8m0, FloatFormat, Overflow, ReservedCodes, RoundingMode};
use half::{bf16, f16};

use super::{DType, Data};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident $stored:ty;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
            pub struct $name(pub $stored);
        )*
    };
}

codes! {
    /// The code of an OCP e4m3 (`FLOAT8E4M3FN`).
    F8E4M3 u8;
    /// The code of an e4m3 without infinity and negative zero (`FLOAT8E4M3FNUZ`).
    F8E4M3Fnuz u8;
    /// The code of an OCP e5m2 (`FLOAT8E5M2`).
    F8E5M2 u8;
    /// The code of an e5m2 without infinity and negative zero (`FLOAT8E5M2FNUZ`).
    F8E5M2Fnuz u8;
    /// The code of a power of two (`FLOAT8E8M0`).
    F8E8M0 u8;
    /// The code of an e2m3 (`FLOAT6E2M3`).
    F6E2M3 u8;
    /// The code of an e3m2 (`FLOAT6E3M2`).
    F6E3M2 u8;
    /// The code of an e2m1 (`FLOAT4E2M1`).
    F4E2M1 u8;
    /// An integer from -8 to 7.
    I4 i8;
    /// An integer from 0 to 15.
    U4 u8;
    /// An integer from -2 to 1.
    I2 i8;
    /// An integer from 0 to 3.
    U2 u8;
}

/// How floats become floats of 8 and fewer bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Narrowing {
    /// What is too large becomes the largest value, instead of infinity or NaN.
    pub(crate) saturate: bool,
    /// How powers of two are rounded.
    pub(crate) powers: RoundingMode,
}

impl Default for Narrowing {
    fn default() -> Self {
        Self { saturate: true, powers: RoundingMode::Ceil }
    }
}

impl DType {
    /// The minifloat whose codes these elements are.
    pub(crate) fn minifloat(self) -> Option<FloatFormat> {
        let (e, m, reserved) = match self {
            Self::F8E4M3 => (4, 3, ReservedCodes::Nan),
            Self::F8E4M3Fnuz => (4, 3, ReservedCodes::Fnuz),
            Self::F8E5M2 => (5, 2, ReservedCodes::Ieee),
            Self::F8E5M2Fnuz => (5, 2, ReservedCodes::Fnuz),
            Self::F6E2M3 => (2, 3, ReservedCodes::None),
            Self::F6E3M2 => (3, 2, ReservedCodes::None),
            Self::F4E2M1 => (2, 1, ReservedCodes::None),
            _ => return None,
        };
        FloatFormat::new(e, m).and_then(|format| format.with_reserved(reserved)).ok()
    }

    /// Smallest and largest integer of a type of 16 and fewer bits.
    pub(crate) fn small_integers(self) -> Option<(f32, f32)> {
        match self {
            Self::U8 => Some((0.0, 255.0)),
            Self::I8 => Some((-128.0, 127.0)),
            Self::U16 => Some((0.0, 65535.0)),
            Self::I16 => Some((-32768.0, 32767.0)),
            Self::U4 => Some((0.0, 15.0)),
            Self::I4 => Some((-8.0, 7.0)),
            Self::U2 => Some((0.0, 3.0)),
            Self::I2 => Some((-2.0, 1.0)),
            _ => None,
        }
    }
}

/// The same numbers as `f32` or as integers of 8 bits, if they are of a smaller type; what is wider stays.
pub(crate) fn widened(data: &Data) -> Data {
    macro_rules! decoded {
        ($values:expr, $decode:expr) => {{
            let table: Vec<f32> = (0..=255).map($decode).collect();
            $values.iter().map(|code| table[usize::from(code.0)]).collect::<Vec<f32>>().into()
        }};
    }
    let minifloat = data.dtype().minifloat();
    let decode = |code: u32| minifloat.map_or(0.0, |format| format.decode(code));
    match data {
        Data::F16(values) => values.iter().map(|v| v.to_f32()).collect::<Vec<f32>>().into(),
        Data::Bf16(values) => values.iter().map(|v| v.to_f32()).collect::<Vec<f32>>().into(),
        Data::F8E4M3(values) => decoded!(values, decode),
        Data::F8E4M3Fnuz(values) => decoded!(values, decode),
        Data::F8E5M2(values) => decoded!(values, decode),
        Data::F8E5M2Fnuz(values) => decoded!(values, decode),
        Data::F6E2M3(values) => decoded!(values, decode),
        Data::F6E3M2(values) => decoded!(values, decode),
        Data::F4E2M1(values) => decoded!(values, decode),
        Data::F8E8M0(values) => decoded!(values, |code: u32| E8m0.decode(code as u8)),
        Data::I4(values) => values.iter().map(|v| v.0).collect::<Vec<i8>>().into(),
        Data::I2(values) => values.iter().map(|v| v.0).collect::<Vec<i8>>().into(),
        Data::U4(values) => values.iter().map(|v| v.0).collect::<Vec<u8>>().into(),
        Data::U2(values) => values.iter().map(|v| v.0).collect::<Vec<u8>>().into(),
        other => other.clone(),
    }
}

/// `f32` as a float type of 16 and fewer bits; `None` for any other type.
pub(crate) fn narrowed(values: &[f32], to: DType, narrowing: Narrowing) -> Option<Data> {
    macro_rules! encoded {
        ($type:ident, $encode:expr) => {
            values.iter().map(|&v| $type($encode(v))).collect::<Vec<$type>>().into()
        };
    }
    let format = to.minifloat();
    let encode = |v: f32| {
        let code = format.and_then(|format| {
            let overflow = match narrowing.saturate || !format.has_nan() {
                true => Overflow::Saturate,
                false if format.has_inf() => Overflow::Infinity,
                false => Overflow::Nan,
            };
            // Without a code for it, NaN is the code of -0: the choice of ml_dtypes, as ONNX leaves it open.
            let nan = format.encode(-0.0);
            if v.is_nan() && !format.has_nan() { nan } else { format.encode_nearest(v, overflow) }
        });
        code.unwrap_or(0) as u8
    };
    Some(match to {
        DType::F16 => values.iter().map(|&v| f16::from_f32(v)).collect::<Vec<f16>>().into(),
        DType::Bf16 => values.iter().map(|&v| bf16::from_f32(v)).collect::<Vec<bf16>>().into(),
        DType::F8E4M3 => encoded!(F8E4M3, encode),
        DType::F8E4M3Fnuz => encoded!(F8E4M3Fnuz, encode),
        DType::F8E5M2 => encoded!(F8E5M2, encode),
        DType::F8E5M2Fnuz => encoded!(F8E5M2Fnuz, encode),
        DType::F6E2M3 => encoded!(F6E2M3, encode),
        DType::F6E3M2 => encoded!(F6E3M2, encode),
        DType::F4E2M1 => encoded!(F4E2M1, encode),
        DType::F8E8M0 => encoded!(F8E8M0, |v: f32| power(v, narrowing)),
        _ => return None,
    })
}

/// The code of a power of two: the smallest one stands for zero.
fn power(v: f32, narrowing: Narrowing) -> u8 {
    let largest = 2f32.powi(127);
    match v {
        _ if v.is_nan() || v < 0.0 => E8m0::NAN,
        0.0 => 0,
        _ if v > largest && !narrowing.saturate => E8m0::NAN,
        _ => E8m0.encode_rounded(v, narrowing.powers),
    }
}

/// `f64` as `f32` that rounds to the same number of 16 and fewer bits: what is cut off sets the last bit.
pub(crate) fn sticky(v: f64) -> f32 {
    let near = v as f32;
    if f64::from(near) == v || v.is_nan() || near.is_infinite() {
        return near;
    }
    // Toward zero, then the last bit, so that no tie comes into being.
    let bits = near.to_bits();
    let toward_zero = if f64::from(near).abs() > v.abs() { bits - 1 } else { bits };
    f32::from_bits(toward_zero | 1)
}

/// Unpacks codes of `bits` each, the first one in the lowest bits of the first byte.
pub(crate) fn unpack(bytes: &[u8], bits: usize, count: usize) -> Vec<u8> {
    let mask = (1u16 << bits) - 1;
    let code = |i: usize| {
        let (byte, shift) = (i * bits / 8, i * bits % 8);
        let low = u16::from(bytes[byte]);
        let high = bytes.get(byte + 1).map_or(0, |&byte| u16::from(byte) << 8);
        (((low | high) >> shift) & mask) as u8
    };
    (0..count).map(code).collect()
}

/// The integers of a type of fewer than 8 bits, from the lowest bits of wider ones.
pub(crate) fn low_bits(values: impl Iterator<Item = i64>, to: DType) -> Option<Data> {
    let signed = |v: i64, bits: u32| ((v << (64 - bits)) >> (64 - bits)) as i8;
    Some(match to {
        DType::I4 => Data::I4(Arc::new(values.map(|v| I4(signed(v, 4))).collect())),
        DType::I2 => Data::I2(Arc::new(values.map(|v| I2(signed(v, 2))).collect())),
        DType::U4 => Data::U4(Arc::new(values.map(|v| U4((v & 15) as u8)).collect())),
        DType::U2 => Data::U2(Arc::new(values.map(|v| U2((v & 3) as u8)).collect())),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_comes_back() {
        let types = [
            DType::F8E4M3,
            DType::F8E4M3Fnuz,
            DType::F8E5M2,
            DType::F8E5M2Fnuz,
            DType::F6E2M3,
            DType::F6E3M2,
            DType::F4E2M1,
            DType::F8E8M0,
            DType::F16,
            DType::Bf16,
        ];
        for dtype in types {
            let values: Vec<f32> = (-300..300).map(|i| i as f32 / 16.0).collect();
            let narrow = narrowed(&values, dtype, Narrowing::default()).unwrap();
            assert_eq!(narrow.dtype(), dtype);
            let Data::F32(wide) = widened(&narrow) else { panic!("{dtype}") };
            assert_eq!(narrowed(&wide, dtype, Narrowing::default()), Some(narrow), "{dtype}");
        }
        assert!(narrowed(&[1.0], DType::F32, Narrowing::default()).is_none());
    }

    #[test]
    fn overflow_by_hand() {
        let cut = Narrowing { saturate: false, ..Narrowing::default() };
        let one = |v: f32, to, narrowing| match widened(&narrowed(&[v], to, narrowing).unwrap()) {
            Data::F32(values) => values[0],
            other => panic!("{other:?}"),
        };
        assert_eq!(one(1e6, DType::F8E4M3, Narrowing::default()), 448.0);
        assert!(one(1e6, DType::F8E4M3, cut).is_nan());
        assert_eq!(one(f32::NEG_INFINITY, DType::F8E5M2, cut), f32::NEG_INFINITY);
        assert_eq!(one(f32::INFINITY, DType::F4E2M1, cut), 6.0);
        assert_eq!(one(1.1, DType::F8E8M0, Narrowing::default()), 2.0);
        let down = Narrowing { powers: RoundingMode::Floor, ..Narrowing::default() };
        assert_eq!(one(1.9, DType::F8E8M0, down), 1.0);
    }

    #[test]
    fn no_double_rounding() {
        // Just above the tie between 1 and the next f16: f32 alone would fall on the tie.
        let v = 1.0 + 2f64.powi(-11) + 2f64.powi(-40);
        assert_eq!(f16::from_f32(sticky(v)).to_f64(), 1.0 + 2f64.powi(-10));
        assert_eq!(f16::from_f32(v as f32).to_f64(), 1.0);
        assert_eq!(sticky(-0.1), -f32::from_bits((0.1f32.to_bits() - 1) | 1));
    }

    #[test]
    fn packed_codes() {
        assert_eq!(unpack(&[0x21, 0x43], 4, 3), [1, 2, 3]);
        assert_eq!(unpack(&[0b11_10_01_00], 2, 4), [0, 1, 2, 3]);
        assert_eq!(unpack(&[0b01_000001, 0b0000_0000, 0], 6, 2), [1, 1]);
        let found = low_bits([-9, 7, 15].into_iter(), DType::I4);
        assert_eq!(found, Some(vec![I4(7), I4(7), I4(-1)].into()));
    }
}
