//! Floats of 16 bits: computed in `f32`, and every result rounded once.

use super::{Context, Input, Inputs, Operator, Planned, Site};
use crate::Options;
use crate::error::Fault;
use crate::tensor::Tensor;
use crate::value::{DType, Data, Narrowing, Value, narrowed, widened};

/// An operator whose inputs are widened to `f32` if one is a float of 16 bits, and whose results in `f32` get that type again.
struct InF32(Box<dyn Operator>);

/// Lets an operator take floats of 16 bits.
pub(super) fn in_f32(operator: Box<dyn Operator>) -> Box<dyn Operator> {
    Box::new(InF32(operator))
}

impl Operator for InF32 {
    fn run(&self, inputs: &mut Inputs, context: &Context) -> Result<Vec<Tensor>, Fault> {
        let small = |dtype: DType| matches!(dtype, DType::F16 | DType::Bf16);
        let Some(dtype) = inputs.dtypes().find(|&dtype| small(dtype)) else {
            return self.0.run(inputs, context);
        };
        inputs.replace(|tensor| {
            if !small(tensor.dtype()) {
                return tensor;
            }
            let (shape, data) = tensor.into_value().into_parts();
            Tensor::new(Value::of(shape, widened(&data)))
        });
        let results = self.0.run(inputs, context)?;
        let narrow = |tensor: Tensor| {
            let Data::F32(values) = tensor.value().data() else { return tensor };
            match narrowed(values, dtype, Narrowing::default()) {
                Some(data) => Tensor::of(tensor.shape().to_vec(), data),
                None => tensor,
            }
        };
        Ok(results.into_iter().map(narrow).collect())
    }

    fn specialize(
        &self,
        constants: &[Option<&Tensor>],
        options: Options,
    ) -> Option<Box<dyn Operator>> {
        self.0.specialize(constants, options).map(in_f32)
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], output: &[usize]) -> bool {
        self.0.keeps_batch(inputs, output)
    }

    fn planned(&self, site: &Site<'_>) -> Option<Planned> {
        self.0.planned(site)
    }

    fn computes_sizes(&self) -> bool {
        self.0.computes_sizes()
    }

    fn asks_for_sizes(&self) -> bool {
        self.0.asks_for_sizes()
    }
}

#[cfg(test)]
mod tests {
    use fewbit_onnx::builder::{GraphBuilder, Node};
    use half::f16;

    use crate::{Model, Options, Value};

    #[test]
    fn every_operator_rounds_once() {
        let mut graph = GraphBuilder::new("g");
        graph.input("x", &[2]).unwrap();
        graph.add(Node::standard("a", "Add").inputs(["x", "x"]).output("s", &[2])).unwrap();
        graph.add(Node::standard("b", "Mul").inputs(["s", "x"]).output("y", &[2])).unwrap();
        graph.output("y").unwrap();
        let mut model = graph.finish("p", "1").unwrap();
        // The builder makes inputs of f32.
        model.graph.as_mut().unwrap().input[0].r#type = None;
        let model = Model::from_proto(&model, Options::default()).unwrap();
        let x = [1.0 / 3.0, 700.0].map(f16::from_f32);
        let outputs = model.run(&[("x", Value::new(vec![2], x.to_vec()).unwrap())], &[]).unwrap();
        let expected =
            x.map(|x| f16::from_f32(f16::from_f32(x.to_f32() * 2.0).to_f32() * x.to_f32()));
        assert_eq!(outputs.first().as_slice::<f16>(), Some(&expected[..]));
        assert_eq!(expected[1], f16::INFINITY);
    }
}
