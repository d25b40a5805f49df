//! One bit and three values: bipolar and ternary numbers.

/// Where a number stops to be rounded to zero: the midpoint between 0 and 1, itself rounded to zero.
pub const TERNARY_THRESHOLD: f32 = 0.5;

/// Takes the sign: 1 where `x >= 0` (both zeros), else -1 (NaN, too).
#[inline(always)]
pub fn quantize_bipolar(x: f32) -> f32 {
    if x >= 0.0 { 1.0 } else { -1.0 }
}

/// Takes the sign where the magnitude is above `threshold`, else 0 (NaN, too).
#[inline(always)]
pub fn quantize_ternary(x: f32, threshold: f32) -> f32 {
    if x > threshold {
        1.0
    } else if x < -threshold {
        -1.0
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_the_specification() {
        let x = [-2.0, -0.51, -0.5, 0.0, 0.5, 0.51, 2.0];
        let y = x.map(|x| quantize_ternary(x, TERNARY_THRESHOLD));
        assert_eq!(y, [-1.0, -1.0, 0.0, 0.0, 0.0, 1.0, 1.0]);
        assert_eq!(
            [0.0, -0.0, 1e-45, -1e-45, f32::NAN].map(quantize_bipolar),
            [1., 1., 1., -1., -1.]
        );
    }
}
