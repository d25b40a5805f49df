//! PRelu.

use super::arithmetic::repeats_over_batch;
use crate::attributes::Attributes;
use crate::broadcast::{broadcast_shape, zip};
use crate::error::Fault;
use crate::ops::{Context, Input, Inputs, Operator};
use crate::tensor::Tensor;
use crate::value::{Data, Value};

/// `x` where it is 0 or more, else `slope * x`; the slope repeats over `x`, before version 7 over its second axis.
#[derive(Debug)]
struct PRelu {
    by_channel: bool,
}

pub(crate) fn new(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    if attributes.version() < 6 {
        attributes.ignore("consumed_inputs");
    }
    Ok(Box::new(PRelu { by_channel: attributes.version() < 7 }))
}

impl Operator for PRelu {
    fn run(&self, inputs: &mut Inputs, _: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(2)?;
        let (x, mut slope) = (inputs.take(0, "X")?, inputs.take(1, "slope")?);
        if self.by_channel && slope.len() > 1 && slope.shape().len() == 1 {
            let mut shape = vec![1; x.shape().len().max(2) - 1];
            shape[0] = slope.len();
            slope = Tensor::new(slope.into_value().with_shape(shape));
        }
        if broadcast_shape(x.shape(), slope.shape()).as_deref() != Some(x.shape()) {
            let expected = format!("a shape that repeats over {:?}", x.shape());
            return Err(Fault::shape("input 1 (slope)", slope.shape(), expected));
        }
        let (x, slope) = (x.value(), slope.value());
        macro_rules! by_type {
            ($($variant:ident)*) => {
                match (x.data(), slope.data()) {
                    $((Data::$variant(v), Data::$variant(s)) => {
                        let (v, s) = ((&v[..], x.shape()), (&s[..], slope.shape()));
                        zip(v, s, x.shape(), |x, slope| if x < Default::default() { slope * x } else { x })
                            .into()
                    })*
                    _ if x.dtype() == slope.dtype() => {
                        return Err(Fault::unsupported(format_args!("an input of type {}", x.dtype())));
                    }
                    _ => return Err(Fault::dtype("input 1 (slope)", slope.dtype(), x.dtype())),
                }
            };
        }
        let data: Data = by_type!(F32 F64);
        Ok(vec![Tensor::new(Value::of(x.shape().to_vec(), data))])
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], output: &[usize]) -> bool {
        inputs[0].batched() && repeats_over_batch(inputs, output)
    }
}
