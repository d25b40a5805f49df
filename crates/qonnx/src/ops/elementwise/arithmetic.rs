//! Add, Sub, Mul, Div.

use fewbit_kernels::program::Step;

use super::legacy::Repetition;
use crate::attributes::Attributes;
use crate::broadcast::zip;
use crate::error::Fault;
use crate::ops::planned::step;
use crate::ops::{Context, Input, Inputs, Operator, Planned, Role, Site};
use crate::tensor::Tensor;
use crate::value::{Data, Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Add,
    Sub,
    Mul,
    Div,
}

#[derive(Debug)]
struct Arithmetic {
    kind: Kind,
    repetition: Repetition,
}

pub(crate) fn add(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Kind::Add.new(attributes)
}

pub(crate) fn sub(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Kind::Sub.new(attributes)
}

pub(crate) fn mul(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Kind::Mul.new(attributes)
}

pub(crate) fn div(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Kind::Div.new(attributes)
}

impl Kind {
    #[expect(clippy::wrong_self_convention, clippy::new_ret_no_self, reason = "makes the operator")]
    fn new(self, attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
        Ok(Box::new(Arithmetic { kind: self, repetition: Repetition::new(attributes)? }))
    }
}

impl Operator for Arithmetic {
    fn run(&self, inputs: &mut Inputs, context: &Context) -> Result<Vec<Tensor>, Fault> {
        let (a, b, shape) = self.repetition.operands(inputs, ["A", "B"], context)?;
        let (a, b) = (a.value(), b.value());
        macro_rules! by_type {
            ($(($variant:ident, $add:expr, $sub:expr, $mul:expr, $div:expr);)*) => {
                match (a.data(), b.data()) {
                    $((Data::$variant(x), Data::$variant(y)) => {
                        let (x, y) = ((&x[..], a.shape()), (&y[..], b.shape()));
                        match self.kind {
                            Kind::Add => Data::from(zip(x, y, &shape, $add)),
                            Kind::Sub => Data::from(zip(x, y, &shape, $sub)),
                            Kind::Mul => Data::from(zip(x, y, &shape, $mul)),
                            Kind::Div => {
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
            (I8, i8::wrapping_add, i8::wrapping_sub, i8::wrapping_mul, i8::wrapping_div);
            (I16, i16::wrapping_add, i16::wrapping_sub, i16::wrapping_mul, i16::wrapping_div);
            (I32, i32::wrapping_add, i32::wrapping_sub, i32::wrapping_mul, i32::wrapping_div);
            (I64, i64::wrapping_add, i64::wrapping_sub, i64::wrapping_mul, i64::wrapping_div);
            (U8, u8::wrapping_add, u8::wrapping_sub, u8::wrapping_mul, u8::wrapping_div);
            (U16, u16::wrapping_add, u16::wrapping_sub, u16::wrapping_mul, u16::wrapping_div);
            (U32, u32::wrapping_add, u32::wrapping_sub, u32::wrapping_mul, u32::wrapping_div);
            (U64, u64::wrapping_add, u64::wrapping_sub, u64::wrapping_mul, u64::wrapping_div);
        };
        Ok(vec![Tensor::new(Value::of(shape, data))])
    }

    fn planned(&self, site: &Site<'_>) -> Option<Planned> {
        if self.repetition != Repetition::NumPy {
            return None;
        }
        if site.variable == 2 {
            return (self.kind == Kind::Add).then_some(Planned::Sum);
        }
        let lanes = site.lanes(1 - site.input.min(1))?;
        match (self.kind, site.input) {
            (Kind::Add, _) => step(Step::Add(lanes)),
            (Kind::Mul, _) => step(Step::Multiply(lanes)),
            (Kind::Sub, 0) => step(Step::Subtract(lanes)),
            (Kind::Div, 0) => step(Step::Divide(lanes)),
            (Kind::Sub | Kind::Div, _) => None,
        }
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], output: &[usize]) -> bool {
        self.repetition.keeps_batch(inputs, output)
    }

    fn computes_sizes(&self) -> bool {
        true
    }
}

/// True if every input has the batch in front, or is repeated over it.
pub(crate) fn repeats_over_batch(inputs: &[Input<'_>], output: &[usize]) -> bool {
    inputs.iter().all(|input| {
        let whole = input.shape.len() == output.len();
        match input.role {
            Role::Batched => whole,
            Role::Fixed => !whole || input.shape.first().is_some_and(|&dim| dim == 1),
            Role::Sizes => false,
        }
    })
}

pub(crate) fn misfit(a: &Tensor, b: &Tensor) -> Fault {
    let expected = format!("a shape that broadcasts with {:?}", a.shape());
    Fault::shape("input 1", b.shape(), expected)
}

pub(crate) fn no_integer_zero(b: &Value) -> Result<(), Fault> {
    let zero = match b.data() {
        Data::I8(values) => values.contains(&0),
        Data::I16(values) => values.contains(&0),
        Data::I32(values) => values.contains(&0),
        Data::I64(values) => values.contains(&0),
        Data::U8(values) => values.contains(&0),
        Data::U16(values) => values.contains(&0),
        Data::U32(values) => values.contains(&0),
        Data::U64(values) => values.contains(&0),
        _ => false,
    };
    if zero { Err(Fault::value("the divisor", 0, "integers other than 0")) } else { Ok(()) }
}
