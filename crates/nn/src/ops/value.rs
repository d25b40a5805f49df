//! Ordinary tensor operations in formula notation, for the defaults that every backend can run.

use std::ops::{Add, Div, Mul, Neg, Sub};

use burn::backend::tensor::{BoolTensor, FloatTensor};
use burn::backend::{Backend, Scalar, TensorMetadata, get_or_init_device_settings};
use burn::tensor::{BoolDType, Shape, TensorData};

/// A tensor on backend `B`. Binary operators broadcast.
#[derive(Debug)]
pub struct Value<B: Backend>(pub FloatTensor<B>);

/// Which elements of a tensor fulfil a condition.
pub struct Mask<B: Backend>(BoolTensor<B>);

impl<B: Backend> Clone for Value<B> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<B: Backend> Clone for Mask<B> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

macro_rules! operator {
    ($trait:ident, $method:ident, $function:ident, $scalar:ident) => {
        impl<B: Backend> $trait for Value<B> {
            type Output = Self;
            fn $method(self, other: Self) -> Self {
                Self(B::$function(self.0, other.0))
            }
        }
        impl<B: Backend> $trait<f32> for Value<B> {
            type Output = Self;
            fn $method(self, other: f32) -> Self {
                Self(B::$scalar(self.0, scalar(other)))
            }
        }
    };
}

operator!(Add, add, float_add, float_add_scalar);
operator!(Sub, sub, float_sub, float_sub_scalar);
operator!(Mul, mul, float_mul, float_mul_scalar);
operator!(Div, div, float_div, float_div_scalar);

impl<B: Backend> Neg for Value<B> {
    type Output = Self;
    fn neg(self) -> Self {
        Self(B::float_neg(self.0))
    }
}

fn scalar(value: f32) -> Scalar {
    Scalar::Float(f64::from(value))
}

impl<B: Backend> Value<B> {
    /// A tensor of the same shape whose elements are all `value`.
    pub fn like(&self, value: f32) -> Self {
        let t = &self.0;
        Self(B::float_full(t.shape(), scalar(value), &t.device(), t.dtype().into()))
    }

    /// A tensor of other values on the same device.
    pub fn beside(&self, values: Vec<f32>, shape: &[usize]) -> Self {
        let data = TensorData::new(values, Shape::from(shape.to_vec()));
        Self(B::float_from_data(data, &self.0.device()))
    }

    /// The number of each element in row-major order. Beyond 2^24 elements neighbours share one.
    pub fn indices(&self) -> Self {
        let (device, shape) = (self.0.device(), self.shape());
        let int = get_or_init_device_settings::<B>(&device).int_dtype;
        let numbers = B::int_arange(0..self.len() as i64, &device, int);
        Self(B::int_into_float(numbers, self.0.dtype().into())).reshape(&shape)
    }

    pub fn shape(&self) -> Vec<usize> {
        self.0.shape().to_vec()
    }

    pub fn len(&self) -> usize {
        self.0.shape().num_elements()
    }

    pub fn reshape(self, shape: &[usize]) -> Self {
        Self(B::float_reshape(self.0, Shape::from(shape.to_vec())))
    }

    pub fn transpose(self) -> Self {
        Self(B::float_transpose(self.0))
    }

    pub fn matmul(self, other: Self) -> Self {
        Self(B::float_matmul(self.0, other.0))
    }

    /// Sums over the given dimensions, which stay with size one.
    pub fn sum_over(self, dims: impl IntoIterator<Item = usize>) -> Self {
        dims.into_iter().fold(self, |sum, dim| Self(B::float_sum_dim(sum.0, dim)))
    }

    /// Sums everything, to shape `[1]`.
    pub fn total(self) -> Self {
        let len = self.len();
        Self(B::float_sum_dim(self.reshape(&[len]).0, 0))
    }

    pub fn abs(self) -> Self {
        Self(B::float_abs(self.0))
    }

    pub fn sqrt(self) -> Self {
        Self(B::float_sqrt(self.0))
    }

    pub fn exp(self) -> Self {
        Self(B::float_exp(self.0))
    }

    pub fn log(self) -> Self {
        Self(B::float_log(self.0))
    }

    pub fn sign(self) -> Self {
        Self(B::float_sign(self.0))
    }

    /// Rounds to an integer, ties to even.
    ///
    /// Not by the rounding of the backend: on Vulkan (`Round` of GLSL.std.450) the driver may choose where
    /// ties go.
    pub fn round(self) -> Self {
        let floor = |value: Self| Self(B::float_floor(value.0));
        let low = floor(self.clone());
        let fraction = self - low.clone();
        let odd = low.clone() - floor(low.clone() * 0.5) * 2.0;
        let (up, tie) = (fraction.clone().above(0.5), fraction.equal(0.5));
        low.clone() + low.like(0.0).fill(up, 1.0).replace(tie, odd)
    }

    /// Largest element along a dimension, which stays with size one.
    pub fn max_along(self, dim: usize) -> Self {
        Self(B::float_max_dim(self.0, dim))
    }

    /// Sorts a tensor of one dimension, ascending.
    pub fn sort(self) -> Self {
        Self(B::float_sort(self.0, 0, false))
    }

    /// One element of a tensor of one dimension, of shape `[1]`.
    pub fn at(self, index: usize) -> Self {
        Self(B::float_slice(self.0, &[(index..index + 1).into()]))
    }

    /// Reads the elements.
    pub fn numbers(&self) -> Vec<f32> {
        let data = burn::tensor::read_sync(B::float_into_data(self.0.clone()));
        data.expect("tensors can be read").try_to_vec().expect("tensors of this crate are f32")
    }

    /// Clamps by comparison, so that NaN stays NaN.
    pub fn clip(self, low: f32, high: f32) -> Self {
        let (below, above) = (self.clone().below(low), self.clone().above(high));
        self.fill(below, low).fill(above, high)
    }

    pub fn above(self, limit: f32) -> Mask<B> {
        let dtype = self.bools();
        Mask(B::float_greater_elem(self.0, scalar(limit), dtype))
    }

    pub fn below(self, limit: f32) -> Mask<B> {
        let dtype = self.bools();
        Mask(B::float_lower_elem(self.0, scalar(limit), dtype))
    }

    pub fn at_least(self, limit: f32) -> Mask<B> {
        let dtype = self.bools();
        Mask(B::float_greater_equal_elem(self.0, scalar(limit), dtype))
    }

    pub fn equal(self, value: f32) -> Mask<B> {
        let dtype = self.bools();
        Mask(B::float_equal_elem(self.0, scalar(value), dtype))
    }

    pub fn same_as(self, other: Self) -> Mask<B> {
        let dtype = self.bools();
        Mask(B::float_equal(self.0, other.0, dtype))
    }

    pub fn at_most(self, limit: f32) -> Mask<B> {
        let dtype = self.bools();
        Mask(B::float_lower_equal_elem(self.0, scalar(limit), dtype))
    }

    /// Replaces the elements of the mask by a constant.
    pub fn fill(self, mask: Mask<B>, value: f32) -> Self {
        Self(B::float_mask_fill(self.0, mask.0, scalar(value)))
    }

    /// Replaces the elements of the mask by those of another tensor.
    pub fn replace(self, mask: Mask<B>, other: Self) -> Self {
        Self(B::float_mask_where(self.0, mask.0, other.0))
    }

    fn bools(&self) -> BoolDType {
        get_or_init_device_settings::<B>(&self.0.device()).bool_dtype
    }
}
