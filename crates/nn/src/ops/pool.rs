//! Pooling of images by square windows that do not overlap.

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Autodiff, Backend, Dispatch, Flex, TensorMetadata, get_or_init_device_settings,
};
use fewbit_kernels::pool::{self as kernel, Pool2dShape};

use super::extension::{Keep, contiguous, extension, record, slice, tensor};
use super::quantized::{Grid, Quantized, Scale};
use super::storage::{buffer, recycle};
use crate::error::{Error, ErrorKind};
use crate::tensor::Tensor;

extension! {
    /// Pooling of images.
    pub trait Pool: Backend {
        /// The largest value of each window.
        fn pool_largest(x: FloatTensor<Self>, size: usize) -> FloatTensor<Self> {
            Self::max_pool2d(x, [size; 2], [size; 2], [0; 2], [1; 2], false)
        }

        /// The mean of each window.
        fn pool_mean(x: FloatTensor<Self>, size: usize) -> FloatTensor<Self> {
            Self::avg_pool2d(x, [size; 2], [size; 2], [0; 2], true, false)
        }
    }
}

/// The passes of pooling that training needs; concrete backends only.
pub trait PoolGradient: Pool {
    /// The largest values, with what the backward pass needs.
    fn pool_largest_keeping(x: FloatTensor<Self>, size: usize) -> (FloatTensor<Self>, Kept<Self>) {
        (Self::pool_largest(x.clone(), size), Kept::Input(x))
    }

    /// The gradient of the input of [`Pool::pool_largest`].
    fn pool_largest_gradient(
        kept: Kept<Self>,
        upstream: FloatTensor<Self>,
        size: usize,
    ) -> FloatTensor<Self> {
        let Kept::Input(x) = kept else { unreachable!("the default keeps the input") };
        let (window, zero, one) = ([size; 2], [0; 2], [1; 2]);
        let dtype = get_or_init_device_settings::<Self>(&x.device()).int_dtype;
        let found =
            Self::max_pool2d_with_indices(x.clone(), window, window, zero, one, false, dtype);
        let gradient = Self::max_pool2d_with_indices_backward(
            x,
            window,
            window,
            zero,
            one,
            false,
            upstream,
            found.indices,
        );
        gradient.x_grad
    }

    /// The gradient of the input of [`Pool::pool_mean`]; only the shape of `x` matters.
    fn pool_mean_gradient(
        x: Shaped<Self>,
        upstream: FloatTensor<Self>,
        size: usize,
    ) -> FloatTensor<Self> {
        let x = Self::float_zeros(x.shape.into(), &x.device, upstream.dtype().into());
        Self::avg_pool2d_backward(x, upstream, [size; 2], [size; 2], [0; 2], true, false)
    }
}

/// What the backward pass of the largest values needs.
#[derive(Clone, Debug)]
pub enum Kept<B: Backend> {
    /// The places of the values that were taken, and the shape of the input.
    Places(Arc<[u32]>, Vec<usize>),
    /// The input.
    Input(FloatTensor<B>),
}

/// The shape of a tensor, and where it was.
#[derive(Clone, Debug)]
pub struct Shaped<B: Backend> {
    shape: Vec<usize>,
    device: B::Device,
}

fn shape(x: &[usize], size: usize) -> Pool2dShape {
    Pool2dShape {
        planes: x[0] * x[1],
        h: x[2],
        w: x[3],
        kernel: (size, size),
        stride: (size, size),
    }
}

/// Runs a kernel over the windows of `x`.
fn pooled<R>(
    x: FlexTensor,
    size: usize,
    run: impl FnOnce(&[f32], &mut [f32], &Pool2dShape) -> R,
) -> (FlexTensor, R) {
    let x = contiguous(x);
    let dims = x.shape().to_vec();
    let shape = shape(&dims, size);
    let (height, width) = shape.output_size().expect("sizes are checked before");
    let mut y = buffer(shape.planes * height * width);
    let result = run(slice(&x), &mut y, &shape);
    recycle(x);
    (tensor(y, [dims[0], dims[1], height, width].into()), result)
}

#[cfg(not(feature = "portable"))]
impl Pool for Flex {
    fn pool_largest(x: FlexTensor, size: usize) -> FlexTensor {
        pooled(x, size, kernel::max).0
    }

    fn pool_mean(x: FlexTensor, size: usize) -> FlexTensor {
        pooled(x, size, kernel::average).0
    }
}

#[cfg(not(feature = "portable"))]
impl PoolGradient for Flex {
    fn pool_largest_keeping(x: FlexTensor, size: usize) -> (FlexTensor, Kept<Self>) {
        let dims = x.shape().to_vec();
        let (y, places) = pooled(x, size, kernel::max);
        (y, Kept::Places(places.into(), dims))
    }

    fn pool_largest_gradient(kept: Kept<Self>, upstream: FlexTensor, size: usize) -> FlexTensor {
        let Kept::Places(places, dims) = kept else { unreachable!("the processor keeps places") };
        let mut dx = buffer(dims.iter().product());
        let upstream = contiguous(upstream);
        kernel::max_grad(slice(&upstream), &places, &mut dx, &shape(&dims, size));
        recycle(upstream);
        tensor(dx, dims.into())
    }

    fn pool_mean_gradient(x: Shaped<Self>, upstream: FlexTensor, size: usize) -> FlexTensor {
        let mut dx = buffer(x.shape.iter().product());
        let upstream = contiguous(upstream);
        kernel::average_grad(slice(&upstream), &mut dx, &shape(&x.shape, size));
        tensor(dx, x.shape.into())
    }
}

impl<B: PoolGradient, C: CheckpointStrategy> Pool for Autodiff<B, C> {
    fn pool_largest(x: FloatTensor<Self>, size: usize) -> FloatTensor<Self> {
        record::<B, C, _, 1>(
            [x],
            |[x], keep| match keep {
                Keep::Nothing => (B::pool_largest(x, size), None),
                Keep::State => {
                    let (y, kept) = B::pool_largest_keeping(x, size);
                    (y, Some((kept, size)))
                }
            },
            |(kept, size): (Kept<B>, usize), upstream, _| {
                [Some(B::pool_largest_gradient(kept, upstream, size))]
            },
        )
    }

    fn pool_mean(x: FloatTensor<Self>, size: usize) -> FloatTensor<Self> {
        record::<B, C, _, 1>(
            [x],
            |[x], keep| {
                let kept = (keep == Keep::State)
                    .then(|| (Shaped { shape: x.shape().to_vec(), device: x.device() }, size));
                (B::pool_mean(x, size), kept)
            },
            |(x, size): (Shaped<B>, usize), upstream, _| {
                [Some(B::pool_mean_gradient(x, upstream, size))]
            },
        )
    }
}

/// Takes the largest value of each window; what does not fill a window is left out.
///
/// # Shape
/// `x`: `[N, C, H, W]`; result: `[N, C, H / size, W / size]`.
/// # Gradient
/// To the first of the largest values.
/// # Errors
/// [`ErrorKind::ShapeMismatch`] if there is no whole window.
pub fn max_pool(x: &Quantized, size: usize) -> Result<Quantized, Error> {
    check("maximum pooling", &x.value.shape(), size)?;
    let value = x.value.clone().into_primitive();
    let value = Tensor::from_primitive(<Dispatch as Pool>::pool_largest(value, size));
    let grid = match &x.grid {
        Grid::Scaled { scale: Scale::PerTensor(_), .. } => x.grid.clone(),
        Grid::Scaled { .. } | Grid::Plain => Grid::Plain,
    };
    Ok(Quantized { value, grid, scale: x.scale.clone() })
}

/// Takes the mean of each window: the sum in `f32` in the order of the rows, divided by the number.
///
/// # Shape
/// `x`: `[N, C, H, W]`; result: `[N, C, H / size, W / size]`.
/// # Gradient
/// The same part to every value of a window.
/// # Errors
/// [`ErrorKind::ShapeMismatch`] if there is no whole window.
pub fn average_pool(x: &Tensor, size: usize) -> Result<Tensor, Error> {
    check("average pooling", &x.shape(), size)?;
    let x = x.clone().into_primitive();
    Ok(Tensor::from_primitive(<Dispatch as Pool>::pool_mean(x, size)))
}

fn check(operation: &'static str, x: &[usize], size: usize) -> Result<(), Error> {
    if x.len() == 4 && shape(x, size).output_size().is_some() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::ShapeMismatch {
        operation,
        operand: "x",
        got: x.to_vec(),
        expected: format!("[N, C, H, W] with H and W of at least {size}"),
    }))
}
