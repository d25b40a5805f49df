//! Checkpoints of PyTorch and Brevitas (`best.tar`, `.pth`), read without running them; state dicts written.
//!
//! `torch.save` writes a pickle, and a pickle is a program: the original reader calls any function that
//! the file names. Here a machine that knows the few instructions and the few classes of a state dict
//! builds plain data, and everything else is refused by its name and place. Both layouts are known:
//!
//! - the zip archive of PyTorch 1.6 and later: `<name>/data.pkl`, `<name>/data/<key>`, stored as they are;
//! - the five pickles and the raw storages behind them of earlier versions (and of
//!   `_use_new_zipfile_serialization=False`).
//!
//! No byte of a file is believed, and nothing panics. The values of all pickles are limited in number
//! ([`MAX_VALUES`]), depth ([`MAX_DEPTH`]) and, where the file repeats what it has said, by its own length;
//! tensors may overlap in their storage, but not make more than [`MAX_OVERLAP`] times the file of it.

mod archive;
mod class;
mod contents;
mod element_type;
mod import;
mod input;
mod legacy;
mod machine;
mod opcode;
mod optimizer;
mod rebuild;
mod start;
mod tensor;
mod tree;
mod value;
mod writer;

pub use contents::{Contents, recognizes};
pub use element_type::ElementType;
pub use start::Imported;
pub use tensor::Tensor;
pub use value::{Key, Value};
pub use writer::state_dict_bytes;

/// The most values that a pickle may make: about 20 MiB here. A checkpoint of ResNet18 with its optimizer
/// makes some ten thousand.
pub const MAX_VALUES: usize = 1 << 18;

/// The most containers inside of each other.
pub const MAX_DEPTH: usize = 64;

/// The most values that the machine holds unfinished. Picklers finish containers after 1000 values.
pub const MAX_STACK: usize = 1 << 16;

/// The most dimensions of a tensor, as in PyTorch.
pub const MAX_RANK: usize = 64;

/// How many times the file's length all its tensors may have, 1 MiB apart.
pub const MAX_OVERLAP: usize = 4;

#[cfg(test)]
mod tests;
