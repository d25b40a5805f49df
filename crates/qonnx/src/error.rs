//! What can go wrong while a model is prepared or run.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::value::DType;

/// An error of this crate: which node or tensor, what was found, and what would have been right.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(Box<Inner>);

/// The families of [`Error`], for callers that react to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The operating system refused to read the file.
    Io,
    /// The model contradicts itself or the ONNX rules.
    Malformed,
    /// The model is well formed, but uses an operator, attribute or type that this executor does not know.
    Unsupported,
    /// A tensor has another shape than it must have.
    ShapeMismatch,
    /// A tensor has elements of another type than it must have.
    TypeMismatch,
    /// A value or parameter is out of its range.
    BadValue,
    /// A name that the model does not have.
    UnknownName,
    /// An input of the model was not given.
    MissingInput,
}

#[derive(Debug, thiserror::Error)]
enum Inner {
    #[error(transparent)]
    Onnx(fewbit_onnx::Error),
    #[error("{}: {error}", .path.display())]
    File { path: PathBuf, error: Error },
    #[error("malformed model: {0}")]
    Malformed(String),
    #[error("{node}: {fault}")]
    Node { node: NodeLabel, fault: Fault },
    #[error("{what}: {fault}")]
    Tensor { what: String, fault: Fault },
    #[error("unknown {what} {name:?}")]
    UnknownName { what: &'static str, name: String, near: Vec<String>, known: usize },
    #[error("input {name:?} was not given; the model needs {}", list(needed))]
    MissingInput { name: String, needed: Vec<String> },
    #[error("the value of {tensor:?} is not available: {reason}")]
    Unavailable { tensor: String, reason: String },
}

impl Error {
    /// Tells which family of error this is.
    pub fn kind(&self) -> ErrorKind {
        match &*self.0 {
            Inner::Onnx(error) => match error.kind() {
                fewbit_onnx::ErrorKind::Io => ErrorKind::Io,
                fewbit_onnx::ErrorKind::Unsupported | fewbit_onnx::ErrorKind::ExternalData => {
                    ErrorKind::Unsupported
                }
                _ => ErrorKind::Malformed,
            },
            Inner::File { error, .. } => error.kind(),
            Inner::Malformed(_) => ErrorKind::Malformed,
            Inner::Node { fault, .. } | Inner::Tensor { fault, .. } => fault.kind(),
            Inner::UnknownName { .. } => ErrorKind::UnknownName,
            Inner::MissingInput { .. } => ErrorKind::MissingInput,
            Inner::Unavailable { .. } => ErrorKind::Unsupported,
        }
    }

    /// Gives advice for the person in front of the program, where there is any.
    pub fn hint(&self) -> Option<String> {
        match &*self.0 {
            Inner::Onnx(error) => error.hint().map(str::to_owned),
            Inner::File { error, .. } => error.hint(),
            Inner::UnknownName { near, known, .. } if near.is_empty() => {
                Some(format!("the model has {known} names, none of them similar"))
            }
            Inner::UnknownName { near, known, .. } if near.len() == *known => {
                Some(format!("the model has {}", list(near)))
            }
            Inner::UnknownName { near, .. } => Some(format!("similar names: {}", list(near))),
            Inner::Node { fault: Fault::UnknownOperator { near: Some(near), .. }, .. } => {
                Some(format!("did you mean {near}?"))
            }
            _ => None,
        }
    }

    pub(crate) fn onnx(error: fewbit_onnx::Error) -> Self {
        Self(Box::new(Inner::Onnx(error)))
    }

    /// Says which file the error is about.
    pub(crate) fn in_file(self, path: &Path) -> Self {
        Self(Box::new(Inner::File { path: path.to_owned(), error: self }))
    }

    pub(crate) fn malformed(message: impl fmt::Display) -> Self {
        Self(Box::new(Inner::Malformed(message.to_string())))
    }

    pub(crate) fn node(node: &NodeLabel, fault: Fault) -> Self {
        Self(Box::new(Inner::Node { node: node.clone(), fault }))
    }

    pub(crate) fn tensor(what: impl fmt::Display, fault: Fault) -> Self {
        Self(Box::new(Inner::Tensor { what: what.to_string(), fault }))
    }

    pub(crate) fn unknown_name<'a>(
        what: &'static str,
        name: &str,
        known: impl Iterator<Item = &'a str>,
    ) -> Self {
        let known: Vec<&str> = known.collect();
        let near = match known.as_slice() {
            few @ ([] | [_] | [_, _] | [_, _, _]) => few.iter().map(|&name| name.into()).collect(),
            _ => nearest(name, &known),
        };
        Self(Box::new(Inner::UnknownName { what, name: name.to_owned(), near, known: known.len() }))
    }

    pub(crate) fn missing_input(name: &str, needed: Vec<String>) -> Self {
        Self(Box::new(Inner::MissingInput { name: name.to_owned(), needed }))
    }

    pub(crate) fn unavailable(tensor: &str, reason: &str) -> Self {
        Self(Box::new(Inner::Unavailable { tensor: tensor.to_owned(), reason: reason.to_owned() }))
    }
}

/// How a node is called in messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodeLabel {
    /// Place in the file.
    pub(crate) index: usize,
    pub(crate) name: String,
    pub(crate) operator: String,
    pub(crate) domain: String,
}

impl fmt::Display for NodeLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {}", self.index)?;
        if !self.name.is_empty() {
            write!(f, " {:?}", self.name)?;
        }
        write!(f, " ({}", self.operator.escape_debug())?;
        if !self.domain.is_empty() {
            write!(f, " of {}", self.domain.escape_debug())?;
        }
        f.write_str(")")
    }
}

/// What is wrong with one node or one tensor; [`Error`] adds which.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("{what} has shape {found:?}, expected {expected}")]
    Shape { what: String, found: Vec<usize>, expected: String },
    #[error("{what} is of type {found}, expected {expected}")]
    Type { what: String, found: DType, expected: String },
    #[error("{what} is {found}, expected {expected}")]
    Value { what: String, found: String, expected: String },
    #[error("{what} is missing")]
    Missing { what: String },
    #[error("{what} is not supported")]
    Unsupported { what: String },
    #[error("the operator is not supported in version {version} of its operator set")]
    UnknownOperator { version: i64, near: Option<String> },
    #[error("{0}")]
    Malformed(String),
    #[error(transparent)]
    Onnx(#[from] fewbit_onnx::Error),
}

impl Fault {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Shape { .. } => ErrorKind::ShapeMismatch,
            Self::Type { .. } => ErrorKind::TypeMismatch,
            Self::Value { .. } => ErrorKind::BadValue,
            Self::Missing { .. } | Self::Malformed(_) | Self::Onnx(_) => ErrorKind::Malformed,
            Self::Unsupported { .. } | Self::UnknownOperator { .. } => ErrorKind::Unsupported,
        }
    }

    pub(crate) fn shape(what: &str, found: &[usize], expected: impl fmt::Display) -> Self {
        Self::Shape { what: what.to_owned(), found: found.to_vec(), expected: expected.to_string() }
    }

    pub(crate) fn dtype(what: &str, found: DType, expected: impl fmt::Display) -> Self {
        Self::Type { what: what.to_owned(), found, expected: expected.to_string() }
    }

    pub(crate) fn value(
        what: impl fmt::Display,
        found: impl fmt::Display,
        expected: impl fmt::Display,
    ) -> Self {
        Self::Value {
            what: what.to_string(),
            found: found.to_string(),
            expected: expected.to_string(),
        }
    }

    pub(crate) fn missing(what: impl fmt::Display) -> Self {
        Self::Missing { what: what.to_string() }
    }

    pub(crate) fn unsupported(what: impl fmt::Display) -> Self {
        Self::Unsupported { what: what.to_string() }
    }
}

fn list(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
    quoted.join(", ")
}

/// The known names most like `name`: at most five, best first.
pub(crate) fn nearest(name: &str, known: &[&str]) -> Vec<String> {
    let wanted = name.to_lowercase();
    let mut scored: Vec<(usize, &str)> = known
        .iter()
        .filter_map(|&candidate| {
            let lower = candidate.to_lowercase();
            let distance = edit_distance(&wanted, &lower);
            let contains = !wanted.is_empty() && lower.contains(&wanted);
            (contains || distance <= 1 + wanted.chars().count() / 3)
                .then_some((distance, candidate))
        })
        .collect();
    scored.sort();
    scored.into_iter().take(5).map(|(_, candidate)| candidate.to_owned()).collect()
}

fn edit_distance(a: &str, b: &str) -> usize {
    // Names that are this long and differ behind are no typing errors: do not compare all of them.
    let start = |name: &str| name.chars().take(128).collect::<String>();
    strsim::levenshtein(&start(a), &start(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names() {
        let known = ["global_in", "Conv_0_out0", "Conv_1_out0", "logits"];
        assert_eq!(nearest("conv_0_out", &known), ["Conv_0_out0", "Conv_1_out0"]);
        assert_eq!(nearest("Logit", &known), ["logits"]);
        assert!(nearest("zzz", &known).is_empty());
    }

    #[test]
    fn messages_escape_names() {
        let node = NodeLabel {
            index: 3,
            name: "a\u{1b}[31m".to_owned(),
            operator: "Conv".to_owned(),
            domain: String::new(),
        };
        let error = Error::node(&node, Fault::missing("input 1 (w)"));
        assert_eq!(error.to_string(), "node 3 \"a\\u{1b}[31m\" (Conv): input 1 (w) is missing");
        assert_eq!(error.kind(), ErrorKind::Malformed);
    }
}
