//! Range.

use crate::attributes::Attributes;
use crate::error::Fault;
use crate::ops::{Context, Input, Inputs, Operator, one, only};
use crate::tensor::Tensor;
use crate::value::{Data, Narrowing, narrowed, widened};

/// `start + i * delta` as long as that is before `limit`.
#[derive(Debug)]
struct Range;

pub(crate) fn new(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    // Concerns sums of floats of 16 bits, which are not taken here.
    attributes.ignore("stash_type");
    Ok(Box::new(Range))
}

/// How many steps there are from `start` to before `limit`.
fn count(start: f64, limit: f64, delta: f64, context: &Context) -> Result<usize, Fault> {
    let steps = ((limit - start) / delta).ceil();
    if delta == 0.0 || steps.is_nan() {
        return Err(Fault::value("input 2 (delta)", delta, "a number other than 0"));
    }
    let steps = steps.clamp(0.0, 1e18) as usize;
    context.check_size(&[steps])?;
    Ok(steps)
}

impl Operator for Range {
    fn run(&self, inputs: &mut Inputs, context: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(3)?;
        let start = inputs.take(0, "start")?;
        let limit = inputs.take(1, "limit")?;
        let delta = inputs.take(2, "delta")?;
        for (tensor, name) in [(&limit, "input 1 (limit)"), (&delta, "input 2 (delta)")] {
            if tensor.dtype() != start.dtype() {
                return Err(Fault::dtype(name, tensor.dtype(), start.dtype()));
            }
        }
        let wide = |tensor: &Tensor| widened(tensor.value().data());
        let data: Data = match (wide(&start), wide(&limit), wide(&delta)) {
            (Data::F32(a), Data::F32(b), Data::F32(d)) => {
                let a = f64::from(only(&start, &a, "start")?);
                let b = f64::from(only(&limit, &b, "limit")?);
                let d = f64::from(only(&delta, &d, "delta")?);
                let values = (0..count(a, b, d, context)?).map(|i| (a + i as f64 * d) as f32);
                let values: Vec<f32> = values.collect();
                let small = narrowed(&values, start.dtype(), Narrowing::default());
                small.unwrap_or_else(|| values.into())
            }
            (Data::F64(a), Data::F64(b), Data::F64(d)) => {
                let a = only(&start, &a, "start")?;
                let b = only(&limit, &b, "limit")?;
                let d = only(&delta, &d, "delta")?;
                let values = (0..count(a, b, d, context)?).map(|i| a + i as f64 * d);
                values.collect::<Vec<f64>>().into()
            }
            _ => integers(&start, &limit, &delta, context)?,
        };
        Ok(one(vec![data.len()], data))
    }

    fn keeps_batch(&self, _: &[Input<'_>], _: &[usize]) -> bool {
        false
    }
}

fn integers(
    start: &Tensor,
    limit: &Tensor,
    delta: &Tensor,
    context: &Context,
) -> Result<Data, Fault> {
    macro_rules! by_type {
        ($($variant:ident $type:ty),*) => {
            match (start.value().data(), limit.value().data(), delta.value().data()) {
                $((Data::$variant(a), Data::$variant(b), Data::$variant(d)) => {
                    let a = i128::from(only(start, a, "start")?);
                    let b = i128::from(only(limit, b, "limit")?);
                    let d = i128::from(only(delta, d, "delta")?);
                    if d == 0 {
                        return Err(Fault::value("input 2 (delta)", d, "a number other than 0"));
                    }
                    let span = if d > 0 { b - a } else { a - b };
                    let steps = (span.max(0) as u128).div_ceil(d.unsigned_abs());
                    let steps = usize::try_from(steps).unwrap_or(usize::MAX);
                    context.check_size(&[steps])?;
                    let values = (0..steps).map(|i| (a + i as i128 * d) as $type);
                    values.collect::<Vec<$type>>().into()
                })*
                _ => {
                    return Err(Fault::unsupported(format_args!("a range of {}", start.dtype())));
                }
            }
        };
    }
    Ok(by_type!(I16 i16, I32 i32, I64 i64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;

    fn context() -> Context {
        Context { options: Options::default(), largest: 100, batch: None }
    }

    fn run(limits: [i64; 3]) -> Result<Vec<i64>, Fault> {
        let tensors = limits.map(|v| Some(Tensor::of(vec![], vec![v]))).to_vec();
        let result = Range.run(&mut Inputs::new(tensors, vec![true; 3], false), &context())?;
        Ok(result[0].slice::<i64>("y")?.to_vec())
    }

    #[test]
    fn ends_before_the_limit() {
        assert_eq!(run([0, 7, 3]).unwrap(), [0, 3, 6]);
        assert_eq!(run([7, 0, -3]).unwrap(), [7, 4, 1]);
        assert_eq!(run([7, 0, 3]).unwrap(), [] as [i64; 0]);
        assert!(run([0, 7, 0]).is_err());
        assert!(run([i64::MIN, i64::MAX, 1]).is_err());
    }
}
