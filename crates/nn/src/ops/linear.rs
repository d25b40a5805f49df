//! Fully connected layers.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata};
use fewbit_kernels::gemm::{Matrix, gemm};
use fewbit_kernels::statistics::{ChannelShape, channel_sum};
use fewbit_kernels::{MatmulShape, accumulation, epilogue, matmul_nt};

use super::extension::{Keep, contiguous, extension, record, slice, tensor};
use super::quantized::{Codes, Grid, Quantized, Scale};
use super::value::Value;
use crate::error::{Error, ErrorKind};
use crate::tensor::Tensor;

/// What is known about both operands.
#[derive(Clone, Debug)]
pub struct Operands {
    x: Grid,
    weight: Grid,
}

extension! {
    /// Fully connected layers.
    pub trait Linear: Backend {
        /// `y = x w^T`.
        fn product(
            x: FloatTensor<Self>,
            weight: FloatTensor<Self>,
            operands: Operands
        ) -> FloatTensor<Self> {
            let _ = operands;
            Value::<Self>(x).matmul(Value(weight).transpose()).0
        }

        /// `y = x w^T + b`.
        fn product_with_bias(
            x: FloatTensor<Self>,
            weight: FloatTensor<Self>,
            bias: FloatTensor<Self>,
            operands: Operands
        ) -> FloatTensor<Self> {
            let outputs = bias.shape().num_elements();
            let product = Self::product(x, weight, operands);
            (Value::<Self>(product) + Value(bias).reshape(&[1, outputs])).0
        }
    }
}

/// The passes of the layer that training needs; concrete backends only.
pub trait LinearGradient: Linear {
    /// The gradient of `x`: `dy w`.
    fn linear_gradient_x(
        upstream: FloatTensor<Self>,
        weight: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        Value::<Self>(upstream).matmul(Value(weight)).0
    }

    /// The gradient of the weight: `dy^T x`.
    fn linear_gradient_weight(
        upstream: FloatTensor<Self>,
        x: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        Value::<Self>(upstream).transpose().matmul(Value(x)).0
    }

    /// The gradient of the bias: the sum of `dy` over the batch.
    fn linear_gradient_bias(upstream: FloatTensor<Self>) -> FloatTensor<Self> {
        let upstream = Value::<Self>(upstream);
        let outputs = upstream.shape()[1];
        upstream.sum_over([0]).reshape(&[outputs]).0
    }
}

fn rows_and_columns(t: &FlexTensor) -> [usize; 2] {
    let shape = t.shape().to_vec();
    [shape[0], shape[1]]
}

/// The product under the arithmetic contract.
fn forward(
    x: FlexTensor,
    weight: FlexTensor,
    bias: Option<FlexTensor>,
    operands: &Operands,
) -> FlexTensor {
    let [n, k] = rows_and_columns(&x);
    let [m, _] = rows_and_columns(&weight);
    let (x, weight) = (Codes::of(x, &operands.x), Codes::of(weight, &operands.weight));
    let mut y = vec![0.0; n * m];
    let shape = MatmulShape { n, m, k };
    let accumulation = accumulation(x.grid, weight.grid);
    matmul_nt(slice(&x.tensor), slice(&weight.tensor), &mut y, shape, accumulation);
    let scale = weight.scale.times(number(&x.scale));
    let bias = bias.map(contiguous);
    epilogue::scale_bias(&mut y, 1, scale.kernel(1), bias.as_ref().map(slice));
    tensor(y, [n, m].into())
}

fn number(scale: &Scale) -> f32 {
    match scale {
        Scale::PerTensor(scale) => *scale,
        Scale::PerChannel(_) => unreachable!("an input with several scales is plain"),
    }
}

#[cfg(not(feature = "portable"))]
impl Linear for Flex {
    fn product(x: FlexTensor, weight: FlexTensor, operands: Operands) -> FlexTensor {
        forward(x, weight, None, &operands)
    }

    fn product_with_bias(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        operands: Operands,
    ) -> FlexTensor {
        forward(x, weight, Some(bias), &operands)
    }
}

#[cfg(not(feature = "portable"))]
impl LinearGradient for Flex {
    fn linear_gradient_x(upstream: FlexTensor, weight: FlexTensor) -> FlexTensor {
        let (upstream, weight) = (contiguous(upstream), contiguous(weight));
        let ([n, m], [_, k]) = (rows_and_columns(&upstream), rows_and_columns(&weight));
        let mut dx = vec![0.0; n * k];
        gemm(Matrix::new(slice(&upstream), n, m), Matrix::new(slice(&weight), m, k), &mut dx);
        tensor(dx, [n, k].into())
    }

    fn linear_gradient_weight(upstream: FlexTensor, x: FlexTensor) -> FlexTensor {
        let (upstream, x) = (contiguous(upstream), contiguous(x));
        let ([n, m], [_, k]) = (rows_and_columns(&upstream), rows_and_columns(&x));
        let mut dw = vec![0.0; m * k];
        let upstream = Matrix::new(slice(&upstream), n, m).transposed();
        gemm(upstream, Matrix::new(slice(&x), n, k), &mut dw);
        tensor(dw, [m, k].into())
    }

    fn linear_gradient_bias(upstream: FlexTensor) -> FlexTensor {
        let upstream = contiguous(upstream);
        let [n, c] = rows_and_columns(&upstream);
        tensor(channel_sum(slice(&upstream), ChannelShape { n, c, inner: 1 }), [c].into())
    }
}

/// What the backward pass needs.
#[derive(Clone, Debug)]
struct Kept<B: Backend> {
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
}

impl<B: LinearGradient> Kept<B> {
    /// The gradients of those of `x` and the weight that are wanted.
    fn gradients(
        self,
        upstream: &FloatTensor<B>,
        wanted: [bool; 2],
    ) -> [Option<FloatTensor<B>>; 2] {
        let Self { x, weight } = self;
        [
            wanted[0].then(|| B::linear_gradient_x(upstream.clone(), weight)),
            wanted[1].then(|| B::linear_gradient_weight(upstream.clone(), x)),
        ]
    }
}

impl<B: LinearGradient, C: CheckpointStrategy> Linear for Autodiff<B, C> {
    fn product(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        operands: Operands,
    ) -> FloatTensor<Self> {
        record::<B, C, _, 2>(
            [x, weight],
            |[x, weight], keep| {
                let kept = keep == Keep::State;
                let kept = kept.then(|| Kept { x: x.clone(), weight: weight.clone() });
                (B::product(x, weight, operands), kept)
            },
            |kept: Kept<B>, upstream, wanted| kept.gradients(&upstream, wanted),
        )
    }

    fn product_with_bias(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        operands: Operands,
    ) -> FloatTensor<Self> {
        record::<B, C, _, 3>(
            [x, weight, bias],
            |[x, weight, bias], keep| {
                let kept = keep == Keep::State;
                let kept = kept.then(|| Kept { x: x.clone(), weight: weight.clone() });
                (B::product_with_bias(x, weight, bias, operands), kept)
            },
            |kept: Kept<B>, upstream, [x, weight, bias]| {
                let [dx, dweight] = kept.gradients(&upstream, [x, weight]);
                [dx, dweight, bias.then(|| B::linear_gradient_bias(upstream))]
            },
        )
    }
}

/// Multiplies by a weight: `y = x w^T`, and adds a bias if there is one.
///
/// On the processor the sum follows the arithmetic contract: scales are taken out of both operands,
/// what is summed are codes, and `y = sum * (s_x * s_w)`, then `y + bias`.
///
/// # Shape
/// `x`: `[N, K]`, `weight`: `[M, K]`, `bias`: `[M]`; result: `[N, M]`.
/// # Gradient
/// `dx = dy w`, `dw = dy^T x` with the dequantized values, `db` the sum of `dy` over the batch.
/// # Errors
/// [`ErrorKind::ShapeMismatch`] if the shapes do not fit.
pub fn linear(x: &Quantized, weight: &Quantized, bias: Option<&Tensor>) -> Result<Tensor, Error> {
    let (x_shape, shape) = (x.value.shape(), weight.value.shape());
    let mismatch = |operand, got, expected| {
        Err(Error::new(ErrorKind::ShapeMismatch { operation: "linear", operand, got, expected }))
    };
    let &[outputs, inputs] = shape.as_slice() else {
        return mismatch("weight", shape, "[outputs, inputs]".to_owned());
    };
    if x_shape.len() != 2 || x_shape[1] != inputs {
        return mismatch("x", x_shape, format!("[N, {inputs}]"));
    }
    if let Some(bias) = bias
        && bias.shape() != [outputs]
    {
        return mismatch("bias", bias.shape(), format!("[{outputs}]"));
    }
    let operands = Operands { x: x.grid.clone().single(), weight: weight.grid.clone() };
    let (x, weight) = (x.value.clone().into_primitive(), weight.value.clone().into_primitive());
    Ok(Tensor::from_primitive(match bias {
        None => <Dispatch as Linear>::product(x, weight, operands),
        Some(bias) => {
            let bias = bias.clone().into_primitive();
            <Dispatch as Linear>::product_with_bias(x, weight, bias, operands)
        }
    }))
}
