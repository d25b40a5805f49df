//! XnorPopcountMatMul.

use super::matmul;

use crate::attributes::Attributes;
use crate::error::Fault;
use crate::ops::{Context, Input, Inputs, Operator, one};
use crate::tensor::{Grid, Scale, Tensor};

/// The product of matrices of bits: how often two bits are equal, `(a b + K) / 2` with bits as -1 and +1.
struct XnorPopcountMatMul(Box<dyn Operator>);

pub(crate) fn new(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Ok(Box::new(XnorPopcountMatMul(matmul::new(attributes)?)))
}

/// Bits as -1 and +1.
fn bipolar(bits: &Tensor, what: &str) -> Result<Tensor, Fault> {
    let values = bits.slice::<f32>(what)?;
    if let Some(value) = values.iter().find(|&&value| value != 0.0 && value != 1.0) {
        return Err(Fault::value(format_args!("an element of {what}"), value, "0 or 1"));
    }
    let signs: Vec<f32> = values.iter().map(|bit| 2.0 * bit - 1.0).collect();
    let grid = Grid::integer(Scale::PerTensor(1.0), 1.0);
    Ok(Tensor::of(bits.shape().to_vec(), signs).with_grid(grid))
}

impl Operator for XnorPopcountMatMul {
    fn run(&self, inputs: &mut Inputs, context: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(2)?;
        let a = bipolar(&inputs.take(0, "inp0")?, "input 0")?;
        let b = bipolar(&inputs.take(1, "inp1")?, "input 1")?;
        let k = a.shape().last().copied().unwrap_or(0) as f32;
        let constant = vec![false, inputs.is_constant(1)];
        let mut signs = Inputs::new(vec![Some(a), Some(b)], constant, inputs.batched());
        let sums = self.0.run(&mut signs, context)?.remove(0);
        let counts = sums.slice::<f32>("the sums")?.iter().map(|sum| (sum + k) * 0.5);
        let counts: Vec<f32> = counts.collect();
        let grid = Grid::integer(Scale::PerTensor(1.0), f64::from(k));
        let counts = one(sums.shape().to_vec(), counts);
        Ok(counts.into_iter().map(|counts| counts.with_grid(grid.clone())).collect())
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], output: &[usize]) -> bool {
        self.0.keeps_batch(inputs, output)
    }
}

#[cfg(test)]
mod tests {
    use fewbit_onnx::proto::NodeProto;

    use super::*;
    use crate::Options;

    #[test]
    fn counts_equal_bits() {
        let node = NodeProto::default();
        let operator = new(&mut Attributes::new(&node, 1)).unwrap();
        let context = Context { options: Options::default(), largest: 100, batch: None };
        let run = |a: Vec<f32>| {
            let b = Tensor::of(vec![3, 2], vec![1.0f32, 0.0, 1.0, 0.0, 0.0, 0.0]);
            let tensors = vec![Some(Tensor::of(vec![1, 3], a)), Some(b)];
            operator.run(&mut Inputs::new(tensors, vec![false; 2], false), &context)
        };
        let y = run(vec![1.0, 0.0, 0.0]).unwrap();
        assert_eq!(y[0].slice::<f32>("y").unwrap(), [2.0, 2.0]);
        let error = run(vec![1.0, 0.5, 0.0]).unwrap_err().to_string();
        assert_eq!(error, "an element of input 0 is 0.5, expected 0 or 1");
    }
}
