//! Equal, Less, LessOrEqual, Greater, GreaterOrEqual.

use super::legacy::Repetition;
use crate::attributes::Attributes;
use crate::broadcast::zip;
use crate::error::Fault;
use crate::ops::{Context, Input, Inputs, Operator, one};
use crate::tensor::Tensor;
use crate::value::Data;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Whether a relation holds; with a NaN on either side none does.
#[derive(Debug)]
struct Compare {
    relation: Relation,
    repetition: Repetition,
}

pub(crate) fn equal(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Relation::Equal.new(attributes)
}

pub(crate) fn less(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Relation::Less.new(attributes)
}

pub(crate) fn less_or_equal(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Relation::LessOrEqual.new(attributes)
}

pub(crate) fn greater(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Relation::Greater.new(attributes)
}

pub(crate) fn greater_or_equal(
    attributes: &mut Attributes<'_>,
) -> Result<Box<dyn Operator>, Fault> {
    Relation::GreaterOrEqual.new(attributes)
}

impl Relation {
    #[expect(clippy::wrong_self_convention, clippy::new_ret_no_self, reason = "makes the operator")]
    fn new(self, attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
        Ok(Box::new(Compare { relation: self, repetition: Repetition::new(attributes)? }))
    }

    fn holds<T: PartialOrd>(self, a: T, b: T) -> bool {
        match self {
            Self::Equal => a == b,
            Self::Less => a < b,
            Self::LessOrEqual => a <= b,
            Self::Greater => a > b,
            Self::GreaterOrEqual => a >= b,
        }
    }
}

impl Operator for Compare {
    fn run(&self, inputs: &mut Inputs, context: &Context) -> Result<Vec<Tensor>, Fault> {
        let (a, b, shape) = self.repetition.operands(inputs, ["A", "B"], context)?;
        let (a, b) = (a.value(), b.value());
        macro_rules! by_type {
            ($($variant:ident)*) => {
                match (a.data(), b.data()) {
                    $((Data::$variant(x), Data::$variant(y)) => {
                        let (x, y) = ((&x[..], a.shape()), (&y[..], b.shape()));
                        zip(x, y, &shape, |x, y| self.relation.holds(x, y))
                    })*
                    _ if a.dtype() == b.dtype() => {
                        return Err(Fault::unsupported(format_args!("an input of type {}", a.dtype())));
                    }
                    _ => return Err(Fault::dtype("input 1 (B)", b.dtype(), a.dtype())),
                }
            };
        }
        let truth = by_type!(F32 F64 I8 I16 I32 I64 U8 U16 U32 U64 Bool);
        Ok(one(shape, truth))
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], output: &[usize]) -> bool {
        self.repetition.keeps_batch(inputs, output)
    }

    fn computes_sizes(&self) -> bool {
        true
    }
}
