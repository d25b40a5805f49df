//! Quantizers: from a tensor to few-bit numbers times a scale.
//!
//! A quantizer is a number format and the way its scale is found: a constant, the largest magnitude of
//! the weight, a parameter that starts from what a network meets in its first steps of training, or a
//! mean of what it meets in all of them.

mod act;
mod bias;
mod learned;
mod restriction;
mod rule;
mod running;
mod weight;

pub use act::{ActQuantizer, ActQuantizerConfig, ActScale};
pub(crate) use act::{COLLECTION_STEPS, Known};
pub use bias::BiasQuantizer;
pub use learned::{Collection, LearnedScale};
pub use restriction::Restriction;
pub use running::RunningScale;
pub use weight::{WeightQuantizer, WeightQuantizerConfig, WeightScale};

pub use crate::ops::{MinifloatGradient, Statistic};

/// What a forward pass is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Scales that are learned look at the tensor.
    Training,
    /// Nothing changes.
    Evaluation,
}

impl From<crate::network::Pass> for Mode {
    fn from(pass: crate::network::Pass) -> Self {
        match pass {
            crate::network::Pass::Training { .. } => Self::Training,
            crate::network::Pass::Evaluation => Self::Evaluation,
        }
    }
}

/// How many scales a tensor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Granularity {
    /// One.
    PerTensor,
    /// One per output channel of a weight, or per channel of an activation.
    PerChannel,
}
