//! How a number between two values of a format, or beyond all of them, is rounded.

use std::fmt;
use std::str::FromStr;

use crate::Error;

/// A way to round to an integer, or to a multiple of a step; the ones of the QONNX operators.
///
/// | | 2.5 | -2.5 | 1.1 | -1.1 | -1.6 |
/// |---|---|---|---|---|---|
/// | `HalfEven` | 2 | -2 | 1 | -1 | -2 |
/// | `Ceil` | 3 | -2 | 2 | -1 | -1 |
/// | `Floor` | 2 | -3 | 1 | -2 | -2 |
/// | `Up` | 3 | -3 | 2 | -2 | -2 |
/// | `Down` | 2 | -2 | 1 | -1 | -1 |
/// | `HalfUp` | 3 | -3 | 1 | -1 | -2 |
/// | `HalfDown` | 2 | -2 | 1 | -1 | -2 |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RoundingMode {
    /// To the nearest, ties to even. QONNX also calls it `ROUND`.
    #[default]
    HalfEven,
    /// Toward positive infinity.
    Ceil,
    /// Toward negative infinity.
    Floor,
    /// Away from zero.
    Up,
    /// Toward zero.
    Down,
    /// To the nearest, ties away from zero.
    HalfUp,
    /// To the nearest, ties toward zero.
    HalfDown,
}

impl RoundingMode {
    /// Every mode, once.
    pub const ALL: [Self; 7] = [
        Self::HalfEven,
        Self::Ceil,
        Self::Floor,
        Self::Up,
        Self::Down,
        Self::HalfUp,
        Self::HalfDown,
    ];

    /// Rounds to an integer. The sign stays, of zero and of what becomes zero; NaN and infinities stay.
    ///
    /// Exact for every `x`: qonnx adds and subtracts 0.5 in `f32` and so takes 0.49999997 up to 1 by `HALF_UP`.
    pub fn apply(self, x: f32) -> f32 {
        // An integer below 2^24 or the number itself, so the conversion is exact.
        self.apply_f64(f64::from(x)) as f32
    }

    /// As [`RoundingMode::apply`], for numbers of at most 24 significant bits.
    #[inline]
    pub(crate) fn apply_f64(self, x: f64) -> f64 {
        let magnitude = x.abs();
        let rounded = match self {
            Self::HalfEven => return x.round_ties_even(),
            Self::Ceil => return x.ceil(),
            Self::Floor => return x.floor(),
            Self::Down => return x.trunc(),
            Self::Up => magnitude.ceil(),
            Self::HalfUp => (magnitude + 0.5).floor(),
            Self::HalfDown => (magnitude - 0.5).ceil(),
        };
        rounded.copysign(x)
    }

    /// The name that QONNX files use.
    pub fn name(self) -> &'static str {
        match self {
            Self::HalfEven => "HALF_EVEN",
            Self::Ceil => "CEIL",
            Self::Floor => "FLOOR",
            Self::Up => "UP",
            Self::Down => "DOWN",
            Self::HalfUp => "HALF_UP",
            Self::HalfDown => "HALF_DOWN",
        }
    }
}

impl fmt::Display for RoundingMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for RoundingMode {
    type Err = Error;

    /// Reads a QONNX name in upper or lower case; `ROUND` is [`RoundingMode::HalfEven`].
    fn from_str(name: &str) -> Result<Self, Error> {
        if name.eq_ignore_ascii_case("ROUND") {
            return Ok(Self::HalfEven);
        }
        Self::ALL
            .into_iter()
            .find(|mode| name.eq_ignore_ascii_case(mode.name()))
            .ok_or_else(|| Error::unknown_rounding_mode(name))
    }
}

/// What becomes of a number that rounds to more than the largest value of a minifloat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Overflow {
    /// It becomes the largest value, with its sign.
    #[default]
    Saturate,
    /// It becomes infinity, with its sign.
    Infinity,
    /// It becomes NaN.
    Nan,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_of_the_specification() {
        let x = [2.5, -2.5, 1.1, -1.1, -1.6];
        let table = [
            ("ROUND", [2.0, -2.0, 1.0, -1.0, -2.0]),
            ("half_even", [2.0, -2.0, 1.0, -1.0, -2.0]),
            ("CEIL", [3.0, -2.0, 2.0, -1.0, -1.0]),
            ("FLOOR", [2.0, -3.0, 1.0, -2.0, -2.0]),
            ("UP", [3.0, -3.0, 2.0, -2.0, -2.0]),
            ("Down", [2.0, -2.0, 1.0, -1.0, -1.0]),
            ("HALF_UP", [3.0, -3.0, 1.0, -1.0, -2.0]),
            ("HALF_DOWN", [2.0, -2.0, 1.0, -1.0, -2.0]),
        ];
        for (name, expected) in table {
            let mode: RoundingMode = name.parse().unwrap();
            assert_eq!(x.map(|x| mode.apply(x)), expected, "{name}");
        }
    }

    #[test]
    fn signs_and_specials_stay() {
        for mode in RoundingMode::ALL {
            assert_eq!(mode.apply(-0.0).to_bits(), (-0.0_f32).to_bits(), "{mode}");
            assert_eq!(mode.apply(0.0).to_bits(), 0, "{mode}");
            assert!(mode.apply(f32::NAN).is_nan(), "{mode}");
            assert_eq!(mode.apply(f32::NEG_INFINITY), f32::NEG_INFINITY, "{mode}");
            assert_eq!(mode.apply(f32::MAX), f32::MAX, "{mode}");
            assert_eq!(mode.apply(8_388_609.0), 8_388_609.0, "{mode}");
        }
    }

    #[test]
    fn just_below_a_half_is_below_a_half() {
        let x = 0.5_f32.next_down();
        assert_eq!(RoundingMode::HalfUp.apply(x), 0.0);
        assert_eq!(RoundingMode::HalfDown.apply(0.5_f32.next_up()), 1.0);
        assert_eq!(RoundingMode::HalfDown.apply(1e-40), 0.0);
        assert_eq!(RoundingMode::Up.apply(-1e-40), -1.0);
    }

    #[test]
    fn unknown_names_are_refused() {
        for name in ["", "ROUND_TO_ZERO", "DPU", "HALFUP"] {
            assert!(name.parse::<RoundingMode>().is_err(), "{name}");
        }
    }
}
