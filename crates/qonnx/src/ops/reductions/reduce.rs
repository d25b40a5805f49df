//! One number for all elements along some axes: sums, means, products, norms, extremes.

use crate::attributes::Attributes;
use crate::error::Fault;
use crate::ops::{Context, Input, Inputs, Operator, Role, axes, one};
use crate::tensor::Tensor;
use crate::value::{Data, Element};

/// In f64 and rounded once for floats; integers wrap around. Axes are an attribute in old versions, without them all are meant.
#[derive(Debug)]
struct Reduce {
    kind: Kind,
    axes: Option<Vec<i64>>,
    keep: bool,
    /// Without axes: leave the elements as they are, instead of reducing all of them to one.
    nothing_without_axes: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    L1,
    L2,
    LogSum,
    LogSumExp,
    Max,
    Mean,
    Min,
    Prod,
    Sum,
    SumSquare,
}

macro_rules! reductions {
    ($($name:ident: $kind:ident;)*) => {
        $(
            pub(crate) fn $name(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
                Kind::$kind.new(attributes)
            }
        )*
    };
}

reductions! {
    l1: L1;
    l2: L2;
    log_sum: LogSum;
    log_sum_exp: LogSumExp;
    max: Max;
    mean: Mean;
    min: Min;
    prod: Prod;
    sum: Sum;
    sum_square: SumSquare;
}

impl Kind {
    #[expect(clippy::wrong_self_convention, clippy::new_ret_no_self, reason = "makes the operator")]
    fn new(self, attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
        let since = if self == Self::Sum { 13 } else { 18 };
        let listed = attributes.version() < since;
        let axes = if listed { attributes.ints("axes")? } else { None };
        Ok(Box::new(Reduce {
            kind: self,
            axes: axes.map(<[i64]>::to_vec),
            keep: attributes.flag("keepdims", true)?,
            nothing_without_axes: attributes.flag("noop_with_empty_axes", false)?,
        }))
    }

    /// What an empty list gives.
    fn start(self) -> f64 {
        match self {
            Self::Max => f64::NEG_INFINITY,
            Self::Min => f64::INFINITY,
            Self::Prod => 1.0,
            _ => 0.0,
        }
    }

    /// The same for integers of a type that has these limits.
    fn start_of_integers(self, (smallest, largest): (i128, i128)) -> i128 {
        match self {
            Self::Max => smallest,
            Self::Min => largest,
            Self::Prod => 1,
            _ => 0,
        }
    }

    fn take(self, so_far: f64, x: f64) -> f64 {
        match self {
            Self::L1 => so_far + x.abs(),
            Self::L2 | Self::SumSquare => so_far + x * x,
            Self::LogSum | Self::Mean | Self::Sum => so_far + x,
            // The largest element is taken off in advance.
            Self::LogSumExp => so_far + x.exp(),
            Self::Max if x > so_far || x.is_nan() => x,
            Self::Min if x < so_far || x.is_nan() => x,
            Self::Max | Self::Min => so_far,
            Self::Prod => so_far * x,
        }
    }

    fn take_integer(self, so_far: i128, x: i128) -> Option<i128> {
        Some(match self {
            Self::L1 => so_far.wrapping_add(x.abs()),
            Self::SumSquare => so_far.wrapping_add(x.wrapping_mul(x)),
            Self::Sum | Self::Mean => so_far.wrapping_add(x),
            Self::Max => so_far.max(x),
            Self::Min => so_far.min(x),
            Self::Prod => so_far.wrapping_mul(x),
            Self::L2 | Self::LogSum | Self::LogSumExp => return None,
        })
    }

    fn finish(self, result: f64, count: usize) -> f64 {
        match self {
            Self::L2 => result.sqrt(),
            Self::LogSum | Self::LogSumExp => result.ln(),
            Self::Mean => result / count as f64,
            _ => result,
        }
    }
}

/// For each element, which result it belongs to; the shape of the results with all axes.
struct Targets {
    kept: Vec<usize>,
    of: Vec<usize>,
    count: usize,
}

impl Targets {
    fn new(shape: &[usize], over: &[usize]) -> Self {
        let rank = shape.len();
        let kept: Vec<usize> =
            (0..rank).map(|axis| if over.contains(&axis) { 1 } else { shape[axis] }).collect();
        let mut strides = axes::row_major(&kept);
        over.iter().for_each(|&axis| strides[axis] = 0);
        let mut of = Vec::with_capacity(shape.iter().product());
        axes::indices(shape, |index| {
            of.push(index.iter().zip(&strides).map(|(i, stride)| i * stride).sum());
        });
        Self { kept, of, count: over.iter().map(|&axis| shape[axis]).product() }
    }

    fn results(&self) -> usize {
        self.kept.iter().product()
    }
}

impl Reduce {
    fn floats(&self, x: &[f64], targets: &Targets) -> Vec<f64> {
        let mut shift = vec![0.0; targets.results()];
        if self.kind == Kind::LogSumExp {
            shift.fill(f64::NEG_INFINITY);
            x.iter().zip(&targets.of).for_each(|(&x, &i)| shift[i] = Kind::Max.take(shift[i], x));
            shift.iter_mut().filter(|max| max.is_infinite()).for_each(|max| *max = 0.0);
        }
        let mut results = vec![self.kind.start(); targets.results()];
        for (&x, &i) in x.iter().zip(&targets.of) {
            results[i] = self.kind.take(results[i], x - shift[i]);
        }
        let finish = |(result, shift)| self.kind.finish(result, targets.count) + shift;
        results.into_iter().zip(shift).map(finish).collect()
    }

    fn integers<T>(&self, x: &[T], targets: &Targets, limits: (T, T)) -> Option<Vec<i128>>
    where
        T: Element + Into<i128>,
    {
        let limits = (limits.0.into(), limits.1.into());
        let mut results = vec![self.kind.start_of_integers(limits); targets.results()];
        for (&x, &i) in x.iter().zip(&targets.of) {
            results[i] = self.kind.take_integer(results[i], x.into())?;
        }
        if self.kind == Kind::Mean {
            let count = targets.count as i128;
            results.iter_mut().for_each(|sum| *sum = sum.checked_div(count).unwrap_or(0));
        }
        Some(results)
    }

    fn axes(&self, given: Option<Vec<i64>>, rank: usize) -> Result<Option<Vec<usize>>, Fault> {
        match given {
            Some(axes) if !axes.is_empty() => axes::distinct(&axes, rank, "axes").map(Some),
            _ if self.nothing_without_axes => Ok(None),
            _ => Ok(Some((0..rank).collect())),
        }
    }
}

impl Operator for Reduce {
    fn run(&self, inputs: &mut Inputs, _: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(if self.axes.is_some() { 1 } else { 2 })?;
        let data = inputs.take(0, "data")?;
        let listed = match &self.axes {
            Some(axes) => Some(axes.clone()),
            None => inputs.optional(1).map(|axes| axes.to_i64("input 1 (axes)")).transpose()?,
        };
        let rank = data.shape().len();
        let chosen = self.axes(listed, rank)?;
        // Each element by itself then.
        let over = chosen.clone().unwrap_or_default();
        if chosen.is_none() && matches!(self.kind, Kind::Max | Kind::Min | Kind::Sum | Kind::Mean) {
            return Ok(vec![data]);
        }
        let targets = Targets::new(data.shape(), &over);
        let unsupported = || Fault::unsupported(format_args!("an input of type {}", data.dtype()));
        macro_rules! integers {
            ($values:expr, $type:ty) => {
                self.integers(&$values[..], &targets, (<$type>::MIN, <$type>::MAX))
                    .ok_or_else(unsupported)?
                    .into_iter()
                    .map(|v| v as $type)
                    .collect::<Vec<$type>>()
                    .into()
            };
        }
        let result: Data = match data.value().data() {
            Data::F32(x) => {
                let x: Vec<f64> = x.iter().map(|&v| f64::from(v)).collect();
                let results = self.floats(&x, &targets);
                results.into_iter().map(|v| v as f32).collect::<Vec<f32>>().into()
            }
            Data::F64(x) => self.floats(x, &targets).into(),
            Data::I8(x) => integers!(x, i8),
            Data::I32(x) => integers!(x, i32),
            Data::I64(x) => integers!(x, i64),
            Data::U8(x) => integers!(x, u8),
            Data::U32(x) => integers!(x, u32),
            Data::U64(x) => integers!(x, u64),
            Data::Bool(x) if matches!(self.kind, Kind::Max | Kind::Min) => {
                let any = self.kind == Kind::Max;
                let mut results = vec![!any; targets.results()];
                for (_, &i) in x.iter().zip(&targets.of).filter(|(x, _)| **x == any) {
                    results[i] = any;
                }
                results.into()
            }
            _ => return Err(unsupported()),
        };
        let shape = if self.keep {
            targets.kept
        } else {
            (0..rank).filter(|axis| !over.contains(axis)).map(|axis| data.shape()[axis]).collect()
        };
        Ok(one(shape, result))
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], _: &[usize]) -> bool {
        let axes = self
            .axes
            .clone()
            .or_else(|| inputs.get(1).and_then(|axes| axes.constant?.to_i64("axes").ok()));
        inputs[0].batched()
            && inputs[1..].iter().all(|input| input.role == Role::Fixed)
            && axes.is_some_and(|axes| {
                !axes.is_empty()
                    && axes::distinct(&axes, inputs[0].shape.len(), "axes")
                        .is_ok_and(|axes| !axes.contains(&0))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reduce(kind: Kind, x: &[f64], shape: &[usize], over: &[usize]) -> Vec<f64> {
        let reduce = Reduce { kind, axes: None, keep: true, nothing_without_axes: false };
        reduce.floats(x, &Targets::new(shape, over))
    }

    #[test]
    fn by_hand() {
        let x = [1.0, -2.0, 3.0, 4.0, 5.0, -6.0];
        assert_eq!(reduce(Kind::Sum, &x, &[2, 3], &[0]), [5.0, 3.0, -3.0]);
        assert_eq!(reduce(Kind::Mean, &x, &[2, 3], &[1]), [2.0 / 3.0, 1.0]);
        assert_eq!(reduce(Kind::L1, &x, &[2, 3], &[0, 1]), [21.0]);
        assert_eq!(reduce(Kind::Prod, &x, &[2, 3], &[1]), [-6.0, -120.0]);
        assert_eq!(reduce(Kind::Min, &[], &[0, 2], &[0]), [f64::INFINITY; 2]);
        // Sums of exponentials do not overflow.
        assert_eq!(reduce(Kind::LogSumExp, &[1000.0, f64::NEG_INFINITY], &[2], &[0]), [1000.0]);
        assert!(reduce(Kind::Max, &[1.0, f64::NAN, 2.0], &[3], &[0])[0].is_nan());
    }

    #[test]
    fn integers_by_hand() {
        let targets = Targets::new(&[2, 2], &[1]);
        let of = |kind| {
            let reduce = Reduce { kind, axes: None, keep: true, nothing_without_axes: false };
            reduce.integers(&[1i64, -7, i64::MAX, 1], &targets, (i64::MIN, i64::MAX))
        };
        assert_eq!(of(Kind::Max).unwrap(), [1, i128::from(i64::MAX)]);
        assert_eq!(of(Kind::Sum).unwrap()[0], -6);
        assert_eq!(of(Kind::LogSum), None);
    }
}
