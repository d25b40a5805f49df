//! Tensors: windows into the storages of a file.

use std::ops::Range;
use std::sync::Arc;

use fewbit_nn::network::{StateData, StateTensor};
use half::{bf16, f16};

use super::element_type::ElementType;

/// A tensor: which numbers of which storage, in which order. The bytes stay where they are in the file.
#[derive(Clone, Debug)]
pub struct Tensor {
    file: Arc<Vec<u8>>,
    /// The storage's bytes in the file.
    storage: Range<usize>,
    element_type: ElementType,
    window: Window,
}

/// Which numbers of a storage a tensor consists of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Window {
    /// Number of the first one.
    pub offset: usize,
    /// Size of each dimension.
    pub shape: Vec<usize>,
    /// Distance between neighbours in each dimension.
    pub strides: Vec<usize>,
}

impl Window {
    /// How many numbers it has, or `None` if that or their places cannot be counted.
    pub fn len(&self) -> Option<usize> {
        self.shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size))
    }

    /// How many numbers a storage must have.
    pub fn reach(&self) -> Option<usize> {
        if self.len()? == 0 {
            return Some(0);
        }
        let steps = self.shape.iter().zip(&self.strides);
        let last = steps.into_iter().try_fold(self.offset, |last, (&size, &stride)| {
            last.checked_add((size - 1).checked_mul(stride)?)
        })?;
        last.checked_add(1)
    }

    /// Whether its numbers lie one behind the other.
    fn is_contiguous(&self) -> bool {
        let mut expected = 1;
        self.shape.iter().zip(&self.strides).rev().all(|(&size, &stride)| {
            let fits = size == 1 || stride == expected;
            expected *= size;
            fits
        })
    }

    /// Calls `visit` with the place of each number, row by row.
    fn visit(&self, mut visit: impl FnMut(usize)) {
        let rank = self.shape.len();
        let mut index = vec![0; rank];
        let mut at = self.offset;
        loop {
            visit(at);
            // Advance as an odometer does: the last dimension first.
            let mut dimension = rank;
            loop {
                let Some(current) = dimension.checked_sub(1) else { return };
                dimension = current;
                index[current] += 1;
                if index[current] < self.shape[current] {
                    at += self.strides[current];
                    break;
                }
                at -= (self.shape[current] - 1) * self.strides[current];
                index[current] = 0;
            }
        }
    }
}

/// A number that has no equal in `f32`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Inexact {
    /// Which element.
    pub index: usize,
    /// Its value.
    pub value: f64,
}

impl Tensor {
    /// A window into a storage that reaches far enough.
    pub(super) fn new(
        file: Arc<Vec<u8>>,
        storage: Range<usize>,
        element_type: ElementType,
        window: Window,
    ) -> Self {
        let reach = window.reach().map(|numbers| numbers * element_type.size());
        assert!(
            storage.end <= file.len() && reach.is_some_and(|reach| reach <= storage.len()),
            "{window:?} in {storage:?}"
        );
        Self { file, storage, element_type, window }
    }

    /// Size of each dimension; empty for a scalar.
    pub fn shape(&self) -> &[usize] {
        &self.window.shape
    }

    /// What its numbers are.
    pub fn element_type(&self) -> ElementType {
        self.element_type
    }

    /// Number of its numbers.
    #[expect(clippy::len_without_is_empty, reason = "a scalar has one number, not none")]
    pub fn len(&self) -> usize {
        self.window.len().expect("checked when it was built")
    }

    /// Equal for tensors that are the same numbers of the same storage.
    pub(super) fn identity(&self) -> (usize, usize, &Window) {
        (self.storage.start, self.storage.end, &self.window)
    }

    /// The only number.
    pub(super) fn scalar(&self) -> Option<f64> {
        (self.len() == 1).then(|| self.numbers(f64_of(self.element_type))[0])
    }

    /// The values as a network keeps them: floats become `f32`, integers and truth values `i64`.
    ///
    /// # Errors
    /// The first `f64` that is no `f32`.
    pub(super) fn to_state(&self) -> Result<StateTensor, Inexact> {
        let data = match self.element_type {
            ElementType::F32 => {
                StateData::F32(self.numbers(|bytes| f32::from_le_bytes(fixed(bytes))))
            }
            ElementType::F16 => {
                StateData::F32(self.numbers(|bytes| f16::from_le_bytes(fixed(bytes)).to_f32()))
            }
            ElementType::BF16 => {
                StateData::F32(self.numbers(|bytes| bf16::from_le_bytes(fixed(bytes)).to_f32()))
            }
            ElementType::F64 => StateData::F32(self.narrowed()?),
            ElementType::I8
            | ElementType::I16
            | ElementType::I32
            | ElementType::I64
            | ElementType::U8
            | ElementType::Bool => StateData::I64(self.numbers(i64_of(self.element_type))),
        };
        Ok(StateTensor { shape: self.window.shape.clone(), data })
    }

    fn narrowed(&self) -> Result<Vec<f32>, Inexact> {
        let wide = self.numbers(|bytes| f64::from_le_bytes(fixed(bytes)));
        let narrow = |(index, value): (usize, f64)| {
            let narrow = value as f32;
            let exact = f64::from(narrow) == value || value.is_nan();
            exact.then_some(narrow).ok_or(Inexact { index, value })
        };
        wide.into_iter().enumerate().map(narrow).collect()
    }

    fn numbers<T>(&self, read: impl Fn(&[u8]) -> T) -> Vec<T> {
        let size = self.element_type.size();
        let bytes = &self.file[self.storage.clone()];
        let count = self.len();
        if count == 0 {
            return Vec::new();
        }
        if self.window.is_contiguous() {
            let start = self.window.offset * size;
            return bytes[start..start + count * size].chunks_exact(size).map(read).collect();
        }
        let mut numbers = Vec::with_capacity(count);
        self.window.visit(|at| numbers.push(read(&bytes[at * size..][..size])));
        numbers
    }
}

fn fixed<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("an element has the size of its type")
}

fn i64_of(element_type: ElementType) -> impl Fn(&[u8]) -> i64 {
    move |bytes| match element_type {
        ElementType::I8 => i64::from(i8::from_le_bytes(fixed(bytes))),
        ElementType::I16 => i64::from(i16::from_le_bytes(fixed(bytes))),
        ElementType::I32 => i64::from(i32::from_le_bytes(fixed(bytes))),
        ElementType::I64 => i64::from_le_bytes(fixed(bytes)),
        ElementType::U8 => i64::from(bytes[0]),
        ElementType::Bool => i64::from(bytes[0] != 0),
        ElementType::F16 | ElementType::BF16 | ElementType::F32 | ElementType::F64 => {
            unreachable!("{element_type} is no integer")
        }
    }
}

fn f64_of(element_type: ElementType) -> impl Fn(&[u8]) -> f64 {
    move |bytes| match element_type {
        ElementType::F16 => f16::from_le_bytes(fixed(bytes)).to_f64(),
        ElementType::BF16 => bf16::from_le_bytes(fixed(bytes)).to_f64(),
        ElementType::F32 => f64::from(f32::from_le_bytes(fixed(bytes))),
        ElementType::F64 => f64::from_le_bytes(fixed(bytes)),
        ElementType::I8
        | ElementType::I16
        | ElementType::I32
        | ElementType::I64
        | ElementType::U8
        | ElementType::Bool => i64_of(element_type)(bytes) as f64,
    }
}
