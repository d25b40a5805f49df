//! What a unit for multiply-accumulates takes, in gates.
//!
//! The *unit-gate model* of Tyagi (A reduced-area scheme for carry-select adders, IEEE Transactions on Computers 42(10),
//! 1993): a gate of two inputs counts 1, an exclusive or counts 2. So a full adder takes 7 (two XOR, two AND, an OR), a
//! half adder 3, a multiplexer of two bits 3. Registers, wires and control are not counted: the numbers compare formats,
//! they predict no chip.
//!
//! With operands of `n >= m` bits, `K` terms in a sum, and an accumulator of `W` bits:
//!
//! | part | gates |
//! |---|---|
//! | integer product | `n m + 7 (n - 1) (m - 1) + 3 (m - 1)`: partial products, and an array of adders |
//! | bipolar product | `2` with a bipolar, `2 n` with an integer (conditional complement); ternary one AND more for each bit |
//! | minifloat product | the same for significands of `1 + m` bits, `7 max(e_a, e_b)` to add exponents, `e` to see a subnormal, 2 for the sign |
//! | alignment | a shifter to the fixed point: `3` for each bit of each stage, and `2` for each bit of its result (complement) |
//! | accumulation | `7 W` |
//!
//! The accumulator is a fixed-point number that holds every sum exactly:
//! `W = 1 + bits of (K * largest product / smallest product)`. If it would need more than 64 bits, sums are kept in
//! binary32 instead: aligned (two shifters of 5 stages, of 27 bits), added, normalised and rounded.

use fewbit_formats::Format;
use serde::Serialize;

use crate::facts::TensorFormat;

/// The gates of a unit that does one multiply-accumulate in each cycle.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Gates {
    /// The product of two operands.
    pub multiplication: f64,
    /// Bringing the product to the accumulator's place.
    pub alignment: f64,
    /// Adding it.
    pub accumulation: f64,
    /// All of it.
    pub total: f64,
    /// What sums are kept in.
    pub accumulator: Accumulator,
    /// Its bits.
    pub accumulator_bits: u32,
}

/// What sums are kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Accumulator {
    /// A fixed-point number that holds every sum exactly.
    Exact,
    /// A binary32 number, rounded after each addition.
    Float32,
}

const FULL_ADDER: f64 = 7.0;
const HALF_ADDER: f64 = 3.0;
const MULTIPLEXER: f64 = 3.0;
const EXCLUSIVE_OR: f64 = 2.0;

/// The widest exact accumulator.
const WIDEST: f64 = 64.0;

/// An operand as the unit sees it.
#[derive(Clone, Copy)]
struct Factor {
    /// Bits that are multiplied.
    bits: u32,
    kind: Kind,
    /// How many places the significand can be shifted by.
    places: u32,
    /// The largest magnitude, in units of the smallest.
    reach: f64,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Integer,
    Bipolar,
    Ternary,
    Float { exponent_bits: u32 },
}

impl Gates {
    /// A unit for operands of these formats, which adds up so many products.
    pub(super) fn of(x: &TensorFormat, w: &TensorFormat, terms: usize) -> Self {
        let (a, b) = (Factor::of(x), Factor::of(w));
        let multiplication = multiplication(a, b);
        let sum = a.reach * b.reach * terms.max(1) as f64;
        let exact_bits = (sum + 1.0).log2().ceil() + 1.0;
        if exact_bits <= WIDEST {
            let exact_bits = exact_bits as u32;
            let floats = [a, b].iter().any(|factor| matches!(factor.kind, Kind::Float { .. }));
            let alignment = if floats { alignment(a, b) } else { 0.0 };
            let accumulation = FULL_ADDER * f64::from(exact_bits);
            return Self::parts(
                multiplication,
                alignment,
                accumulation,
                Accumulator::Exact,
                exact_bits,
            );
        }
        // Significands of 24 bits and three to round with.
        let (width, stages) = (27.0, 5.0);
        let shifter = width * stages * MULTIPLEXER;
        let swap = 2.0 * 32.0 * MULTIPLEXER + 8.0 * FULL_ADDER;
        let addition = width * (FULL_ADDER + EXCLUSIVE_OR);
        let leading_zeros = 2.0 * width;
        let rounding = 24.0 * HALF_ADDER + 8.0 * FULL_ADDER;
        let accumulation = swap + shifter + addition + leading_zeros + shifter + rounding;
        Self::parts(multiplication, 0.0, accumulation, Accumulator::Float32, 32)
    }

    fn parts(
        multiplication: f64,
        alignment: f64,
        accumulation: f64,
        accumulator: Accumulator,
        accumulator_bits: u32,
    ) -> Self {
        let total = multiplication + alignment + accumulation;
        Self { multiplication, alignment, accumulation, total, accumulator, accumulator_bits }
    }
}

impl Factor {
    fn of(format: &TensorFormat) -> Self {
        match format.format {
            Some(Format::Bipolar) => Self { bits: 1, kind: Kind::Bipolar, places: 0, reach: 1.0 },
            Some(Format::Ternary) => Self { bits: 1, kind: Kind::Ternary, places: 0, reach: 1.0 },
            Some(Format::Integer(f)) => Self::integer(f),
            Some(Format::FixedPoint(f)) => Self::integer(f.integer()),
            Some(Format::Float(f)) => {
                let largest = f64::from(f.max_value());
                let smallest = f64::from(f.smallest_subnormal());
                // Subnormals have the exponent of the smallest normal numbers.
                let places =
                    (largest.log2().floor() - f64::from(f.smallest_normal()).log2()).max(0.0);
                Self {
                    bits: f.mantissa_bit_width() + 1,
                    kind: Kind::Float { exponent_bits: f.exponent_bit_width() },
                    places: places as u32,
                    reach: largest / smallest,
                }
            }
            None => Self {
                bits: 24,
                kind: Kind::Float { exponent_bits: 8 },
                places: 253,
                reach: f64::INFINITY,
            },
        }
    }

    fn integer(format: fewbit_formats::IntegerFormat) -> Self {
        let reach = format.max().max(-format.min()) as f64;
        Self { bits: format.bit_width(), kind: Kind::Integer, places: 0, reach }
    }
}

fn multiplication(a: Factor, b: Factor) -> f64 {
    let (n, m) = (f64::from(a.bits.max(b.bits)), f64::from(a.bits.min(b.bits)));
    let array = n * m + FULL_ADDER * (n - 1.0) * (m - 1.0) + HALF_ADDER * (m - 1.0);
    let sign_alone = |kind: Kind| match kind {
        Kind::Bipolar => Some(0.0),
        Kind::Ternary => Some(1.0),
        Kind::Integer | Kind::Float { .. } => None,
    };
    let exponent = |kind: Kind| match kind {
        Kind::Float { exponent_bits } => f64::from(exponent_bits),
        _ => 0.0,
    };
    match (sign_alone(a.kind), sign_alone(b.kind)) {
        (Some(p), Some(q)) => EXCLUSIVE_OR + p + q,
        (Some(p), None) => signed(b, p),
        (None, Some(q)) => signed(a, q),
        (None, None) => {
            let (e, f) = (exponent(a.kind), exponent(b.kind));
            let floats = if e + f > 0.0 { EXCLUSIVE_OR } else { 0.0 };
            let adder = if e > 0.0 && f > 0.0 { FULL_ADDER * e.max(f) } else { 0.0 };
            array + adder + e + f + floats
        }
    }
}

/// A number that keeps or changes its sign; with a ternary factor it can also vanish.
fn signed(number: Factor, ternary: f64) -> f64 {
    match number.kind {
        Kind::Float { exponent_bits } => {
            EXCLUSIVE_OR + ternary * f64::from(number.bits) + f64::from(exponent_bits)
        }
        _ => f64::from(number.bits) * (EXCLUSIVE_OR + ternary),
    }
}

/// A shifter from the product's width to its place among all, stage by stage, and the complement of its result.
fn alignment(a: Factor, b: Factor) -> f64 {
    let product = a.bits + b.bits;
    let places = a.places + b.places;
    let (mut gates, mut stage) = (0.0, 1);
    while stage <= places {
        let width = product + (2 * stage - 1).min(places);
        gates += MULTIPLEXER * f64::from(width);
        stage *= 2;
    }
    gates + EXCLUSIVE_OR * f64::from(product + places)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gates(a: &str, b: &str, terms: usize) -> Gates {
        let format = |name: &str| match name {
            "float32" => TensorFormat::FLOAT32,
            name => TensorFormat::codes(name.parse::<Format>().unwrap()),
        };
        Gates::of(&format(a), &format(b), terms)
    }

    /// Worked out by hand after the table above.
    #[test]
    fn units() {
        let int8 = gates("int8", "int8", 1);
        assert_eq!((int8.multiplication, int8.alignment), (64.0 + 7.0 * 49.0 + 21.0, 0.0));
        // 128 * 128 = 2^14 has 15 bits.
        assert_eq!((int8.accumulator_bits, int8.accumulation), (16, 112.0));
        let bipolar = gates("bipolar", "bipolar", 64);
        assert_eq!((bipolar.multiplication, bipolar.accumulator_bits), (2.0, 8));
        assert_eq!(gates("int4", "bipolar", 1).multiplication, 8.0);
        let e3m1 = gates("e3m1", "e3m1", 4608);
        // Two bits by two, exponents, subnormals, sign.
        assert_eq!(e3m1.multiplication, 4.0 + 7.0 + 3.0 + 21.0 + 6.0 + 2.0);
        // Six places each: stages of 1, 2, 4 and 8.
        assert_eq!(e3m1.alignment, 3.0 * (5.0 + 7.0 + 11.0 + 16.0) + 2.0 * 16.0);
        // 192 * 192 * 4608 has 28 bits.
        assert_eq!((e3m1.accumulator, e3m1.accumulator_bits), (Accumulator::Exact, 29));
        let single = gates("float32", "float32", 9);
        assert_eq!((single.accumulator, single.accumulator_bits), (Accumulator::Float32, 32));
        assert!(single.multiplication > 4000.0);
    }

    #[test]
    fn fewer_bits_take_fewer_gates() {
        let row = ["bipolar", "ternary", "int4", "e3m1", "int8", "e4m3", "float32"];
        let totals: Vec<f64> = row.iter().map(|name| gates(name, name, 576).total).collect();
        assert!(totals.is_sorted(), "{totals:?}");
    }
}
