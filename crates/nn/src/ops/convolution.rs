//! Convolutions of images.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::flex::FlexTensor;
use burn::backend::ops::ConvOptions;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata};
use fewbit_kernels::conv2d::{self as kernel, Conv2dShape, Padding};
use fewbit_kernels::{accumulation, conv2d as convolve, epilogue};

use super::extension::{Keep, contiguous, extension, record, slice, tensor};
use super::quantized::{Codes, Grid, Quantized, Scale};
use super::storage::{buffer, recycle};
use crate::error::{Error, ErrorKind};
use crate::tensor::Tensor;

/// How a kernel moves over an image; the same in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Distance of neighbouring outputs, in pixels of the input.
    pub stride: usize,
    /// Rows and columns of zeros on every side.
    pub padding: usize,
}

impl Window {
    fn options(self) -> ConvOptions<2> {
        ConvOptions::new([self.stride; 2], [self.padding; 2], [1; 2], 1)
    }

    fn shape(self, x: &[usize], weight: &[usize]) -> Conv2dShape {
        Conv2dShape {
            n: x[0],
            c: x[1],
            h: x[2],
            w: x[3],
            o: weight[0],
            kh: weight[2],
            kw: weight[3],
            stride: (self.stride, self.stride),
            pad: Padding::same(self.padding),
            dilation: (1, 1),
            groups: 1,
        }
    }
}

/// What is known about both operands, and how the kernel moves.
#[derive(Clone, Debug)]
pub struct Convolution {
    x: Grid,
    weight: Grid,
    window: Window,
}

extension! {
    /// Convolutions of images.
    pub trait Convolve: Backend {
        /// The cross-correlation of `x` and `weight`.
        fn convolve(
            x: FloatTensor<Self>,
            weight: FloatTensor<Self>,
            convolution: Convolution
        ) -> FloatTensor<Self> {
            Self::conv2d(x, weight, None, convolution.window.options())
        }
    }
}

/// The passes of the convolution that training needs; concrete backends only.
pub trait ConvolveGradient: Convolve {
    /// The gradient of `x`.
    fn convolve_gradient_x(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        upstream: FloatTensor<Self>,
        window: Window,
    ) -> FloatTensor<Self> {
        Self::conv2d_x_backward(x, weight, upstream, window.options())
    }

    /// The gradient of the weight.
    fn convolve_gradient_weight(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        upstream: FloatTensor<Self>,
        window: Window,
    ) -> FloatTensor<Self> {
        Self::conv2d_weight_backward(x, weight, upstream, window.options())
    }
}

#[cfg(not(feature = "portable"))]
impl Convolve for Flex {
    fn convolve(x: FlexTensor, weight: FlexTensor, convolution: Convolution) -> FlexTensor {
        let Convolution { x: x_grid, weight: weight_grid, window } = convolution;
        let shape = window.shape(&x.shape().to_vec(), &weight.shape().to_vec());
        let (height, width) = shape.output_size().expect("sizes are checked before");
        let (x, weight) = (Codes::of(x, &x_grid), Codes::of(weight, &weight_grid));
        let mut y = buffer(shape.n * shape.o * height * width);
        let accumulation = accumulation(x.grid, weight.grid);
        convolve(slice(&x.tensor), slice(&weight.tensor), &mut y, &shape, accumulation);
        let scale = match &x.scale {
            Scale::PerTensor(scale) => weight.scale.times(*scale),
            Scale::PerChannel(_) => unreachable!("an input with several scales is plain"),
        };
        let inner = height * width;
        epilogue::scale_bias(&mut y, inner, scale.kernel(inner), None);
        [x.tensor, weight.tensor].into_iter().for_each(recycle);
        tensor(y, [shape.n, shape.o, height, width].into())
    }
}

#[cfg(not(feature = "portable"))]
impl ConvolveGradient for Flex {
    fn convolve_gradient_x(
        x: FlexTensor,
        weight: FlexTensor,
        upstream: FlexTensor,
        window: Window,
    ) -> FlexTensor {
        let shape = window.shape(&x.shape().to_vec(), &weight.shape().to_vec());
        let (weight, upstream) = (contiguous(weight), contiguous(upstream));
        let mut dx = buffer(x.shape().num_elements());
        kernel::conv2d_grad_input(slice(&upstream), slice(&weight), &mut dx, &shape);
        tensor(dx, x.shape())
    }

    fn convolve_gradient_weight(
        x: FlexTensor,
        weight: FlexTensor,
        upstream: FlexTensor,
        window: Window,
    ) -> FlexTensor {
        let shape = window.shape(&x.shape().to_vec(), &weight.shape().to_vec());
        let (x, upstream) = (contiguous(x), contiguous(upstream));
        let mut dw = buffer(weight.shape().num_elements());
        kernel::conv2d_grad_weight(slice(&x), slice(&upstream), &mut dw, &shape);
        let shape = weight.shape();
        [x, weight, upstream].into_iter().for_each(recycle);
        tensor(dw, shape)
    }
}

impl<B: ConvolveGradient, C: CheckpointStrategy> Convolve for Autodiff<B, C> {
    fn convolve(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        convolution: Convolution,
    ) -> FloatTensor<Self> {
        record::<B, C, _, 2>(
            [x, weight],
            |[x, weight], keep| {
                let kept = keep == Keep::State;
                let kept = kept.then(|| (x.clone(), weight.clone(), convolution.window));
                (B::convolve(x, weight, convolution), kept)
            },
            |(x, weight, window): (FloatTensor<B>, FloatTensor<B>, Window), upstream, wanted| {
                let dx = wanted[0].then(|| {
                    let (x, weight) = (x.clone(), weight.clone());
                    B::convolve_gradient_x(x, weight, upstream.clone(), window)
                });
                let dweight =
                    wanted[1].then(|| B::convolve_gradient_weight(x, weight, upstream, window));
                [dx, dweight]
            },
        )
    }
}

/// Convolves images with a weight (a cross-correlation, with zeros around the image), without bias.
///
/// On the processor the sum follows the arithmetic contract, as that of [`linear`](super::linear).
///
/// # Shape
/// `x`: `[N, C, H, W]`, `weight`: `[O, C, KH, KW]`; result: `[N, O, OH, OW]`.
/// # Gradient
/// To `x` and to the weight, with the dequantized values.
/// # Errors
/// [`ErrorKind::ShapeMismatch`] if the shapes do not fit.
pub fn conv2d(x: &Quantized, weight: &Quantized, window: Window) -> Result<Tensor, Error> {
    let (x_shape, shape) = (x.value.shape(), weight.value.shape());
    let mismatch = |operand, got, expected| {
        let operation = "convolution";
        Err(Error::new(ErrorKind::ShapeMismatch { operation, operand, got, expected }))
    };
    let &[_, channels, _, _] = shape.as_slice() else {
        return mismatch("weight", shape, "[outputs, inputs, height, width]".to_owned());
    };
    if x_shape.len() != 4 || x_shape[1] != channels {
        return mismatch("x", x_shape, format!("[N, {channels}, H, W]"));
    }
    if window.shape(&x_shape, &shape).output_size().is_none() {
        return mismatch("x", x_shape, format!("images as large as the kernel of {shape:?}"));
    }
    let convolution =
        Convolution { x: x.grid.clone().single(), weight: weight.grid.clone(), window };
    Ok(Tensor::from_primitive(<Dispatch as Convolve>::convolve(
        x.value.clone().into_primitive(),
        weight.value.clone().into_primitive(),
        convolution,
    )))
}
