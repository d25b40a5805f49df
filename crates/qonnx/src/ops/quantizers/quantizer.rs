//! What the quantizers share: parameters that are repeated over a tensor, integer ranges, and the grid of a result.

use std::sync::Arc;

use fewbit_formats::RoundingMode;
use rayon::prelude::*;

use crate::attributes::Attributes;
use crate::broadcast::{BLOCK, PARALLEL, broadcast_shape, strides};
use crate::error::Fault;
use crate::ops::axes;
use crate::tensor::{Scale, Tensor};

/// `N` parameters of a quantizer, each repeated over the tensor that is quantized.
pub(crate) struct Parameters<const N: usize> {
    values: [Arc<Vec<f32>>; N],
    strides: [Vec<usize>; N],
    shape: Vec<usize>,
    /// Neighbouring elements of the tensor that share all parameters.
    run: usize,
    /// The axes before those.
    outer: usize,
}

impl<const N: usize> Parameters<N> {
    /// Takes parameters with their names for a tensor of shape `x`.
    pub(crate) fn new(x: &[usize], tensors: [(&Tensor, &str); N]) -> Result<Self, Fault> {
        let mut values = [const { None }; N];
        let mut layout = [const { Vec::new() }; N];
        for (i, (tensor, name)) in tensors.into_iter().enumerate() {
            // One element fits every shape, whatever its rank.
            let one = tensor.len() == 1;
            if !one && broadcast_shape(x, tensor.shape()).as_deref() != Some(x) {
                let expected = format!("a shape that repeats over {x:?}");
                return Err(Fault::shape(name, tensor.shape(), expected));
            }
            layout[i] = if one { vec![0; x.len()] } else { strides(tensor.shape(), x) };
            values[i] = Some(tensor.to_f32(name)?);
        }
        let values = values.map(|values| values.unwrap_or_default());
        let varies = |axis: &usize| layout.iter().any(|strides| strides[*axis] != 0);
        let outer = (0..x.len()).rev().find(varies).map_or(0, |axis| axis + 1);
        let run = x[outer..].iter().product();
        Ok(Self { values, strides: layout, shape: x.to_vec(), run, outer })
    }

    /// The parameters, if they are the same for the whole tensor.
    pub(crate) fn uniform(&self) -> Option<[f32; N]> {
        (self.outer == 0).then(|| self.of_run(0))
    }

    /// One parameter, if it is the same for the whole tensor.
    pub(crate) fn uniform_one(&self, index: usize) -> Option<f32> {
        self.strides[index].iter().all(|&stride| stride == 0).then(|| self.values[index][0])
    }

    /// All different values of one parameter.
    pub(crate) fn all(&self, index: usize) -> &[f32] {
        &self.values[index]
    }

    /// One parameter as the scale of a grid: one value, or one for each index along one axis.
    pub(crate) fn scale(&self, index: usize) -> Option<Scale> {
        if let Some(scale) = self.uniform_one(index) {
            return Some(Scale::PerTensor(scale));
        }
        let mut axes = (0..self.shape.len()).filter(|&axis| self.strides[index][axis] != 0);
        match (axes.next(), axes.next()) {
            (Some(axis), None) => {
                Some(Scale::PerChannel { axis, scales: Arc::clone(&self.values[index]) })
            }
            _ => None,
        }
    }

    /// `f(parameters, x, y)` for stretches of elements that share their parameters.
    pub(crate) fn apply(
        &self,
        x: &[f32],
        f: impl Fn([f32; N], &[f32], &mut [f32]) + Sync,
    ) -> Vec<f32> {
        let mut y = vec![0.0; x.len()];
        if x.is_empty() {
            return y;
        }
        let block = |start: usize, y: &mut [f32]| {
            let mut done = 0;
            while done < y.len() {
                let place = start + done;
                let len = (self.run - place % self.run).min(y.len() - done);
                f(self.of_run(place / self.run), &x[place..place + len], &mut y[done..done + len]);
                done += len;
            }
        };
        if x.len() >= PARALLEL {
            y.par_chunks_mut(BLOCK).enumerate().for_each(|(i, y)| block(i * BLOCK, y));
        } else {
            block(0, &mut y);
        }
        y
    }

    fn of_run(&self, mut run: usize) -> [f32; N] {
        let mut places = [0; N];
        for axis in (0..self.outer).rev() {
            let index = run % self.shape[axis];
            run /= self.shape[axis];
            for (place, strides) in places.iter_mut().zip(&self.strides) {
                *place += index * strides[axis];
            }
        }
        std::array::from_fn(|i| self.values[i][places[i]])
    }
}

/// `f(x, y)` for blocks of a tensor whose elements share all parameters.
pub(crate) fn blocks(x: &[f32], f: impl Fn(&[f32], &mut [f32]) + Sync) -> Vec<f32> {
    let mut y = vec![0.0; x.len()];
    if x.len() >= PARALLEL {
        y.par_chunks_mut(BLOCK).zip(x.par_chunks(BLOCK)).for_each(|(y, x)| f(x, y));
    } else {
        f(x, &mut y);
    }
    y
}

/// The range of integers of a bit width, which need not be whole: `-2^(b-1) ..= 2^(b-1) - 1` or `0 ..= 2^b - 1`, one less if narrow.
pub(crate) fn integer_range(bit_width: f32, signed: bool, narrow: bool) -> (f32, f32) {
    let power = |exponent: f32| f64::from(exponent).exp2() as f32;
    if signed {
        let half = power(bit_width - 1.0);
        (if narrow { -half + 1.0 } else { -half }, half - 1.0)
    } else {
        (0.0, power(bit_width) - if narrow { 2.0 } else { 1.0 })
    }
}

/// Reads a rounding mode, in upper or lower case.
pub(crate) fn rounding_mode(
    attributes: &mut Attributes<'_>,
) -> Result<Option<RoundingMode>, Fault> {
    let Some(name) = attributes.string("rounding_mode")? else { return Ok(None) };
    let mode = name.parse().map_err(|_| {
        let known: Vec<&str> = RoundingMode::ALL.iter().map(|mode| mode.name()).collect();
        let expected = format!("ROUND or one of {}", known.join(", "));
        Fault::value("attribute \"rounding_mode\"", format_args!("{name:?}"), expected)
    })?;
    Ok(Some(mode))
}

/// Rounds each element in place. Rounding to nearest even is exact up to `2^23`, beyond which every `f32` is an integer.
pub(crate) fn round(values: &mut [f32], mode: RoundingMode) {
    if mode != RoundingMode::HalfEven {
        return values.iter_mut().for_each(|v| {
            let rounded = mode.apply(*v);
            *v = if rounded == 0.0 { zero(mode, *v) } else { rounded };
        });
    }
    const UNIT: f32 = 8_388_608.0;
    for v in values {
        let magnitude = v.abs();
        // Without a branch, so that it vectorizes for every machine.
        let rounded = (magnitude + UNIT) - UNIT;
        let chosen = if magnitude < UNIT { rounded } else { magnitude };
        *v = chosen.copysign(*v);
    }
}

/// The zero to which qonnx rounds `v`: it multiplies the sign of `v`, +0 for both zeros, by the rounded magnitude.
pub(crate) fn zero(mode: RoundingMode, v: f32) -> f32 {
    match mode {
        RoundingMode::HalfEven | RoundingMode::Ceil | RoundingMode::Floor | RoundingMode::Down => {
            0.0f32.copysign(v)
        }
        RoundingMode::Up | RoundingMode::HalfUp => {
            if v < 0.0 {
                -0.0
            } else {
                0.0
            }
        }
        // The magnitude less one half is rounded up, to -0 but for a tie.
        RoundingMode::HalfDown => {
            let magnitude = (v.abs() - 0.5).ceil();
            if v < 0.0 { -magnitude } else { magnitude }
        }
    }
}

/// NaN stays.
#[inline(always)]
pub(crate) fn clip(v: f32, min: f32, max: f32) -> f32 {
    let v = if v > max { max } else { v };
    if v < min { min } else { v }
}

/// True if every axis of the parameters but the batch may vary: the rule of all quantizers.
pub(crate) fn keeps_batch(inputs: &[crate::ops::Input<'_>]) -> bool {
    inputs.split_first().is_some_and(|(x, rest)| {
        x.batched()
            && rest.iter().all(|input| {
                input.role == crate::ops::Role::Fixed
                    && (input.shape.iter().product::<usize>() == 1
                        || input.shape.len() < x.shape.len()
                        || input.shape.first() == Some(&1))
            })
    })
}

/// Where the channels of a tensor are: [`axes::Along`] that axis.
pub(crate) fn channels(shape: &[usize], axis: usize) -> axes::Along {
    axes::Along::new(shape, axis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_repeat_like_numpy() {
        let x: Vec<f32> = (0..24).map(|i| i as f32).collect();
        let a = Tensor::of(vec![3, 1], vec![10.0f32, 20.0, 30.0]);
        let b = Tensor::of(vec![1, 1, 1, 1], vec![1.0f32]);
        let c = Tensor::of(vec![2, 1, 1], vec![0.5f32, 0.25]);
        let parameters = Parameters::new(&[2, 3, 4], [(&a, "a"), (&b, "b"), (&c, "c")]).unwrap();
        let y = parameters.apply(&x, |[a, b, c], x, y| {
            y.iter_mut().zip(x).for_each(|(y, x)| *y = x * 0.0 + a + b + c);
        });
        assert_eq!(y[..5], [11.5, 11.5, 11.5, 11.5, 21.5]);
        assert_eq!(y[23], 31.25);
        assert!(parameters.uniform().is_none());
        assert_eq!(parameters.uniform_one(1), Some(1.0));
        assert_eq!(parameters.scale(1), Some(Scale::PerTensor(1.0)));
        let scales = Arc::new(vec![10.0, 20.0, 30.0]);
        assert_eq!(parameters.scale(0), Some(Scale::PerChannel { axis: 1, scales }));
        assert!(Parameters::new(&[2, 4], [(&a, "a")]).is_err());
    }

    #[test]
    fn large_tensors_in_blocks() {
        let shape = [7, 300, 101];
        let x: Vec<f32> = (0..7 * 300 * 101).map(|i| i as f32).collect();
        let scales: Vec<f32> = (0..300).map(|c| c as f32).collect();
        let scale = Tensor::of(vec![300, 1], scales);
        let parameters = Parameters::new(&shape, [(&scale, "scale")]).unwrap();
        let y = parameters.apply(&x, |[s], x, y| {
            y.iter_mut().zip(x).for_each(|(y, x)| *y = x + s);
        });
        assert!(y.iter().enumerate().all(|(i, &y)| y == (i as f32) + (i / 101 % 300) as f32));
    }

    #[test]
    fn ranges() {
        assert_eq!(integer_range(4.0, true, false), (-8.0, 7.0));
        assert_eq!(integer_range(4.0, true, true), (-7.0, 7.0));
        assert_eq!(integer_range(4.0, false, false), (0.0, 15.0));
        assert_eq!(integer_range(4.0, false, true), (0.0, 14.0));
        assert_eq!(integer_range(7.5, true, false), (-90.509_67, 89.509_67));
    }

    #[test]
    fn rounding_is_half_even_everywhere() {
        let mut values =
            [0.5, 1.5, -2.5, -0.3, 8_388_607.5, 8_388_609.0, -3e38, f32::INFINITY, f32::NAN, -0.0];
        let expected = values.map(f32::round_ties_even);
        round(&mut values, RoundingMode::HalfEven);
        for (found, expected) in values.iter().zip(expected) {
            assert_eq!(found.is_nan(), expected.is_nan());
            assert!(found.is_nan() || found.to_bits() == expected.to_bits(), "{found} {expected}");
        }
    }
}
