//! The functions and classes that a pickle may name, none of which is ever called.

use super::element_type::ElementType;

/// What `module.name` stands for here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// A dict.
    OrderedDict,
    /// The sizes of a tensor, a tuple.
    Size,
    /// `(storage, offset, size, stride)`, of the first versions.
    RebuildTensor,
    /// The same and `(requires_grad, backward_hooks[, metadata])`.
    RebuildTensorV2,
    /// `(tensor, requires_grad, backward_hooks)`.
    RebuildParameter,
    /// The numbers of one or more tensors.
    Storage(ElementType),
    /// The type of a tensor's numbers as a value of its own.
    Dtype(ElementType),
}

impl Class {
    /// Looks a class up; `None` is to be refused.
    pub fn named(module: &str, name: &str) -> Option<Self> {
        match (module, name) {
            ("collections", "OrderedDict") => Some(Self::OrderedDict),
            ("torch._utils", "_rebuild_tensor") => Some(Self::RebuildTensor),
            ("torch._utils", "_rebuild_tensor_v2") => Some(Self::RebuildTensorV2),
            ("torch._utils", "_rebuild_parameter") => Some(Self::RebuildParameter),
            ("torch", "Size") => Some(Self::Size),
            ("torch", name) => ElementType::of_storage(name)
                .map(Self::Storage)
                .or_else(|| ElementType::of_dtype(name).map(Self::Dtype)),
            _ => None,
        }
    }

    /// What an error says would have been right.
    pub const KNOWN: &str =
        "the classes of a state dict: OrderedDict, Size, tensors, parameters, storages, dtypes";
}
