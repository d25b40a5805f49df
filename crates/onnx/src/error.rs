//! What can be wrong with a model or its file.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// An error of this crate: where it is, what is there, and what would be right.
#[derive(Debug, thiserror::Error)]
pub struct Error(Box<Inner>);

/// The families of [`Error`], for callers that react to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The operating system refused to read or write.
    Io,
    /// The bytes are not an ONNX file.
    Malformed,
    /// The file has fields that this program does not know and would lose when writing it.
    UnknownFields,
    /// The graph cannot be run: tensors are missing, defined twice, or depend on themselves.
    Graph,
    /// An attribute is missing or of another type than its operator wants.
    Attribute,
    /// Element type, shape and data of a tensor do not agree.
    Tensor,
    /// The data of a tensor is in another file, and may not or cannot be read.
    ExternalData,
    /// Something that ONNX allows and this crate does not read.
    Unsupported,
}

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    file: Option<PathBuf>,
    /// From the outermost to the innermost: a node, then its attribute.
    places: Vec<String>,
    found: String,
    expected: Option<String>,
    hint: Option<&'static str>,
    source: Option<Source>,
}

#[derive(Debug, thiserror::Error)]
enum Source {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Protobuf(#[from] prost::DecodeError),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        if let Some(file) = &inner.file {
            write!(f, "{}: ", file.display())?;
        }
        for place in &inner.places {
            write!(f, "{place}: ")?;
        }
        f.write_str(&inner.found)?;
        match &inner.expected {
            Some(expected) => write!(f, ", expected {expected}"),
            None => Ok(()),
        }
    }
}

impl Error {
    /// Tells which family of error this is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The file, if the error knows it.
    pub fn file(&self) -> Option<&Path> {
        self.0.file.as_deref()
    }

    /// What failed underneath, if anything did.
    pub fn cause(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| match source {
            Source::Io(error) => error as _,
            Source::Protobuf(error) => error as _,
        })
    }

    /// Gives advice for the person in front of the program, where there is any.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint
    }

    /// Says which file the error is about, unless it knows.
    #[must_use]
    pub fn in_file(mut self, path: &Path) -> Self {
        self.0.file.get_or_insert_with(|| path.to_owned());
        self
    }

    /// Says where the error is, around what it knows: a node, an operator, a tensor.
    ///
    /// Names from files go through [`quoted`](crate::text::quoted) first.
    #[must_use]
    pub fn within(mut self, place: impl fmt::Display) -> Self {
        self.0.places.insert(0, place.to_string());
        self
    }

    /// Makes an error: what is there.
    pub fn new(kind: ErrorKind, found: impl fmt::Display) -> Self {
        Self(Box::new(Inner {
            kind,
            file: None,
            places: Vec::new(),
            found: found.to_string(),
            expected: None,
            hint: None,
            source: None,
        }))
    }

    /// Adds what would be right.
    #[must_use]
    pub fn expected(mut self, expected: impl fmt::Display) -> Self {
        self.0.expected = Some(expected.to_string());
        self
    }

    pub(crate) fn hinting(mut self, hint: &'static str) -> Self {
        self.0.hint = Some(hint);
        self
    }

    pub(crate) fn io(action: &str, path: &Path, source: io::Error) -> Self {
        let mut error = Self::new(ErrorKind::Io, format_args!("cannot {action}: {source}"));
        error.0.source = Some(source.into());
        error.in_file(path)
    }

    pub(crate) fn protobuf(source: prost::DecodeError) -> Self {
        let mut error = Self::new(ErrorKind::Malformed, &source).hinting(DAMAGED);
        error.0.source = Some(source.into());
        error
    }

    pub(crate) fn malformed(found: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Malformed, found).hinting(DAMAGED)
    }
}

const DAMAGED: &str = "the file is cut short, damaged, or no ONNX file";
