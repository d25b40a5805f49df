//! A rank-free handle around Burn's tensors.
//!
//! Shapes are data here, so that networks can be data: no rank in the type. A [`Tensor`] is a cheap
//! handle; a clone shares the values.

use burn::backend::autodiff::grads::Gradients as BurnGradients;
use burn::backend::flex::{FlexTensor, Layout};
use burn::backend::ops::FloatTensorOps;
use burn::backend::{
    AutodiffBackend, BackendTensor, DType, Dispatch, DispatchAutodiffContext, DispatchDevice,
    DispatchTensor, DispatchTensorKind, TensorMetadata,
};
use burn::tensor::{Bytes, Shape, Tensor as BurnTensor, TensorData};

use crate::device::Device;
use crate::ops::storage;

/// Whether the processor's tensors are used as the slices that they are.
const ON_SLICES: bool = cfg!(not(feature = "portable"));

/// Values of type `f32` in row-major order, with a shape of any rank of at least one.
///
/// A tensor either belongs to a graph, after [`Tensor::with_grad`] or when computed from such a
/// tensor, or is plain. Operations on plain tensors record nothing.
///
/// # Examples
/// ```
/// use fewbit_nn::{Device, Tensor};
///
/// let x = Tensor::from_vec(vec![1.0, -2.0, 3.0], &[3], &Device::cpu()).with_grad();
/// let loss = x.clone().add(&x).sum();
/// assert_eq!(loss.to_vec(), [4.0]);
/// let gradients = loss.backward();
/// assert_eq!(gradients.of(&x).expect("the sum depends on x").to_vec(), [2.0, 2.0, 2.0]);
/// ```
#[derive(Clone, Debug)]
pub struct Tensor(DispatchTensor);

impl Tensor {
    /// Takes `values` as a tensor of the given shape.
    ///
    /// # Panics
    /// If the number of values is not the product of the shape.
    pub fn from_vec(values: Vec<f32>, shape: &[usize], device: &Device) -> Self {
        assert_eq!(
            values.len(),
            shape.iter().product::<usize>(),
            "number of values of a tensor of shape {shape:?}"
        );
        match device.dispatch() {
            DispatchDevice::Flex(_) if ON_SLICES => Self::from_flex(FlexTensor::new(
                Bytes::from_elems(values),
                Layout::contiguous(Shape::from(shape.to_vec())),
                DType::F32,
            )),
            #[allow(unreachable_patterns)]
            other => Self(Dispatch::float_from_data(
                TensorData::new(values, Shape::from(shape.to_vec())),
                other,
            )),
        }
    }

    /// A tensor whose elements all have one value.
    pub fn full(value: f32, shape: &[usize], device: &Device) -> Self {
        Self::from_vec(vec![value; shape.iter().product()], shape, device)
    }

    /// A tensor of zeros.
    pub fn zeros(shape: &[usize], device: &Device) -> Self {
        Self::full(0.0, shape, device)
    }

    /// A tensor without elements, as a place holder.
    pub fn empty() -> Self {
        Self::from_vec(vec![], &[0], &Device::cpu())
    }

    /// Size of each dimension.
    pub fn shape(&self) -> Vec<usize> {
        self.0.kind.shape().to_vec()
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.0.kind.shape().num_elements()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The device that holds the values.
    pub fn device(&self) -> Device {
        Device::from_dispatch(self.0.kind.device())
    }

    /// The same values on another device, outside of any graph.
    pub fn to_device(&self, device: &Device) -> Self {
        Self::from_vec(self.to_vec(), &self.shape(), device)
    }

    /// Copies the values out.
    pub fn to_vec(&self) -> Vec<f32> {
        self.read(<[f32]>::to_vec)
    }

    /// The only value of a tensor with one element.
    ///
    /// # Panics
    /// If there are more or fewer elements.
    pub fn item(&self) -> f32 {
        self.read(|values| {
            assert_eq!(values.len(), 1, "a tensor of shape {:?} as a number", self.shape());
            values[0]
        })
    }

    /// Calls `f` with the values, which are copied only if they lie elsewhere or out of order.
    pub fn read<R>(&self, f: impl FnOnce(&[f32]) -> R) -> R {
        match self.flex() {
            Some(flex) => match flex.as_slice::<f32>() {
                Some(values) => f(values),
                None => {
                    let copy = flex.to_contiguous();
                    f(copy.as_slice::<f32>().expect("a contiguous f32 tensor has a slice"))
                }
            },
            None => {
                let data = BurnTensor::<1>::from_dispatch(Dispatch::float_reshape(
                    self.clone().detach().0,
                    Shape::new([self.len()]),
                ))
                .into_data();
                f(data.as_slice::<f32>().expect("the values are f32"))
            }
        }
    }

    /// Leaves the memory to the next tensors of this size, if nothing else holds it.
    pub fn recycle(self) {
        if ON_SLICES && let DispatchTensorKind::Flex(BackendTensor::Float(flex)) = self.0.kind {
            storage::recycle(flex);
        }
    }

    /// Calls `f` with the values to change, in place if nothing else holds them, else on a copy.
    ///
    /// The tensor leaves its graph.
    pub fn update<R>(&mut self, f: impl FnOnce(&mut [f32]) -> R) -> R {
        let shape = self.shape();
        let device = self.device();
        if self.is_tracked() || !matches!(self.0.kind, DispatchTensorKind::Flex(_)) {
            *self = std::mem::replace(self, Self::empty()).detach();
        }
        let len = self.len();
        if ON_SLICES
            && let DispatchTensorKind::Flex(BackendTensor::Float(flex)) = &mut self.0.kind
            && flex.is_contiguous()
            && flex.layout().start_offset() == 0
            && let Some(values) = flex.try_storage_mut::<f32>()
            && values.len() == len
        {
            return f(values);
        }
        let mut values = self.to_vec();
        let result = f(&mut values);
        *self = Self::from_vec(values, &shape, &device);
        result
    }

    /// Enters a plain tensor into a graph as a leaf whose gradient is wanted.
    pub fn with_grad(self) -> Self {
        let plain = self.detach().0;
        Self(Dispatch::float_set_require_grad(Dispatch::from_inner(plain), true))
    }

    /// The same values outside of any graph.
    pub fn detach(self) -> Self {
        match self.0.autodiff {
            DispatchAutodiffContext::Enabled(_) => Self(Dispatch::inner(self.0)),
            DispatchAutodiffContext::Disabled => self,
        }
    }

    /// Whether the tensor belongs to a graph.
    pub fn is_tracked(&self) -> bool {
        self.0.autodiff != DispatchAutodiffContext::Disabled
    }

    /// The same values in another shape.
    ///
    /// # Panics
    /// If the number of elements differs.
    pub fn reshape(self, shape: &[usize]) -> Self {
        assert_eq!(
            self.len(),
            shape.iter().product::<usize>(),
            "elements of a reshape from {:?} to {shape:?}",
            self.shape()
        );
        Self(Dispatch::float_reshape(self.0, Shape::from(shape.to_vec())))
    }

    /// Adds element by element; both have the same shape.
    ///
    /// # Panics
    /// If the shapes differ.
    #[allow(clippy::should_implement_trait, reason = "operators would hide what can panic")]
    pub fn add(self, other: &Self) -> Self {
        assert_eq!(self.shape(), other.shape(), "shapes of the operands of an addition");
        Self(Dispatch::float_add(self.0, other.0.clone()))
    }

    /// Multiplies element by element; both have the same shape.
    ///
    /// # Panics
    /// If the shapes differ.
    #[allow(clippy::should_implement_trait, reason = "operators would hide what can panic")]
    pub fn mul(self, other: &Self) -> Self {
        assert_eq!(self.shape(), other.shape(), "shapes of the operands of a multiplication");
        Self(Dispatch::float_mul(self.0, other.0.clone()))
    }

    /// Multiplies every element by a constant.
    pub fn mul_scalar(self, factor: f32) -> Self {
        Self(Dispatch::float_mul_scalar(self.0, f64::from(factor).into()))
    }

    /// Adds all elements up, to a tensor of shape `[1]`. Not part of the arithmetic contract.
    pub fn sum(self) -> Self {
        Self(Dispatch::float_sum(self.0))
    }

    /// Computes the gradients of the sum of all elements with respect to the leaves of the graph.
    ///
    /// # Panics
    /// If the tensor is outside of any graph.
    pub fn backward(self) -> Gradients {
        assert!(self.is_tracked(), "the gradient of a tensor that belongs to no graph");
        Gradients(Dispatch::backward(self.0))
    }

    pub(crate) fn from_primitive(primitive: DispatchTensor) -> Self {
        Self(primitive)
    }

    pub(crate) fn into_primitive(self) -> DispatchTensor {
        self.0
    }

    fn from_flex(flex: FlexTensor) -> Self {
        Self(DispatchTensor {
            kind: DispatchTensorKind::Flex(BackendTensor::Float(flex)),
            autodiff: DispatchAutodiffContext::Disabled,
        })
    }

    fn flex(&self) -> Option<&FlexTensor> {
        if !ON_SLICES {
            return None;
        }
        match &self.0.kind {
            DispatchTensorKind::Flex(BackendTensor::Float(flex)) => Some(flex),
            DispatchTensorKind::Autodiff(inner) => match &**inner {
                DispatchTensorKind::Flex(BackendTensor::Autodiff(tensor)) => {
                    Some(tensor.primitive())
                }
                _ => None,
            },
            #[allow(unreachable_patterns)]
            _ => None,
        }
    }
}

/// The gradients that [`Tensor::backward`] found.
pub struct Gradients(BurnGradients);

impl Gradients {
    /// The gradient of a leaf; `None` if the result does not depend on it.
    pub fn of(&self, leaf: &Tensor) -> Option<Tensor> {
        Dispatch::grad(&leaf.0, &self.0).map(Tensor)
    }

    /// Takes the gradient of a leaf out, so that nothing else holds it.
    pub fn take(&mut self, leaf: &Tensor) -> Option<Tensor> {
        Dispatch::grad_remove(&leaf.0, &mut self.0).map(Tensor)
    }
}

impl std::fmt::Debug for Gradients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gradients")
    }
}
