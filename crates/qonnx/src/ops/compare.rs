//! GreaterOrEqual, and the choice by truth values: Where.

use super::arithmetic::{misfit, repeats_over_batch};
use super::{Context, Input, Inputs, Operator};
use crate::attributes::Attributes;
use crate::broadcast::{broadcast_shape, zip};
use crate::error::Fault;
use crate::tensor::Tensor;
use crate::value::{Data, Value};

/// `a >= b`; a NaN on either side makes it false.
#[derive(Debug)]
struct GreaterOrEqual;

/// `x` where the condition is true, else `y`.
#[derive(Debug)]
struct Where;

pub(super) fn greater_or_equal(_: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Ok(Box::new(GreaterOrEqual))
}

pub(super) fn choose(_: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Ok(Box::new(Where))
}

impl Operator for GreaterOrEqual {
    fn run(&self, inputs: &mut Inputs, context: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(2)?;
        let (a, b) = (inputs.take(0, "A")?, inputs.take(1, "B")?);
        let shape = broadcast_shape(a.shape(), b.shape()).ok_or_else(|| misfit(&a, &b))?;
        context.check_size(&shape)?;
        let (a, b) = (a.value(), b.value());
        macro_rules! by_type {
            ($($variant:ident)*) => {
                match (a.data(), b.data()) {
                    $((Data::$variant(x), Data::$variant(y)) => {
                        zip((&x[..], a.shape()), (&y[..], b.shape()), &shape, |x, y| x >= y)
                    })*
                    _ if a.dtype() == b.dtype() => {
                        return Err(Fault::unsupported(format_args!("an input of type {}", a.dtype())));
                    }
                    _ => return Err(Fault::dtype("input 1 (B)", b.dtype(), a.dtype())),
                }
            };
        }
        let data = by_type!(F32 F64 I8 I16 I32 I64 U8 U16);
        Ok(vec![Tensor::new(Value::of(shape, data))])
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], output: &[usize]) -> bool {
        repeats_over_batch(inputs, output)
    }
}

impl Operator for Where {
    fn run(&self, inputs: &mut Inputs, context: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(3)?;
        let condition = inputs.take(0, "condition")?;
        let (x, y) = (inputs.take(1, "X")?, inputs.take(2, "Y")?);
        let inner = broadcast_shape(x.shape(), y.shape()).ok_or_else(|| misfit(&x, &y))?;
        let shape = broadcast_shape(condition.shape(), &inner).ok_or_else(|| {
            let expected = format!("a shape that broadcasts with {inner:?}");
            Fault::shape("input 0 (condition)", condition.shape(), expected)
        })?;
        context.check_size(&shape)?;
        let chosen = condition.slice::<bool>("input 0 (condition)")?;
        let whole = zip((chosen, condition.shape()), (&[false], &[]), &shape, |c, _| c);
        let (x, y) = (x.value(), y.value());
        macro_rules! by_type {
            ($($variant:ident)*) => {
                match (x.data(), y.data()) {
                    $((Data::$variant(a), Data::$variant(b)) => {
                        let pairs = zip((&a[..], x.shape()), (&b[..], y.shape()), &inner, |a, b| [a, b]);
                        let pairs = (&pairs[..], &inner[..]);
                        // Both of each pair, as often as they are repeated, then one of them.
                        let pairs = zip(pairs, (&[Default::default()], &[]), &shape, |pair, _| pair);
                        let chosen = whole.iter().zip(pairs);
                        Data::from(chosen.map(|(&c, [a, b])| if c { a } else { b }).collect::<Vec<_>>())
                    })*
                    _ if x.dtype() == y.dtype() => {
                        return Err(Fault::unsupported(format_args!("an input of type {}", x.dtype())));
                    }
                    _ => return Err(Fault::dtype("input 2 (Y)", y.dtype(), x.dtype())),
                }
            };
        }
        let data = by_type!(F32 F64 I8 I16 I32 I64 U8 U16 Bool);
        Ok(vec![Tensor::new(Value::of(shape, data))])
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], output: &[usize]) -> bool {
        repeats_over_batch(inputs, output)
    }
}

#[cfg(test)]
mod tests {
    use fewbit_onnx::builder::{GraphBuilder, Node};
    use fewbit_onnx::proto::tensor_proto::DataType;
    use fewbit_onnx::tensor::TensorValue;

    use crate::{Model, Options, Value};

    /// `where(x >= limits, 1, otherwise)` for two rows.
    fn chosen(limits: &TensorValue, otherwise: &TensorValue, x: [f32; 6]) -> Vec<f32> {
        let mut graph = GraphBuilder::new("g");
        graph.input("x", &[2, 3]).unwrap();
        graph.initializer("limits", limits).unwrap();
        graph.initializer("otherwise", otherwise).unwrap();
        let one = graph.constant(&TensorValue::scalar(1.0_f32)).unwrap();
        let compare = Node::standard("a", "GreaterOrEqual").inputs(["x", "limits"]);
        graph.add(compare.output_of(DataType::Bool, "c", &[2, 3])).unwrap();
        let choose = Node::standard("b", "Where").inputs(["c", &one, "otherwise"]);
        graph.add(choose.output("y", &[2, 3])).unwrap();
        graph.output("y").unwrap();
        let model = graph.finish("p", "1").unwrap();
        let model = Model::from_proto(&model, Options::default()).unwrap();
        let x = Value::new(vec![2, 3], x.to_vec()).unwrap();
        let outputs = model.run(&[("x", x)], &[]).unwrap();
        outputs.first().as_slice::<f32>().unwrap().to_vec()
    }

    #[test]
    fn signs_by_hand() {
        let (zero, minus_one) = (TensorValue::scalar(0.0_f32), TensorValue::scalar(-1.0_f32));
        let x = [0.0, -0.0, f32::NAN, -f32::MIN_POSITIVE, f32::INFINITY, -3.0];
        assert_eq!(chosen(&zero, &minus_one, x), [1.0, 1.0, -1.0, -1.0, 1.0, -1.0]);
    }

    #[test]
    fn operands_repeat_as_in_numpy() {
        let limits = TensorValue::vector(vec![1.0_f32, 2.0, 3.0]);
        let otherwise = TensorValue::new([2, 1], vec![10.0_f32, 20.0]).unwrap();
        let x = [0.0, 2.0, 4.0, 1.0, 1.0, 1.0];
        assert_eq!(chosen(&limits, &otherwise, x), [10.0, 1.0, 1.0, 1.0, 20.0, 20.0]);
    }
}
