//! What follows a sum of products: its scale, then its bias.

use crate::quantize::Scale;

/// Multiplies sums by their scale and adds a bias, each step rounded once, in place.
///
/// `y = acc * s`, skipped where `s` is 1; then `y = y + bias[c]`. Give `s` as `s_x * s_w`, rounded once.
///
/// # Shape
/// `y`: `[N, C, inner]`, with `inner` 1 after a linear layer and `H * W` after a convolution. `bias`: `[C]`.
/// # Panics
/// If `y` is no whole number of `[C, inner]` blocks.
pub fn scale_bias(y: &mut [f32], inner: usize, scale: Scale<'_>, bias: Option<&[f32]>) {
    match scale {
        Scale::PerTensor(1.0) => {}
        Scale::PerTensor(s) => {
            crate::parallel::blocks(y, |_, block| block.iter_mut().for_each(|v| *v *= s))
        }
        Scale::PerChannel { scales, inner } => {
            by_channel(y, inner, scales, |v, s| if s == 1.0 { v } else { v * s })
        }
    }
    if let Some(bias) = bias {
        by_channel(y, inner, bias, |v, b| v + b);
    }
}

/// `y = f(y, parameter of the channel)` for `y` of shape `[N, C, inner]`.
fn by_channel(y: &mut [f32], inner: usize, parameters: &[f32], f: impl Fn(f32, f32) -> f32 + Copy) {
    let channels = parameters.len();
    assert!(
        !parameters.is_empty() && inner > 0 && y.len().is_multiple_of(channels * inner),
        "{} values are no whole number of {channels} channels of {inner}",
        y.len()
    );
    if inner == 1 {
        for row in y.chunks_exact_mut(channels) {
            row.iter_mut().zip(parameters).for_each(|(v, &p)| *v = f(*v, p));
        }
    } else {
        for (i, run) in y.chunks_exact_mut(inner).enumerate() {
            let p = parameters[i % channels];
            run.iter_mut().for_each(|v| *v = f(*v, p));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_then_adds() {
        let mut y = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        scale_bias(&mut y, 1, Scale::PerTensor(0.5), Some(&[10.0, 20.0, 30.0]));
        assert_eq!(y, [10.5, 21.0, 31.5, 12.0, 22.5, 33.0]);
        let mut y = [1.0, 2.0, 3.0, 4.0];
        scale_bias(
            &mut y,
            2,
            Scale::PerChannel { scales: &[2.0, 3.0], inner: 2 },
            Some(&[1.0, -1.0]),
        );
        assert_eq!(y, [3.0, 5.0, 8.0, 11.0]);
    }
}
