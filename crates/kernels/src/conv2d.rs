//! Two-dimensional convolution (cross-correlation, zero padding) under the arithmetic contract, and its gradients.

mod forward;
mod grad_input;
mod grad_weight;
mod image;
pub mod reference;
mod taps;
pub(crate) use taps::Filters;
mod winograd;

use crate::Accumulation;
use crate::isa::Level;

/// Zeros around an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Padding {
    /// Rows above.
    pub top: usize,
    /// Columns to the left.
    pub left: usize,
    /// Rows below.
    pub bottom: usize,
    /// Columns to the right.
    pub right: usize,
}

impl Padding {
    /// The same padding on all four sides.
    pub fn same(padding: usize) -> Self {
        Self { top: padding, left: padding, bottom: padding, right: padding }
    }
}

/// Sizes of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dShape {
    /// Images.
    pub n: usize,
    /// Input channels, of all groups together.
    pub c: usize,
    /// Height of the input.
    pub h: usize,
    /// Width of the input.
    pub w: usize,
    /// Output channels, of all groups together.
    pub o: usize,
    /// Height of the kernel.
    pub kh: usize,
    /// Width of the kernel.
    pub kw: usize,
    /// Distance of neighbouring outputs, (vertical, horizontal), in input pixels.
    pub stride: (usize, usize),
    /// Zeros around the input.
    pub pad: Padding,
    /// Distance of neighbouring taps, (vertical, horizontal), in input pixels.
    pub dilation: (usize, usize),
    /// Number of groups; it divides `c` and `o`.
    pub groups: usize,
}

impl Conv2dShape {
    /// Height and width of the output, `None` if a size is zero or does not fit (a kernel larger than the padded input).
    pub fn output_size(&self) -> Option<(usize, usize)> {
        let along = |len: usize,
                     before: usize,
                     after: usize,
                     kernel: usize,
                     stride: usize,
                     dilation: usize| {
            if kernel == 0 || stride == 0 || dilation == 0 {
                return None;
            }
            let padded = len.checked_add(before)?.checked_add(after)?;
            let extent = (kernel - 1).checked_mul(dilation)?.checked_add(1)?;
            Some(padded.checked_sub(extent)? / stride + 1)
        };
        Some((
            along(self.h, self.pad.top, self.pad.bottom, self.kh, self.stride.0, self.dilation.0)?,
            along(self.w, self.pad.left, self.pad.right, self.kw, self.stride.1, self.dilation.1)?,
        ))
    }

    /// Checks sizes and slice lengths; the height and width of the output.
    pub(crate) fn check(&self, x: usize, w: usize, y: usize) -> (usize, usize) {
        let Some((oh, ow)) = self.output_size() else { panic!("no output for {self:?}") };
        assert!(
            self.groups > 0
                && self.c.is_multiple_of(self.groups)
                && self.o.is_multiple_of(self.groups),
            "groups do not divide the channels of {self:?}"
        );
        assert_eq!(x, self.n * self.c * self.h * self.w, "input of {self:?}");
        assert_eq!(w, self.o * (self.c / self.groups) * self.kh * self.kw, "weight of {self:?}");
        assert_eq!(y, self.n * self.o * oh * ow, "output of {self:?}");
        (oh, ow)
    }
}

/// Convolves `x` with `w` into `y`, summed as `accumulation` says.
///
/// The order over which is summed: tap by tap (kernel row, then kernel column), inside a tap over the group's input channels, ascending;
/// [`Accumulation::Paired`] pairs channels inside a tap (an odd channel at the end pairs with zero). Padded taps add nothing.
///
/// # Shape
/// `x`: `[N, C, H, W]`, `w`: `[O, C / groups, KH, KW]`, `y`: `[N, O, OH, OW]` ([`Conv2dShape::output_size`]).
/// # Panics
/// If a slice has another length, or the shape has no output.
pub fn conv2d(
    x: &[f32],
    w: &[f32],
    y: &mut [f32],
    shape: &Conv2dShape,
    accumulation: Accumulation,
) {
    forward::convolve(Level::current(), x, w, y, shape, accumulation);
}

/// Gradient of [`conv2d`] to its input: `dx` from `dy`.
///
/// Each value is one chain of fused multiply-adds in `f32`, or is found by Winograd's filtering if that is faster. Deterministic and
/// independent of the number of threads and of the instruction set.
///
/// # Shape
/// `dy`: `[N, O, OH, OW]`, `w`: `[O, C / groups, KH, KW]`, `dx`: `[N, C, H, W]`.
/// # Panics
/// If a slice has another length, or the shape has no output.
pub fn conv2d_grad_input(dy: &[f32], w: &[f32], dx: &mut [f32], shape: &Conv2dShape) {
    grad_input::either_way(Level::current(), dy, w, dx, shape);
}

/// Gradient of [`conv2d`] to its weight: `dw` from `dy` and the input.
///
/// Each value is a sum of a few chains of fused multiply-adds in `f32`, one for each fixed part of the batch, or is found by Winograd's
/// filtering if that is faster. Deterministic and independent of the number of threads and of the instruction set.
///
/// # Shape
/// `x`: `[N, C, H, W]`, `dy`: `[N, O, OH, OW]`, `dw`: `[O, C / groups, KH, KW]`.
/// # Panics
/// If a slice has another length, or the shape has no output.
pub fn conv2d_grad_weight(x: &[f32], dy: &[f32], dw: &mut [f32], shape: &Conv2dShape) {
    grad_weight::either_way(Level::current(), x, dy, dw, shape);
}

#[cfg(test)]
mod tests;
