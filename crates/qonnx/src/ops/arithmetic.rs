//! Add, Sub, Mul, Div.

use fewbit_kernels::program::Step;

use super::planned::step;
use super::{Context, Input, Inputs, Operator, Planned, Role, Site};
use crate::attributes::Attributes;
use crate::broadcast::{broadcast_shape, zip};
use crate::error::Fault;
use crate::tensor::Tensor;
use crate::value::{Data, Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arithmetic {
    Add,
    Sub,
    Mul,
    Div,
}

pub(super) fn add(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Arithmetic::Add.new(attributes)
}

pub(super) fn sub(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Arithmetic::Sub.new(attributes)
}

pub(super) fn mul(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Arithmetic::Mul.new(attributes)
}

pub(super) fn div(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Arithmetic::Div.new(attributes)
}

impl Arithmetic {
    #[expect(clippy::wrong_self_convention, clippy::new_ret_no_self, reason = "makes the operator")]
    fn new(self, attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
        if attributes.version() < 7 {
            // Before version 7 broadcasting was asked for and aligned at another place.
            attributes.only_int("broadcast", 0)?;
            attributes.ignore("consumed_inputs");
        }
        Ok(Box::new(self))
    }
}

impl Operator for Arithmetic {
    fn run(&self, inputs: &mut Inputs, context: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(2)?;
        let (a, b) = (inputs.take(0, "A")?, inputs.take(1, "B")?);
        let shape = broadcast_shape(a.shape(), b.shape()).ok_or_else(|| misfit(&a, &b))?;
        context.check_size(&shape)?;
        let (a, b) = (a.value(), b.value());
        macro_rules! by_type {
            ($(($variant:ident, $add:expr, $sub:expr, $mul:expr, $div:expr);)*) => {
                match (a.data(), b.data()) {
                    $((Data::$variant(x), Data::$variant(y)) => {
                        let (x, y) = ((&x[..], a.shape()), (&y[..], b.shape()));
                        match self {
                            Self::Add => Data::from(zip(x, y, &shape, $add)),
                            Self::Sub => Data::from(zip(x, y, &shape, $sub)),
                            Self::Mul => Data::from(zip(x, y, &shape, $mul)),
                            Self::Div => {
                                no_integer_zero(b)?;
                                Data::from(zip(x, y, &shape, $div))
                            }
                        }
                    })*
                    _ if a.dtype() == b.dtype() => {
                        return Err(Fault::unsupported(format_args!("arithmetic on {}", a.dtype())));
                    }
                    _ => return Err(Fault::dtype("input 1 (B)", b.dtype(), a.dtype())),
                }
            };
        }
        let data = by_type! {
            (F32, |a, b| a + b, |a, b| a - b, |a, b| a * b, |a, b| a / b);
            (F64, |a, b| a + b, |a, b| a - b, |a, b| a * b, |a, b| a / b);
            (I32, i32::wrapping_add, i32::wrapping_sub, i32::wrapping_mul, i32::wrapping_div);
            (I64, i64::wrapping_add, i64::wrapping_sub, i64::wrapping_mul, i64::wrapping_div);
            (U8, u8::wrapping_add, u8::wrapping_sub, u8::wrapping_mul, u8::wrapping_div);
        };
        Ok(vec![Tensor::new(Value::of(shape, data))])
    }

    fn planned(&self, site: &Site<'_>) -> Option<Planned> {
        if site.variable == 2 {
            return (*self == Self::Add).then_some(Planned::Sum);
        }
        let lanes = site.lanes(1 - site.input.min(1))?;
        match (self, site.input) {
            (Self::Add, _) => step(Step::Add(lanes)),
            (Self::Mul, _) => step(Step::Multiply(lanes)),
            (Self::Sub, 0) => step(Step::Subtract(lanes)),
            (Self::Div, 0) => step(Step::Divide(lanes)),
            (Self::Sub | Self::Div, _) => None,
        }
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], output: &[usize]) -> bool {
        repeats_over_batch(inputs, output)
    }

    fn computes_sizes(&self) -> bool {
        true
    }
}

/// True if every input has the batch in front, or is repeated over it.
pub(super) fn repeats_over_batch(inputs: &[Input<'_>], output: &[usize]) -> bool {
    inputs.iter().all(|input| {
        let whole = input.shape.len() == output.len();
        match input.role {
            Role::Batched => whole,
            Role::Fixed => !whole || input.shape.first().is_some_and(|&dim| dim == 1),
            Role::Sizes => false,
        }
    })
}

pub(super) fn misfit(a: &Tensor, b: &Tensor) -> Fault {
    let expected = format!("a shape that broadcasts with {:?}", a.shape());
    Fault::shape("input 1", b.shape(), expected)
}

fn no_integer_zero(b: &Value) -> Result<(), Fault> {
    let zero = match b.data() {
        Data::I32(values) => values.contains(&0),
        Data::I64(values) => values.contains(&0),
        Data::U8(values) => values.contains(&0),
        _ => false,
    };
    if zero { Err(Fault::value("the divisor", 0, "integers other than 0")) } else { Ok(()) }
}
