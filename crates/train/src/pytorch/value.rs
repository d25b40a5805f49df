//! What a checkpoint holds, as a tree of plain data.

use std::fmt;
use std::sync::Arc;

use super::element_type::ElementType;
use super::input::quoted;
use super::tensor::Tensor;

/// A value of a checkpoint.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Value {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A float.
    Float(f64),
    /// Text.
    Text(Arc<str>),
    /// A list.
    List(Vec<Value>),
    /// A tuple, or the sizes of a tensor.
    Tuple(Vec<Value>),
    /// A dict, ordered or not, in the order of the file; no key is there twice.
    Dict(Vec<(Key, Value)>),
    /// A tensor or parameter.
    Tensor(Arc<Tensor>),
    /// A dtype.
    ElementType(ElementType),
}

/// A key of a dict.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// An integer.
    Int(i64),
    /// Text.
    Text(Arc<str>),
}

impl Value {
    /// The value of a text key, if this is a dict that has it.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let own = self.as_dict()?.iter().find(|(own, _)| own.as_text() == Some(key));
        own.map(|(_, value)| value)
    }

    /// The entries of a dict.
    pub fn as_dict(&self) -> Option<&[(Key, Value)]> {
        match self {
            Self::Dict(entries) => Some(entries),
            _ => None,
        }
    }

    /// The values of a list or tuple.
    pub fn as_sequence(&self) -> Option<&[Value]> {
        match self {
            Self::List(values) | Self::Tuple(values) => Some(values),
            _ => None,
        }
    }

    /// The tensor.
    pub fn as_tensor(&self) -> Option<&Tensor> {
        match self {
            Self::Tensor(tensor) => Some(tensor),
            _ => None,
        }
    }

    /// The text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number, be it an integer, a float or a tensor with one element.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Self::Int(value) => Some(*value as f64),
            Self::Float(value) => Some(*value),
            Self::Tensor(tensor) => tensor.scalar(),
            _ => None,
        }
    }

    /// The number as [`Value::as_number`] if it is a count: whole and from 0 to 2^53.
    pub fn as_count(&self) -> Option<u64> {
        const EXACT: f64 = 9_007_199_254_740_992.0;
        match self {
            Self::Int(value) => u64::try_from(*value).ok(),
            _ => {
                let value = self.as_number()?;
                ((0.0..=EXACT).contains(&value) && value.fract() == 0.0).then_some(value as u64)
            }
        }
    }
}

impl fmt::Display for Value {
    /// What it is, in a few words, for messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value:?}"),
            Self::Text(text) => write!(f, "the text {}", quoted(text)),
            Self::List(values) => write!(f, "a list of {}", values.len()),
            Self::Tuple(values) => write!(f, "a tuple of {}", values.len()),
            Self::Dict(entries) => write!(f, "a dict of {}", entries.len()),
            Self::Tensor(tensor) => {
                write!(f, "a {} tensor of shape {:?}", tensor.element_type(), tensor.shape())
            }
            Self::ElementType(element) => write!(f, "the dtype {element}"),
        }
    }
}

impl Key {
    /// The text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Int(_) => None,
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(value) => write!(f, "{value}"),
            Self::Text(text) => f.write_str(&quoted(text)),
        }
    }
}
