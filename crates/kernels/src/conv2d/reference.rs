//! The definition of [`conv2d`](super::conv2d) and its gradients, one output after the other.

use super::Conv2dShape;
use crate::Accumulation;
use crate::matmul::reference::dot;

/// Convolution: gathers the operands of each output in the order of the contract, then [`dot`].
pub fn conv2d(
    x: &[f32],
    w: &[f32],
    y: &mut [f32],
    shape: &Conv2dShape,
    accumulation: Accumulation,
) {
    let (oh, ow) = shape.check(x.len(), w.len(), y.len());
    let (mut xs, mut ws) = (Vec::new(), Vec::new());
    let channels = shape.c / shape.groups;
    for (index, y) in y.iter_mut().enumerate() {
        let (ox, oy, o, n) =
            (index % ow, index / ow % oh, index / (ow * oh) % shape.o, index / (ow * oh * shape.o));
        let first = o / (shape.o / shape.groups) * channels;
        xs.clear();
        ws.clear();
        for ky in 0..shape.kh {
            for kx in 0..shape.kw {
                let Some((iy, ix)) = tap(shape, oy, ox, ky, kx) else { continue };
                for c in 0..channels {
                    xs.push(x[((n * shape.c + first + c) * shape.h + iy) * shape.w + ix]);
                    ws.push(w[((o * channels + c) * shape.kh + ky) * shape.kw + kx]);
                }
                if channels % 2 == 1 && accumulation == Accumulation::Paired {
                    xs.push(0.0);
                    ws.push(0.0);
                }
            }
        }
        *y = dot(&xs, &ws, accumulation);
    }
}

/// Gradient to the input, accumulated in `f64`.
pub fn conv2d_grad_input(dy: &[f32], w: &[f32], dx: &mut [f32], shape: &Conv2dShape) {
    let mut sums = vec![0.0_f64; dx.len()];
    each_product(shape, dx.len(), w.len(), dy.len(), |x, w_index, y| {
        sums[x] += f64::from(dy[y]) * f64::from(w[w_index])
    });
    dx.iter_mut().zip(sums).for_each(|(dx, sum)| *dx = sum as f32);
}

/// Gradient to the weight, accumulated in `f64`.
pub fn conv2d_grad_weight(x: &[f32], dy: &[f32], dw: &mut [f32], shape: &Conv2dShape) {
    let mut sums = vec![0.0_f64; dw.len()];
    each_product(shape, x.len(), dw.len(), dy.len(), |x_index, w, y| {
        sums[w] += f64::from(x[x_index]) * f64::from(dy[y])
    });
    dw.iter_mut().zip(sums).for_each(|(dw, sum)| *dw = sum as f32);
}

/// Calls `f(index into x, index into w, index into y)` for every product of the convolution.
fn each_product(
    shape: &Conv2dShape,
    x: usize,
    w: usize,
    y: usize,
    mut f: impl FnMut(usize, usize, usize),
) {
    let (oh, ow) = shape.check(x, w, y);
    let channels = shape.c / shape.groups;
    for index in 0..y {
        let (ox, oy, o, n) =
            (index % ow, index / ow % oh, index / (ow * oh) % shape.o, index / (ow * oh * shape.o));
        let first = o / (shape.o / shape.groups) * channels;
        for ky in 0..shape.kh {
            for kx in 0..shape.kw {
                let Some((iy, ix)) = tap(shape, oy, ox, ky, kx) else { continue };
                for c in 0..channels {
                    f(
                        ((n * shape.c + first + c) * shape.h + iy) * shape.w + ix,
                        ((o * channels + c) * shape.kh + ky) * shape.kw + kx,
                        index,
                    );
                }
            }
        }
    }
}

/// The input pixel under a tap, `None` in the padding.
fn tap(shape: &Conv2dShape, oy: usize, ox: usize, ky: usize, kx: usize) -> Option<(usize, usize)> {
    let iy = (oy * shape.stride.0 + ky * shape.dilation.0).checked_sub(shape.pad.top)?;
    let ix = (ox * shape.stride.1 + kx * shape.dilation.1).checked_sub(shape.pad.left)?;
    (iy < shape.h && ix < shape.w).then_some((iy, ix))
}
