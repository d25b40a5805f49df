//! Tensors as they go into a model and come out of it.

mod small;
mod stored;

pub use small::{
    F4E2M1, F6E2M3, F6E3M2, F8E4M3, F8E4M3Fnuz, F8E5M2, F8E5M2Fnuz, F8E8M0, I2, I4, U2, U4,
};
pub(crate) use small::{Narrowing, low_bits, narrowed, sticky, unpack, widened};
pub(crate) use stored::value_of;

use std::fmt;
use std::sync::Arc;

use half::{bf16, f16};

use crate::error::{Error, Fault};

/// A tensor of any rank in row-major order. Cloning is cheap: the elements are shared.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    shape: Vec<usize>,
    data: Data,
}

/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the names are the types")]
pub enum DType {
    F32,
    F64,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    Bool,
    F16,
    Bf16,
    F8E4M3,
    F8E4M3Fnuz,
    F8E5M2,
    F8E5M2Fnuz,
    F8E8M0,
    F6E2M3,
    F6E3M2,
    F4E2M1,
    I4,
    U4,
    I2,
    U2,
}

/// The elements of a tensor, by their type.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the names are the types")]
pub enum Data {
    F32(Arc<Vec<f32>>),
    F64(Arc<Vec<f64>>),
    I8(Arc<Vec<i8>>),
    I16(Arc<Vec<i16>>),
    I32(Arc<Vec<i32>>),
    I64(Arc<Vec<i64>>),
    U8(Arc<Vec<u8>>),
    U16(Arc<Vec<u16>>),
    U32(Arc<Vec<u32>>),
    U64(Arc<Vec<u64>>),
    Bool(Arc<Vec<bool>>),
    F16(Arc<Vec<f16>>),
    Bf16(Arc<Vec<bf16>>),
    F8E4M3(Arc<Vec<F8E4M3>>),
    F8E4M3Fnuz(Arc<Vec<F8E4M3Fnuz>>),
    F8E5M2(Arc<Vec<F8E5M2>>),
    F8E5M2Fnuz(Arc<Vec<F8E5M2Fnuz>>),
    F8E8M0(Arc<Vec<F8E8M0>>),
    F6E2M3(Arc<Vec<F6E2M3>>),
    F6E3M2(Arc<Vec<F6E3M2>>),
    F4E2M1(Arc<Vec<F4E2M1>>),
    I4(Arc<Vec<I4>>),
    U4(Arc<Vec<U4>>),
    I2(Arc<Vec<I2>>),
    U2(Arc<Vec<U2>>),
}

/// A type that a tensor can hold.
pub trait Element: sealed::Sealed + Copy + Send + Sync + 'static {
    /// The type's name at run time.
    const DTYPE: DType;
}

mod sealed {
    use super::{Arc, Data};

    pub trait Sealed: Sized {
        fn slice(data: &Data) -> Option<&[Self]>;
        fn shared(data: Data) -> Result<Arc<Vec<Self>>, Data>;
    }
}

impl Value {
    /// Makes a tensor of a shape and its elements in row-major order.
    ///
    /// # Errors
    /// [`ErrorKind::ShapeMismatch`](crate::ErrorKind::ShapeMismatch) if the shape has another number of elements.
    ///
    /// # Examples
    /// ```
    /// use fewbit_qonnx::{DType, Value};
    /// let value = Value::new(vec![2, 3], vec![1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0])?;
    /// assert_eq!((value.shape(), value.dtype()), (&[2, 3][..], DType::F32));
    /// assert_eq!(value.as_slice::<f32>().map(|x| x[5]), Some(6.0));
    /// # Ok::<(), fewbit_qonnx::Error>(())
    /// ```
    pub fn new(shape: Vec<usize>, data: impl Into<Data>) -> Result<Self, Error> {
        let data = data.into();
        if element_count(&shape) != Some(data.len()) {
            let expected = format!("a shape of {} elements", data.len());
            return Err(Error::tensor("value", Fault::shape("the tensor", &shape, expected)));
        }
        Ok(Self { shape, data })
    }

    /// A tensor whose shape is known to fit its elements.
    pub(crate) fn of(shape: Vec<usize>, data: impl Into<Data>) -> Self {
        let data = data.into();
        assert_eq!(element_count(&shape), Some(data.len()), "elements of a tensor of {shape:?}");
        Self { shape, data }
    }

    /// Returns the extents, outermost first; empty for a scalar.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Returns the elements.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// Returns the type of the elements.
    pub fn dtype(&self) -> DType {
        self.data.dtype()
    }

    /// Returns the number of elements.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Tells whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the elements in row-major order, or nothing if they are of another type.
    pub fn as_slice<T: Element>(&self) -> Option<&[T]> {
        T::slice(&self.data)
    }

    /// Takes the elements out, without a copy if nothing else shares them; gives the tensor back if they are of another type.
    pub fn into_vec<T: Element>(self) -> Result<Vec<T>, Self> {
        match T::shared(self.data) {
            Ok(data) => Ok(Arc::unwrap_or_clone(data)),
            Err(data) => Err(Self { shape: self.shape, data }),
        }
    }

    /// Returns the same numbers as `f32` or as integers of 8 bits, if they are floats or integers of fewer bits; others stay as they are.
    pub fn widened(&self) -> Self {
        Self::of(self.shape.clone(), widened(&self.data))
    }

    /// Returns the elements as `f64`, truth values as 0 and 1; integers beyond 2^53 are rounded.
    pub fn to_f64(&self) -> Vec<f64> {
        macro_rules! by_type {
            ($($variant:ident)*) => {
                match widened(&self.data) {
                    $(Data::$variant(values) => values.iter().map(|&v| v as f64).collect(),)*
                    Data::Bool(values) => values.iter().map(|&v| f64::from(u8::from(v))).collect(),
                    // Wider types are all there are after widening.
                    other => unreachable!("{}", other.dtype()),
                }
            };
        }
        by_type!(F32 F64 I8 I16 I32 I64 U8 U16 U32 U64)
    }

    /// Takes the tensor apart.
    pub fn into_parts(self) -> (Vec<usize>, Data) {
        (self.shape, self.data)
    }

    /// The same elements in another shape of as many.
    pub(crate) fn with_shape(self, shape: Vec<usize>) -> Self {
        Self::of(shape, self.data)
    }
}

/// The number of elements of a shape, `None` if it does not fit, even if the extents of 0 are left out.
pub(crate) fn element_count(shape: &[usize]) -> Option<usize> {
    let product = shape.iter().try_fold(1usize, |count, &dim| count.checked_mul(dim.max(1)));
    let product = product.filter(|&count| count <= isize::MAX as usize)?;
    Some(if shape.contains(&0) { 0 } else { product })
}

macro_rules! elements {
    ($($variant:ident $type:ty, $name:literal;)*) => {
        $(
            impl Element for $type {
                const DTYPE: DType = DType::$variant;
            }

            impl sealed::Sealed for $type {
                fn slice(data: &Data) -> Option<&[Self]> {
                    if let Data::$variant(values) = data { Some(values) } else { None }
                }

                fn shared(data: Data) -> Result<Arc<Vec<Self>>, Data> {
                    if let Data::$variant(values) = data { Ok(values) } else { Err(data) }
                }
            }

            impl From<Vec<$type>> for Data {
                fn from(values: Vec<$type>) -> Self {
                    Self::$variant(Arc::new(values))
                }
            }

            impl From<Arc<Vec<$type>>> for Data {
                fn from(values: Arc<Vec<$type>>) -> Self {
                    Self::$variant(values)
                }
            }
        )*

        impl Data {
            /// Returns the type of the elements.
            pub fn dtype(&self) -> DType {
                match self { $(Self::$variant(_) => DType::$variant,)* }
            }

            /// Returns how many elements there are.
            pub fn len(&self) -> usize {
                match self { $(Self::$variant(values) => values.len(),)* }
            }

            /// An empty list of elements of the same type.
            #[cfg(test)]
            pub(crate) fn none_of(dtype: DType) -> Self {
                match dtype { $(DType::$variant => Vec::<$type>::new().into(),)* }
            }

            /// Copies runs of elements: `(first, count)` each.
            pub(crate) fn runs(&self, runs: impl Iterator<Item = (usize, usize)>) -> Self {
                match self {
                    $(Self::$variant(values) => {
                        let mut out: Vec<$type> = Vec::new();
                        for (first, count) in runs {
                            out.extend_from_slice(&values[first..first + count]);
                        }
                        out.into()
                    })*
                }
            }

            /// Copies single elements; `None` gives `fill`, the first element of its list.
            pub(crate) fn pick(
                &self,
                indices: impl Iterator<Item = Option<usize>>,
                fill: &Self,
            ) -> Option<Self> {
                match (self, fill) {
                    $((Self::$variant(values), Self::$variant(fill)) => {
                        let fill = fill.first().copied();
                        let picked: Option<Vec<$type>> = indices
                            .map(|index| index.map_or(fill, |index| values.get(index).copied()))
                            .collect();
                        picked.map(Into::into)
                    })*
                    _ => None,
                }
            }

            /// Puts lists of one type behind each other.
            pub(crate) fn concat(parts: &[&Self]) -> Option<Self> {
                match parts.first()? {
                    $(Self::$variant(_) => {
                        let mut out: Vec<$type> = Vec::new();
                        for part in parts {
                            let Self::$variant(values) = part else { return None };
                            out.extend_from_slice(values);
                        }
                        Some(out.into())
                    })*
                }
            }

            /// A list of zeros.
            pub(crate) fn zeros(dtype: DType, len: usize) -> Self {
                match dtype { $(DType::$variant => vec![<$type>::default(); len].into(),)* }
            }
        }

        impl fmt::Display for DType {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self { $(Self::$variant => $name,)* })
            }
        }
    };
}

elements! {
    F32 f32, "float32";
    F64 f64, "float64";
    I8 i8, "int8";
    I16 i16, "int16";
    I32 i32, "int32";
    I64 i64, "int64";
    U8 u8, "uint8";
    U16 u16, "uint16";
    U32 u32, "uint32";
    U64 u64, "uint64";
    Bool bool, "bool";
    F16 f16, "float16";
    Bf16 bf16, "bfloat16";
    F8E4M3 F8E4M3, "float8e4m3fn";
    F8E4M3Fnuz F8E4M3Fnuz, "float8e4m3fnuz";
    F8E5M2 F8E5M2, "float8e5m2";
    F8E5M2Fnuz F8E5M2Fnuz, "float8e5m2fnuz";
    F8E8M0 F8E8M0, "float8e8m0";
    F6E2M3 F6E2M3, "float6e2m3";
    F6E3M2 F6E3M2, "float6e3m2";
    F4E2M1 F4E2M1, "float4e2m1";
    I4 I4, "int4";
    U4 U4, "uint4";
    I2 I2, "int2";
    U2 U2, "uint2";
}

impl Data {
    /// Tells whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn shapes_must_fit() {
        let error = Value::new(vec![2, 3], vec![0.0f32; 5]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ShapeMismatch);
        assert!(Value::new(vec![usize::MAX, 2], vec![0u8; 5]).is_err());
        assert_eq!(Value::new(vec![], vec![true]).unwrap().len(), 1);
    }

    #[test]
    fn elements_of_another_type_stay() {
        let value = Value::new(vec![2], vec![1i64, 2]).unwrap();
        assert!(value.as_slice::<f32>().is_none());
        let value = value.into_vec::<f32>().unwrap_err();
        assert_eq!(value.into_vec::<i64>(), Ok(vec![1, 2]));
        assert_eq!(Data::none_of(DType::U8).to_owned().len(), 0);
    }
}
