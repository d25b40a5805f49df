//! The convolution over any number of axes: patches times kernels.

use super::product::{Linear, Stored};
use crate::error::Fault;
use crate::ops::windows::window::Axis;
use crate::ops::{Context, axes};
use crate::tensor::{Grid, Kind, Scale, Tensor};

/// `[N, M, outputs]` of a convolution whose sizes are known to fit.
///
/// The sum runs tap by tap, and inside a tap over the channels of the group, an odd one of which is followed by a zero: the order of the
/// arithmetic contract, whose pairs do not reach over taps.
pub(super) fn convolve(
    x: &Tensor,
    w: &Tensor,
    bias: Option<&[f32]>,
    windows: &[Axis],
    groups: usize,
    context: &Context,
) -> Result<Vec<f32>, Fault> {
    let (n, channels) = (x.shape()[0], x.shape()[1] / groups);
    let rows = w.shape()[0] / groups;
    let taps: usize = windows.iter().map(|axis| axis.kernel).product();
    let outputs: usize = windows.iter().map(|axis| axis.out).product();
    let plane: usize = windows.iter().map(|axis| axis.len).product();
    let even = channels.next_multiple_of(2);
    let k = taps * even;
    context.check_size(&[n, outputs, k])?;
    let (values, weights) = (x.slice::<f32>("input 0 (X)")?, w.slice::<f32>("input 1 (W)")?);
    let x_grid = x.grid().cloned().and_then(|grid| grid.if_per_tensor());
    let places = places(windows);
    let mut y = vec![0.0; n * w.shape()[0] * outputs];
    for group in 0..groups {
        let kernels = by_tap(&weights[group * rows * channels * taps..], rows, channels, taps);
        let grid = w.grid().and_then(|grid| of_rows(grid, group * rows, rows));
        let options = context.options;
        let linear = Linear::new(&kernels, [rows, k], Stored::MByK, grid.as_ref(), false, options);
        let bias = bias.map(|bias| &bias[group * rows..][..rows]);
        for item in 0..n {
            let first = (item * groups + group) * channels;
            let mut patches = vec![0.0; outputs * k];
            for (patch, places) in patches.chunks_mut(k.max(1)).zip(&places) {
                for (tap, place) in places {
                    for c in 0..channels {
                        patch[tap * even + c] = values[(first + c) * plane + place];
                    }
                }
            }
            let sums = linear.run(&patches, &[outputs, k], x_grid.as_ref(), bias);
            let first = (item * groups + group) * rows;
            for (o, sums) in sums.chunks(rows.max(1)).enumerate() {
                sums.iter().enumerate().for_each(|(m, &sum)| y[(first + m) * outputs + o] = sum);
            }
        }
    }
    Ok(y)
}

/// For each window, its taps that lie inside, and where.
pub(super) fn places(windows: &[Axis]) -> Vec<Vec<(usize, usize)>> {
    let out: Vec<usize> = windows.iter().map(|axis| axis.out).collect();
    let mut all = Vec::with_capacity(out.iter().product());
    axes::indices(&out, |index| {
        let mut places = vec![(0, 0)];
        for (axis, &i) in windows.iter().zip(index) {
            let (taps, first) = axis.taps(i);
            let mut next = Vec::with_capacity(places.len() * taps.len());
            for &(tap, place) in &places {
                next.extend(taps.clone().map(|t| {
                    let inside = (first + (t * axis.dilation) as isize) as usize;
                    (tap * axis.kernel + t, place * axis.len + inside)
                }));
            }
            places = next;
        }
        all.push(places);
    });
    all
}

/// `[rows, channels, taps]` to `[rows, taps, even number of channels]`.
fn by_tap(w: &[f32], rows: usize, channels: usize, taps: usize) -> Vec<f32> {
    let even = channels.next_multiple_of(2);
    let mut out = vec![0.0; rows * taps * even];
    for row in 0..rows {
        for c in 0..channels {
            for tap in 0..taps {
                out[(row * taps + tap) * even + c] = w[(row * channels + c) * taps + tap];
            }
        }
    }
    out
}

/// The grid of some rows of the kernels.
fn of_rows(grid: &Grid, first: usize, rows: usize) -> Option<Grid> {
    let kind: Kind = grid.kind;
    match &grid.scale {
        Scale::PerTensor(_) => Some(grid.clone()),
        Scale::PerChannel { axis: 0, scales } => {
            let scales = scales[first..first + rows].to_vec().into();
            Some(Grid { scale: Scale::PerChannel { axis: 0, scales }, kind })
        }
        Scale::PerChannel { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::conv;
    use super::*;
    use crate::Options;
    use crate::attributes::Attributes;
    use crate::ops::Inputs;
    use fewbit_onnx::proto::NodeProto;

    /// Three axes, one of them of extent 1, give the bits of two.
    #[test]
    fn agrees_with_the_kernels() {
        let node = NodeProto::default();
        let context = Context { options: Options::default(), largest: 1 << 20, batch: None };
        let series = |n: usize, a: usize| -> Vec<f32> {
            (0..n).map(|i| ((i * a % 101) as f32 - 50.0) / 7.0).collect()
        };
        let (x, w) = (series(2 * 3 * 5 * 6, 37), series(4 * 3 * 3 * 2, 53));
        let run = |x_shape: &[usize], w_shape: &[usize]| {
            let operator = conv::new(&mut Attributes::new(&node, 11)).unwrap();
            let tensors = vec![
                Some(Tensor::of(x_shape.to_vec(), x.clone())),
                Some(Tensor::of(w_shape.to_vec(), w.clone())),
            ];
            let mut inputs = Inputs::new(tensors, vec![false; 2], false);
            let y = operator.run(&mut inputs, &context).unwrap().remove(0);
            (y.shape().to_vec(), y.slice::<f32>("y").unwrap().to_vec())
        };
        let (plane, two) = run(&[2, 3, 5, 6], &[4, 3, 3, 2]);
        let (space, three) = run(&[2, 3, 1, 5, 6], &[4, 3, 1, 3, 2]);
        assert_eq!((plane, space), (vec![2, 4, 3, 5], vec![2, 4, 1, 3, 5]));
        assert_eq!(
            two.iter().map(|v| v.to_bits()).collect::<Vec<_>>(),
            three.iter().map(|v| v.to_bits()).collect::<Vec<_>>()
        );
    }
}
