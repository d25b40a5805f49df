//! MultiThreshold.

use fewbit_kernels::program::{Lanes, Step, Thresholds};
use rayon::prelude::*;

use super::quantizer;
use crate::attributes::Attributes;
use crate::broadcast::PARALLEL;
use crate::error::Fault;
use crate::ops::planned::step;
use crate::ops::{Context, Input, Inputs, Operator, Planned, Role, Site};
use crate::tensor::{Grid, Scale, Tensor, examine};

/// `y = out_scale * (number of thresholds of the channel that are at most x) + out_bias`.
#[derive(Debug)]
struct MultiThreshold {
    out_scale: f32,
    out_bias: f32,
    /// Place of `C` in the layout's name; without a layout, by the rank.
    channel_axis: Option<usize>,
}

pub(crate) fn new(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    if attributes.string("out_dtype")?.is_none() {
        return Err(Fault::missing("attribute \"out_dtype\""));
    }
    let layout = attributes.string("data_layout")?.unwrap_or("");
    Ok(Box::new(MultiThreshold {
        out_scale: attributes.float("out_scale")?.unwrap_or(1.0),
        out_bias: attributes.float("out_bias")?.unwrap_or(0.0),
        channel_axis: (!layout.is_empty()).then(|| layout.find('C').unwrap_or(1)),
    }))
}

impl MultiThreshold {
    fn axis(&self, rank: usize) -> usize {
        // qonnx takes three axes as N, W, C.
        self.channel_axis.unwrap_or(if rank == 3 { 2 } else { 1 })
    }
}

impl Operator for MultiThreshold {
    fn run(&self, inputs: &mut Inputs, _: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(2)?;
        let (v, thresholds) = (inputs.take(0, "V")?, inputs.take(1, "thresholds")?);
        let axis = self.axis(v.shape().len());
        if axis >= v.shape().len() {
            let expected = format!("channels along axis {axis}");
            return Err(Fault::shape("input 0 (V)", v.shape(), expected));
        }
        let channels = quantizer::channels(v.shape(), axis);
        let count = match *thresholds.shape() {
            [rows, count] if rows == channels.len || rows == 1 => count,
            _ => {
                let expected = format!("[{}, any] or [1, any]", channels.len);
                return Err(Fault::shape("input 1 (thresholds)", thresholds.shape(), expected));
            }
        };
        let rows = thresholds.shape()[0];
        let table = thresholds.to_f32("input 1 (thresholds)")?;
        let sorted = count == 0 || table.chunks(count).all(|row| row.is_sorted());
        let level = |row: &[f32], v: f32| {
            let passed = if sorted && !v.is_nan() {
                row.partition_point(|&t| v >= t)
            } else {
                row.iter().filter(|&&t| v >= t).count()
            };
            self.out_scale * passed as f32 + self.out_bias
        };
        let x = v.slice::<f32>("input 0 (V)")?;
        let mut y = vec![0.0; x.len()];
        if !x.is_empty() {
            let run = |(i, (y, x)): (usize, (&mut [f32], &[f32]))| {
                let row = if rows == 1 { 0 } else { i % channels.len };
                let row = &table[row * count..][..count];
                y.iter_mut().zip(x).for_each(|(y, &v)| *y = level(row, v));
            };
            if x.len() >= PARALLEL {
                y.par_chunks_mut(channels.inner)
                    .zip(x.par_chunks(channels.inner))
                    .enumerate()
                    .for_each(run);
            } else {
                y.chunks_mut(channels.inner)
                    .zip(x.chunks(channels.inner))
                    .enumerate()
                    .for_each(run);
            }
        }
        Ok(vec![Tensor::of(v.shape().to_vec(), y).with_grid(self.grid(count))])
    }

    fn planned(&self, site: &Site<'_>) -> Option<Planned> {
        let thresholds = (*site.constants.get(1)?)?;
        if !site.only_first() || self.axis(site.shape.len()) != 1 {
            return None;
        }
        let &[rows, count] = thresholds.shape() else { return None };
        let table = thresholds.to_f32("input 1 (thresholds)").ok()?;
        if !(rows == 1 || rows == site.shape[1]) || !(1..=MOST_PLANNED).contains(&count) {
            return None;
        }
        let level = |i: usize| {
            let level: Vec<f32> = table.iter().skip(i).step_by(count).copied().collect();
            if let [one] = level.as_slice() { Lanes::one(*one) } else { Lanes::many(&level) }
        };
        let levels = (0..count).map(level).collect();
        step(Step::Thresholds(Thresholds { levels, scale: self.out_scale, bias: self.out_bias }))
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], output: &[usize]) -> bool {
        inputs[0].batched()
            && inputs[1..].iter().all(|input| input.role == Role::Fixed)
            && self.axis(output.len()) != 0
    }
}

/// Thresholds of a channel that a plan compares one by one.
const MOST_PLANNED: usize = 255;

impl MultiThreshold {
    fn grid(&self, count: usize) -> Option<Grid> {
        if self.out_bias == 0.0 {
            return Grid::integer(Scale::PerTensor(self.out_scale), count as f64);
        }
        if count > 1 << 16 {
            return None;
        }
        let levels: Vec<f32> =
            (0..=count).map(|passed| self.out_scale * passed as f32 + self.out_bias).collect();
        let (unit, largest) = examine(&levels)?.integer?;
        Grid::integer(Scale::PerTensor(unit), f64::from(largest))
    }
}
