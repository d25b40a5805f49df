//! Two-dimensional pooling without padding; what does not fill a window at the right or bottom edge is left out.

use crate::isa::{Level, multiversion};
use crate::parallel;

/// Sizes of a pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool2dShape {
    /// Planes: images times channels.
    pub planes: usize,
    /// Height of the input.
    pub h: usize,
    /// Width of the input.
    pub w: usize,
    /// Height and width of the window.
    pub kernel: (usize, usize),
    /// Distance of neighbouring windows, (vertical, horizontal).
    pub stride: (usize, usize),
}

impl Pool2dShape {
    /// Height and width of the output, `None` if a size is zero or the window is larger than the input.
    pub fn output_size(&self) -> Option<(usize, usize)> {
        let along = |len: usize, kernel: usize, stride: usize| {
            if kernel == 0 || stride == 0 {
                None
            } else {
                Some(len.checked_sub(kernel)? / stride + 1)
            }
        };
        Some((
            along(self.h, self.kernel.0, self.stride.0)?,
            along(self.w, self.kernel.1, self.stride.1)?,
        ))
    }

    fn check(&self, x: usize, y: usize) -> (usize, usize) {
        let Some((oh, ow)) = self.output_size() else { panic!("no output for {self:?}") };
        assert_eq!(
            (x, y),
            (self.planes * self.h * self.w, self.planes * oh * ow),
            "input and output of {self:?}"
        );
        (oh, ow)
    }
}

/// Takes the largest value of each window; with it where it is, as an index into `x`: the first in scan order.
///
/// NaN is larger than everything, as in PyTorch.
///
/// # Shape
/// `x`: `[planes, H, W]`, `y` and the result: `[planes, OH, OW]`.
/// # Panics
/// If a slice has another length, or the shape has no output.
pub fn max(x: &[f32], y: &mut [f32], shape: &Pool2dShape) -> Vec<u32> {
    let (oh, ow) = shape.check(x.len(), y.len());
    assert!(u32::try_from(x.len()).is_ok(), "{} values cannot be indexed by 32 bits", x.len());
    let mut index = vec![0; y.len()];
    let level = Level::current();
    let in_pairs = (shape.kernel, shape.stride) == ((2, 2), (2, 2));
    let plane = |p: usize, y: &mut [f32], index: &mut [u32]| {
        if in_pairs {
            for oy in 0..oh {
                let first = (p * shape.h + 2 * oy) * shape.w;
                let (top, bottom) = x[first..][..2 * shape.w].split_at(shape.w);
                let (y, index) = (&mut y[oy * ow..][..ow], &mut index[oy * ow..][..ow]);
                largest_of_four(level, top, bottom, first as u32, y, index);
            }
            return;
        }
        for oy in 0..oh {
            for ox in 0..ow {
                let mut best = (p * shape.h + oy * shape.stride.0) * shape.w + ox * shape.stride.1;
                for i in window(shape, p, oy, ox) {
                    if x[i] > x[best] || (x[i].is_nan() && !x[best].is_nan()) {
                        best = i;
                    }
                }
                y[oy * ow + ox] = x[best];
                index[oy * ow + ox] = best as u32;
            }
        }
    };
    if parallel::pays(x.len()) {
        use rayon::prelude::*;
        y.par_chunks_mut(oh * ow)
            .zip(index.par_chunks_mut(oh * ow))
            .enumerate()
            .for_each(|(p, (y, index))| plane(p, y, index));
    } else {
        y.chunks_mut(oh * ow)
            .zip(index.chunks_mut(oh * ow))
            .enumerate()
            .for_each(|(p, (y, index))| plane(p, y, index));
    }
    index
}

multiversion! {
    /// The largest of each 2 x 2 square of two rows.
    fn largest_of_four(level, top: &[f32], bottom: &[f32], first: u32, y: &mut [f32], index: &mut [u32]) {
        let width = top.len() as u32;
        let (top, bottom) = (top.as_chunks::<2>().0, bottom.as_chunks::<2>().0);
        let len = y.len();
        let (top, bottom, index) = (&top[..len], &bottom[..len], &mut index[..len]);
        for i in 0..len {
            let at = first + 2 * i as u32;
            let best = larger((top[i][0], at), (top[i][1], at + 1));
            let best = larger(best, (bottom[i][0], at + width));
            let best = larger(best, (bottom[i][1], at + width + 1));
            (y[i], index[i]) = best;
        }
    }
}

/// The first of two values with their places, unless the second is larger. NaN is larger than everything.
#[inline(always)]
fn larger(a: (f32, u32), b: (f32, u32)) -> (f32, u32) {
    let takes_b = (b.0 > a.0) | (b.0.is_nan() & !a.0.is_nan());
    if takes_b { b } else { a }
}

/// Gradient of [`max`]: each `dy` goes to the value that was taken.
///
/// # Shape
/// As those of [`max`].
/// # Panics
/// If a slice has another length, or `index` points outside of the plane.
pub fn max_grad(dy: &[f32], index: &[u32], dx: &mut [f32], shape: &Pool2dShape) {
    let (oh, ow) = shape.check(dx.len(), dy.len());
    assert_eq!(dy.len(), index.len(), "gradient and index of a pooling");
    let (plane_len, total) = (shape.h * shape.w, dx.len());
    parallel_planes(dx, plane_len, total, |p, dx| {
        dx.fill(0.0);
        let taken = p * oh * ow..(p + 1) * oh * ow;
        for (dy, &i) in dy[taken.clone()].iter().zip(&index[taken]) {
            dx[i as usize - p * plane_len] += dy;
        }
    });
}

/// Averages each window: the `f32` sum in scan order, divided by the size of the window.
///
/// # Shape
/// `x`: `[planes, H, W]`, `y`: `[planes, OH, OW]`.
/// # Panics
/// If a slice has another length, or the shape has no output.
pub fn average(x: &[f32], y: &mut [f32], shape: &Pool2dShape) {
    let (oh, ow) = shape.check(x.len(), y.len());
    let count = (shape.kernel.0 * shape.kernel.1) as f32;
    parallel_planes(y, oh * ow, x.len(), |p, y| {
        for oy in 0..oh {
            for ox in 0..ow {
                y[oy * ow + ox] =
                    window(shape, p, oy, ox).fold(0.0_f32, |sum, i| sum + x[i]) / count;
            }
        }
    });
}

/// Gradient of [`average`]: `dy` divided by the size of the window goes to each value in it.
///
/// # Shape
/// `dy`: `[planes, OH, OW]`, `dx`: `[planes, H, W]`.
/// # Panics
/// If a slice has another length, or the shape has no output.
pub fn average_grad(dy: &[f32], dx: &mut [f32], shape: &Pool2dShape) {
    let (oh, ow) = shape.check(dx.len(), dy.len());
    let count = (shape.kernel.0 * shape.kernel.1) as f32;
    let total = dx.len();
    parallel_planes(dx, shape.h * shape.w, total, |p, dx| {
        dx.fill(0.0);
        for oy in 0..oh {
            for ox in 0..ow {
                let part = dy[(p * oh + oy) * ow + ox] / count;
                for i in window(shape, 0, oy, ox) {
                    dx[i] += part;
                }
            }
        }
    });
}

/// Indices of a window's values, in scan order.
#[inline]
fn window(
    shape: &Pool2dShape,
    plane: usize,
    oy: usize,
    ox: usize,
) -> impl Iterator<Item = usize> + use<> {
    let (w, kw) = (shape.w, shape.kernel.1);
    let first = (plane * shape.h + oy * shape.stride.0) * w + ox * shape.stride.1;
    (0..shape.kernel.0).flat_map(move |ky| (0..kw).map(move |kx| first + ky * w + kx))
}

fn parallel_planes(
    out: &mut [f32],
    size: usize,
    work: usize,
    plane: impl Fn(usize, &mut [f32]) + Sync,
) {
    if out.is_empty() {
        return;
    }
    if parallel::pays(work) {
        use rayon::prelude::*;
        out.par_chunks_mut(size).enumerate().for_each(|(p, out)| plane(p, out));
    } else {
        out.chunks_mut(size).enumerate().for_each(|(p, out)| plane(p, out));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Pool2dShape =
        Pool2dShape { planes: 2, h: 3, w: 5, kernel: (2, 2), stride: (2, 2) };

    #[test]
    fn max_takes_the_first_of_equals() {
        let mut x = [0.0; 30];
        (x[1], x[5], x[8]) = (2.0, 2.0, -1.0);
        (x[2], x[3], x[7]) = (-2.0, -1.0, -1.0);
        x[15 + 6] = f32::NAN;
        let mut y = [9.0; 4];
        let index = max(&x, &mut y, &SHAPE);
        assert_eq!(index, [1, 3, 21, 17]);
        assert_eq!(y[..2], [2.0, -1.0]);
        assert!(y[2].is_nan());
        let mut dx = [9.0; 30];
        max_grad(&[1.0, 2.0, 3.0, 4.0], &index, &mut dx, &SHAPE);
        assert_eq!((dx[1], dx[3], dx[21], dx[17]), (1.0, 2.0, 3.0, 4.0));
        assert_eq!(dx.iter().sum::<f32>(), 10.0);
    }

    #[test]
    fn overlapping_windows_add_their_gradients() {
        let shape = Pool2dShape { planes: 1, h: 1, w: 4, kernel: (1, 2), stride: (1, 1) };
        let mut y = [0.0; 3];
        let x = [1.0, 5.0, 2.0, 3.0];
        let index = max(&x, &mut y, &shape);
        let mut dx = [0.0; 4];
        max_grad(&[1.0, 2.0, 4.0], &index, &mut dx, &shape);
        assert_eq!((y, dx), ([5.0, 5.0, 3.0], [0.0, 3.0, 0.0, 4.0]));
        average(&x, &mut y, &shape);
        average_grad(&[1.0, 2.0, 4.0], &mut dx, &shape);
        assert_eq!((y, dx), ([3.0, 3.5, 2.5], [0.5, 1.5, 3.0, 2.0]));
    }

    #[test]
    fn average_leaves_out_the_edge() {
        let x: Vec<f32> = (0..30).map(|i| i as f32).collect();
        let mut y = [0.0; 4];
        average(&x, &mut y, &SHAPE);
        assert_eq!(y, [3.0, 5.0, 18.0, 20.0]);
        assert_eq!(Pool2dShape { kernel: (4, 1), ..SHAPE }.output_size(), None);
        assert_eq!(Pool2dShape { stride: (0, 1), ..SHAPE }.output_size(), None);
    }
}
