//! The choice by truth values: Where.

use super::arithmetic::{misfit, repeats_over_batch};
use crate::attributes::Attributes;
use crate::broadcast::{broadcast_shape, zip};
use crate::error::Fault;
use crate::ops::{Context, Input, Inputs, Operator, one};
use crate::tensor::Tensor;
use crate::value::Data;

/// `x` where the condition is true, else `y`.
#[derive(Debug)]
struct Where;

pub(crate) fn new(_: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Ok(Box::new(Where))
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
        // Both tensors behind each other, and where each element of the result stands in them.
        let places = |first: usize, len: usize| (first..first + len).collect::<Vec<usize>>();
        let (of_x, of_y) = (places(0, x.len()), places(x.len(), y.len()));
        let of_x = zip((&of_x, x.shape()), (&[0], &[]), &shape, |place, _| place);
        let of_y = zip((&of_y, y.shape()), (&[0], &[]), &shape, |place, _| place);
        let chosen = zip((chosen, condition.shape()), (&[false], &[]), &shape, |c, _| c);
        let both = Data::concat(&[x.value().data(), y.value().data()])
            .ok_or_else(|| Fault::dtype("input 2 (Y)", y.dtype(), x.dtype()))?;
        let picked = chosen.iter().zip(of_x.iter().zip(&of_y));
        let picked = picked.map(|(&c, (&x, &y))| Some(if c { x } else { y }));
        let data = both
            .pick(picked, &both)
            .ok_or_else(|| Fault::Malformed("a place leaves the tensors".to_owned()))?;
        Ok(one(shape, data))
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], output: &[usize]) -> bool {
        repeats_over_batch(inputs, output)
    }

    fn computes_sizes(&self) -> bool {
        true
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
