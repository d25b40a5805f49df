//! Scales that are powers of two.

use serde::{Deserialize, Serialize};

/// To which power of two a threshold is moved, if to any.
///
/// # Examples
/// ```
/// use fewbit_nn::quantizer::Restriction;
///
/// assert_eq!(Restriction::Ceil.apply(5.0), 8.0);
/// assert_eq!(Restriction::Round.apply(5.0), 4.0);
/// assert_eq!(Restriction::Round.apply(5.8), 8.0);
/// assert_eq!(Restriction::None.apply(5.0), 5.0);
/// ```
/// # Source
/// formats.md 1.16.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Restriction {
    /// It stays as it is.
    #[default]
    #[serde(rename = "float")]
    None,
    /// To the nearest in the logarithm: `2^round(log2 x)`, as Brevitas.
    #[serde(rename = "power_of_two")]
    Round,
    /// To the next that is not smaller: nothing is clipped that was not clipped before.
    #[serde(rename = "power_of_two_ceil")]
    Ceil,
    /// To the next that is not larger, as the scales of MX formats.
    #[serde(rename = "power_of_two_floor")]
    Floor,
}

impl Restriction {
    /// The threshold that is used instead of a positive `x`. Zero, infinity and NaN stay.
    pub fn apply(self, x: f32) -> f32 {
        if self == Self::None || !(x > 0.0 && x.is_finite()) {
            return x;
        }
        // Every f32 is a normal f64: its exponent is in the bits.
        let bits = f64::from(x).to_bits();
        let below = f64::from_bits(bits & !((1 << 52) - 1));
        let ratio = f64::from(x) / below;
        let up = match self {
            Self::None | Self::Floor => false,
            Self::Ceil => ratio > 1.0,
            // No f32 is the square root of two: there are no ties.
            Self::Round => ratio > std::f64::consts::SQRT_2,
        };
        (if up { 2.0 * below } else { below }) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_of_powers_of_two() {
        for exponent in -149..=127 {
            let power = f64::from(exponent).exp2() as f32;
            for restriction in [Restriction::Round, Restriction::Ceil, Restriction::Floor] {
                assert_eq!(restriction.apply(power), power);
            }
            if exponent > -125 {
                assert_eq!(Restriction::Floor.apply(power.next_down()), power / 2.0);
                assert_eq!(Restriction::Ceil.apply(power.next_down()), power);
                assert_eq!(Restriction::Round.apply(power.next_down()), power);
                assert_eq!(Restriction::Round.apply(power.next_up()), power);
            }
        }
        assert_eq!(Restriction::Ceil.apply(1.0_f32.next_up()), 2.0);
        let root = std::f32::consts::SQRT_2;
        assert_eq!(Restriction::Round.apply(root.next_down()), 1.0);
        assert_eq!(Restriction::Round.apply(root.next_up()), 2.0);
    }
}
