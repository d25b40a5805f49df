//! Softmax, LogSoftmax, Hardmax.

use crate::attributes::Attributes;
use crate::error::Fault;
use crate::ops::{Context, Input, Inputs, Operator, axes, one, only_first_batched};
use crate::tensor::Tensor;
use crate::value::Data;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// `exp(x - max) / sum(exp(x - max))`
    Softmax,
    /// `x - max - log(sum(exp(x - max)))`
    LogSoftmax,
    /// 1 for the first of the largest, 0 for all others
    Hardmax,
}

/// Along an axis: exponentials and sum in f64, rounded once.
#[derive(Debug)]
struct Softmax {
    kind: Kind,
    axis: i64,
    /// Before version 13 all axes from `axis` on were one.
    joined: bool,
}

pub(crate) fn softmax(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Kind::Softmax.new(attributes)
}

pub(crate) fn log_softmax(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Kind::LogSoftmax.new(attributes)
}

pub(crate) fn hardmax(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Kind::Hardmax.new(attributes)
}

impl Kind {
    #[expect(clippy::wrong_self_convention, clippy::new_ret_no_self, reason = "makes the operator")]
    fn new(self, attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
        let joined = attributes.version() < 13;
        let axis = attributes.int("axis")?.unwrap_or(if joined { 1 } else { -1 });
        Ok(Box::new(Softmax { kind: self, axis, joined }))
    }

    fn of(self, lane: &[f64], y: &mut [f64]) {
        let max = lane.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        match self {
            Self::Softmax => {
                y.iter_mut().zip(lane).for_each(|(y, x)| *y = (x - max).exp());
                let sum: f64 = y.iter().sum();
                y.iter_mut().for_each(|y| *y /= sum);
            }
            Self::LogSoftmax => {
                let sum: f64 = lane.iter().map(|x| (x - max).exp()).sum();
                y.iter_mut().zip(lane).for_each(|(y, x)| *y = x - max - sum.ln());
            }
            Self::Hardmax => {
                y.fill(0.0);
                if let Some(first) = lane.iter().position(|&x| x == max) {
                    y[first] = 1.0;
                }
            }
        }
    }
}

impl Operator for Softmax {
    fn run(&self, inputs: &mut Inputs, _: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(1)?;
        let input = inputs.take(0, "input")?;
        let axis = axes::axis(self.axis, input.shape().len(), "attribute \"axis\"")?;
        let along = if self.joined {
            let rows: usize = input.shape()[..axis].iter().product();
            let columns: usize = input.shape()[axis..].iter().product();
            axes::Along::new(&[rows, columns], 1)
        } else {
            axes::Along::new(input.shape(), axis)
        };
        macro_rules! lanes {
            ($x:expr, $type:ty) => {{
                let mut y: Vec<$type> = vec![0.0; $x.len()];
                let (mut lane, mut result) = (vec![0.0; along.len], vec![0.0; along.len]);
                for i in 0..along.lanes() {
                    along.lane(i).zip(&mut lane).for_each(|(i, x)| *x = f64::from($x[i]));
                    self.kind.of(&lane, &mut result);
                    along.lane(i).zip(&result).for_each(|(i, &v)| y[i] = v as $type);
                }
                y.into()
            }};
        }
        let data: Data = match input.value().data() {
            Data::F32(x) => lanes!(x, f32),
            Data::F64(x) => lanes!(x, f64),
            _ => return Err(Fault::dtype("input 0 (input)", input.dtype(), "a float")),
        };
        Ok(one(input.shape().to_vec(), data))
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], output: &[usize]) -> bool {
        only_first_batched(inputs)
            && axes::axis(self.axis, output.len(), "axis").is_ok_and(|axis| axis != 0)
    }
}
