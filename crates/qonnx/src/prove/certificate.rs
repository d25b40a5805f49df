//! What a proof says, for people and for machines.

mod text;

use serde::Serialize;

/// What is proved about a model, layer by layer. `Display` tells it in words; serde as JSON.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Certificate {
    /// The statement about the whole model: that of its weakest layer.
    pub verdict: Verdict,
    /// True if the statement holds for every input that [`Certificate::inputs`] describes.
    pub proved_for_all_inputs: bool,
    /// The inputs that the statement is about.
    pub inputs: String,
    /// Images that were tried where a statement for every input is not possible.
    pub images: usize,
    /// What an engine has to do for the statement to cover it.
    pub engines: Vec<String>,
    /// What else the statement depends on in this model.
    pub conditions: Vec<String>,
    /// The outputs of the model.
    pub outputs: Vec<Output>,
    /// Sums of products in numbers.
    pub sums: SumTotals,
    /// Batch normalizations in numbers.
    pub normalizations: NormalizationTotals,
    /// The layers in the order of computation.
    pub layers: Vec<Layer>,
    /// Time that the proof took, if the caller measured it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
}

/// What is said about an output of the model, given that all layers are proved.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Output {
    /// Its name.
    pub name: String,
    /// False if a bias that lies on no grid is added to its sums. Then engines that add it to the finished sum agree in
    /// every bit (PyTorch's linear layers, fewbit), and others may differ in the last ones (onnxruntime's Gemm of more
    /// than 128 terms).
    pub equal_bits_in_every_order: bool,
    /// The largest difference that this can make, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub largest_difference: Option<f64>,
}

/// How far a statement reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Two engines can part, or it cannot be excluded.
    NotProvable,
    /// All engines compute the same bits for the images that were given.
    ProvedForTheseImages,
    /// All engines compute the same bits, whatever the input.
    ProvedForAllInputs,
}

/// Sums of products in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct SumTotals {
    /// Convolutions and matrix products.
    pub layers: usize,
    /// Those whose sums are exact for every input.
    pub exact_for_all_inputs: usize,
    /// Those whose sums are exact for the images only.
    pub exact_for_these_images: usize,
    /// The largest bound for every input.
    pub largest_units: f64,
    /// The largest number of units up to which sums are exact in any order: `2^24`.
    pub limit_units: u64,
}

/// Batch normalizations in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct NormalizationTotals {
    /// Batch normalizations with what follows them.
    pub layers: usize,
    /// Pairs of channel and value that were tried.
    pub pairs_tried: u64,
    /// Pairs for which the formulas of batch normalization give different bits.
    pub pairs_normalized_differently: u64,
    /// Pairs that still differ after the quantizer.
    pub disagreements: u64,
}

/// What is proved about one layer: given the same input, all engines give the same output.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Layer {
    /// The node, by its name or by its first output.
    pub name: String,
    /// The operators, joined with `+`.
    pub kind: String,
    /// How far the statement about this layer reaches.
    pub verdict: Verdict,
    /// Why the statement does not hold for every input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// For a layer that adds up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sum: Option<Sum>,
    /// For a layer whose values were tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<Tried>,
    /// The first places at which two engines part.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub disagreements: Vec<Disagreement>,
}

/// The bound of a layer's sums.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sum {
    /// Products per sum.
    pub terms: usize,
    /// The largest magnitude that any part of the sum can have in the channel that comes closest to the limit.
    /// Absent if the operands lie on no grid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bound_units: Option<f64>,
    /// The limit: `2^24`.
    pub limit_units: u64,
    /// The unit of that channel is two to this power.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit_exponent: Option<i32>,
    /// That channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<usize>,
    /// Channels whose bound is above the limit.
    pub channels_above: usize,
    /// Channels in all.
    pub channels: usize,
    /// The largest bound over the images, in units of its channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bound_units_of_images: Option<f64>,
    /// What happens to the bias.
    pub bias: Bias,
}

/// What a bias does to a sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bias {
    /// There is none.
    Absent,
    /// It lies on the grid of the sum, and so is one more exact term.
    OnTheGrid,
    /// It is rounded when it is added. Only engines that add it at the same time agree in every bit.
    Rounded,
}

/// How many values of a layer were tried.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Tried {
    /// Channels that compute differently.
    pub channels: usize,
    /// Pairs of channel and value that can occur, as far as they were counted.
    pub pairs: u64,
    /// Pairs that were computed: all of them, or those between which a monotone function cannot change.
    pub computed: u64,
    /// Pairs for which the formulas differ before the quantizer.
    pub normalized_differently: u64,
    /// Pairs for which they differ after it.
    pub disagreements: u64,
}

/// A place where two engines part.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Disagreement {
    /// The layer's name.
    pub layer: String,
    /// Place along the axis of channels.
    pub channel: usize,
    /// The value that goes into the layer.
    pub value: f32,
    /// The layer's result with onnxruntime's batch normalization, which is ours.
    pub onnxruntime: f32,
    /// The layer's result with PyTorch's batch normalization.
    pub pytorch: f32,
    /// Ours.
    pub fewbit: f32,
    /// How often the value occurs in the images, if images were given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen_in_images: Option<u64>,
}

impl Certificate {
    /// Notes how long the proof took.
    pub fn with_seconds(self, seconds: f64) -> Self {
        Self { seconds: Some(seconds), ..self }
    }
}
