//! Looking at the tensors inside of a network.

use crate::tensor::Tensor;

/// Collects the named tensors of a forward pass.
///
/// The names are those of the tensors in the exported file, so that both can be compared.
#[derive(Debug)]
pub struct Taps {
    wanted: Wanted,
    tensors: Vec<(String, Tensor)>,
}

#[derive(Clone, Copy, Debug)]
enum Wanted {
    None,
    All,
    First(fn(&[f32]) -> bool),
}

impl Taps {
    /// Collects nothing.
    pub fn none() -> Self {
        Self { wanted: Wanted::None, tensors: vec![] }
    }

    /// Collects every tensor that has a name.
    pub fn all() -> Self {
        Self { wanted: Wanted::All, tensors: vec![] }
    }

    /// Collects the first tensor whose values `wanted` accepts, and nothing else.
    pub fn first(wanted: fn(&[f32]) -> bool) -> Self {
        Self { wanted: Wanted::First(wanted), tensors: vec![] }
    }

    /// The collected tensors in order of execution.
    pub fn into_tensors(self) -> Vec<(String, Tensor)> {
        self.tensors
    }

    /// Whether anything is looked for.
    pub(crate) fn is_wanted(&self) -> bool {
        !matches!(self.wanted, Wanted::None)
    }

    pub(crate) fn offer(&mut self, name: impl FnOnce() -> String, tensor: &Tensor) {
        match self.wanted {
            Wanted::None => {}
            Wanted::All => self.tensors.push((name(), tensor.clone().detach())),
            Wanted::First(wanted) => {
                if self.tensors.is_empty() && tensor.read(wanted) {
                    self.tensors.push((name(), tensor.clone().detach()));
                }
            }
        }
    }
}

/// The name of the tensor that `part` of a layer computes, in taps and in exported files.
///
/// # Examples
/// ```
/// assert_eq!(fewbit_nn::network::tensor_name("features.2", "weight_quant"), "features.2.weight_quant.out");
/// ```
pub fn tensor_name(layer: &str, part: &str) -> String {
    format!("{layer}.{part}.out")
}
