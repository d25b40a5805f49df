//! What can go wrong in this crate.

use std::fmt;
use std::path::{Path, PathBuf};

/// An error of this crate: what went wrong, with the values.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(Box<ErrorKind>);

impl Error {
    /// Wraps the reason.
    pub fn new(kind: ErrorKind) -> Self {
        Self(Box::new(kind))
    }

    /// The reason.
    pub fn kind(&self) -> &ErrorKind {
        &self.0
    }

    /// What to do about it, if something is known to help.
    pub fn hint(&self) -> Option<String> {
        match &*self.0 {
            ErrorKind::Description { suggestion, .. } => suggestion.clone(),
            _ => None,
        }
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Self::new(kind)
    }
}

/// Why an operation of this crate failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A network name that stands for nothing.
    #[error(
        "unknown network {name:?}, expected a name such as TFC_2W2A, CNV_1W1A or RESNET18_5W5A_FLOAT_E3M1"
    )]
    UnknownNetwork {
        /// The name asked for.
        name: String,
        /// Names that would have been right.
        known: Vec<String>,
    },
    /// A field of a description has a value that cannot be built.
    #[error("{field} is {value}, expected {expected}")]
    InvalidConfig {
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
    /// A file that describes no network.
    #[error("{}: {problem}", Place(file, *line))]
    Description {
        /// The file.
        file: PathBuf,
        /// The line, from 1, if it is one line.
        line: Option<usize>,
        /// What is there, and what would be right.
        problem: String,
        /// What was probably meant.
        suggestion: Option<String>,
    },
    /// A quantizer that cannot be built.
    #[error("quantizer {quantizer}: {field} is {value}, expected {expected}")]
    InvalidQuantizer {
        /// The kind of quantizer.
        quantizer: &'static str,
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
    /// Operands whose shapes do not fit together.
    #[error("{operation}: {operand} has shape {got:?}, expected {expected}")]
    ShapeMismatch {
        /// The operation.
        operation: &'static str,
        /// Which of its operands.
        operand: &'static str,
        /// The shape it has.
        got: Vec<usize>,
        /// What would be right.
        expected: String,
    },
    /// An operand that must be quantized and is not.
    #[error("{operation}: {operand} must be quantized with a known scale")]
    NotQuantized {
        /// The operation.
        operation: &'static str,
        /// Which of its operands.
        operand: &'static str,
    },
    /// A class index beyond the number of logits.
    #[error("label {label} of image {index} is not below the number of classes, {classes}")]
    LabelOutOfRange {
        /// The label.
        label: u8,
        /// Its place in the batch.
        index: usize,
        /// The number of classes.
        classes: usize,
    },
    /// A state lacks an entry.
    #[error("the state has no entry {name:?}")]
    MissingState {
        /// The entry.
        name: String,
    },
    /// A state has an entry that belongs to nothing.
    #[error("the state has an entry {name:?} that the network does not know")]
    UnknownState {
        /// The entry.
        name: String,
    },
    /// An entry of a state has another shape or type than the network.
    #[error("state entry {name:?} is {got}, expected {expected}")]
    StateMismatch {
        /// The entry.
        name: String,
        /// Its type and shape.
        got: String,
        /// What the network needs.
        expected: String,
    },
    /// A layer for which QONNX has no operator.
    #[error("layer {layer:?} cannot be exported: it has {what}, expected {expected}")]
    NotExportable {
        /// The layer.
        layer: String,
        /// What QONNX cannot say.
        what: String,
        /// What would be right.
        expected: &'static str,
    },
    /// A device name that stands for nothing.
    #[error("unknown device {name:?}, expected one of {}", List(known))]
    UnknownDevice {
        /// The name asked for.
        name: String,
        /// Names that would have been right, each with the number 0.
        known: Vec<String>,
    },
    /// A kind of device that this build cannot use.
    #[error("no device {name}: this build is without {kind}, it computes on {}", List(built))]
    DeviceNotBuilt {
        /// The device asked for.
        name: String,
        /// Its kind.
        kind: &'static str,
        /// What the build can use.
        built: Vec<String>,
    },
    /// A device that the machine does not have.
    #[error("no device {name} was found, only {}", List(found))]
    NoSuchDevice {
        /// The device asked for.
        name: String,
        /// The devices that were found.
        found: Vec<String>,
    },
    /// A device that cannot be used.
    #[error("device {name} cannot be used: {reason}")]
    DeviceFailed {
        /// The device.
        name: String,
        /// What went wrong.
        reason: String,
    },
    /// A graphics processor is wanted of a build that has none.
    #[error("this build computes on the CPU only, it has no graphics processors")]
    NoGpuBuilt,
    /// No graphics processor was found.
    #[error("no GPU was found through {}{}", List(searched), Software(software))]
    NoGpu {
        /// How it was looked for.
        searched: Vec<String>,
        /// Devices that imitate one on the processor.
        software: Vec<String>,
    },
    /// The graph of an exported file is wrong.
    #[error(transparent)]
    Onnx(#[from] fewbit_onnx::Error),
    /// A number format refused a value.
    #[error(transparent)]
    Format(#[from] fewbit_formats::Error),
}

impl From<fewbit_formats::Error> for Error {
    fn from(error: fewbit_formats::Error) -> Self {
        Self::new(ErrorKind::Format(error))
    }
}

impl From<fewbit_onnx::Error> for Error {
    fn from(error: fewbit_onnx::Error) -> Self {
        Self::new(ErrorKind::Onnx(error))
    }
}

/// Prints a file, and its line if there is one.
struct Place<'a>(&'a Path, Option<usize>);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.display())?;
        self.1.map_or(Ok(()), |line| write!(f, ", line {line}"))
    }
}

/// Prints names with commas between them.
struct List<'a>(&'a [String]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, name) in self.0.iter().enumerate() {
            write!(f, "{}{name}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

/// Names devices that were passed over.
struct Software<'a>(&'a [String]);

impl fmt::Display for Software<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        write!(f, "; {} computes on the processor", List(self.0))
    }
}
