//! Proofs that all engines compute the same bits, for every possible input of a model.
//!
//! PyTorch, onnxruntime and this crate add up sums of products in orders of their own, and normalize batches by
//! different formulas. A model for which neither can matter gives the same bits everywhere. [`Proof::new`] shows this
//! layer by layer:
//!
//! - Sums are exact in any order while no part of one can exceed `2^24` units of the grid that its products lie on.
//!   The bound of each output channel follows from its weights and from the values that its inputs can have.
//! - What goes into a batch normalization lies on a grid, too, and so has finitely many values. Each is tried in each
//!   channel, in both formulas, through everything that follows up to the next quantizer.
//!
//! Where a bound for every input is too large, [`Proof::check`] tries the same bound on given images.
//!
//! ```no_run
//! use fewbit_qonnx::prove::{InputValues, Proof, Verdict};
//!
//! let model = fewbit_onnx::read_model("network.onnx".as_ref()).expect("a model");
//! let certificate = Proof::new(&model, &InputValues::Pixels)?.certificate();
//! println!("{certificate}");
//! assert_eq!(certificate.verdict, Verdict::ProvedForAllInputs);
//! # Ok::<(), fewbit_qonnx::Error>(())
//! ```

mod certificate;
mod function;
pub(crate) mod graph;
mod images;
mod set;
mod sums;
mod walk;

pub use certificate::{
    Bias, Certificate, Disagreement, Layer, NormalizationTotals, Output, Sum, SumTotals, Tried,
    Verdict,
};

use fewbit_onnx::proto::ModelProto;

use crate::error::{Error, Fault};
use graph::Graph;
use images::{PendingSum, Watch};
use set::{LIMIT, Set};
use walk::Walk;

/// The inputs that a proof is about.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum InputValues {
    /// Any finite `f32` in any place.
    Any,
    /// `k / 255` for bytes `k`, in any place.
    Pixels,
    /// These values, in any place.
    Values(Vec<f32>),
    /// Every `f32` from the first to the second, in any place.
    Range(f32, f32),
}

/// A proof about a model: for every input, and then for the images that [`Proof::check`] is given.
pub struct Proof<'a> {
    graph: Graph<'a>,
    inputs: InputValues,
    layers: Vec<Layer>,
    pending: Vec<PendingSum>,
    watches: Vec<Watch>,
    conditions: Vec<String>,
    outputs: Vec<Output>,
    images: usize,
}

impl<'a> Proof<'a> {
    /// Proves what holds for every input.
    ///
    /// # Errors
    /// Those of [`Model::from_proto`](crate::Model::from_proto) and of a run, and
    /// [`ErrorKind::BadValue`](crate::ErrorKind::BadValue) for inputs that are no finite numbers.
    pub fn new(model: &'a ModelProto, inputs: &InputValues) -> Result<Self, Error> {
        let values = inputs.set()?;
        let graph = Graph::new(model)?;
        let walk = Walk::run(&graph, &values);
        let Walk { layers, pending, watches, conditions, outputs, .. } = walk;
        let conditions = conditions.into_iter().collect();
        Ok(Self {
            graph,
            inputs: inputs.clone(),
            layers,
            pending,
            watches,
            conditions,
            outputs,
            images: 0,
        })
    }

    /// Tells whether images can still prove something: that a sum that may become too large does not, or that a value
    /// for which engines part does not occur.
    pub fn needs_images(&self) -> bool {
        !self.pending.is_empty() || !self.watches.is_empty()
    }

    /// Tries on images what could not be proved for every input: inputs as for [`Model::run`](crate::Model::run).
    ///
    /// # Errors
    /// Those of a run, and [`ErrorKind::BadValue`](crate::ErrorKind::BadValue) for an image with a value that the proof is not about.
    pub fn check(&mut self, inputs: &[(&str, crate::Value)]) -> Result<(), Error> {
        images::check(self, inputs)
    }

    /// What is proved.
    pub fn certificate(&self) -> Certificate {
        let mut layers = self.layers.clone();
        if self.images > 0 {
            for sum in &self.pending {
                sum.decide(&mut layers[sum.layer], self.images);
            }
            for watch in &self.watches {
                watch.decide(&mut layers[watch.layer], self.images);
            }
        }
        let verdict =
            layers.iter().map(|layer| layer.verdict).min().unwrap_or(Verdict::ProvedForAllInputs);
        let mut sums = SumTotals { limit_units: LIMIT, ..SumTotals::default() };
        let mut normalizations = NormalizationTotals::default();
        for layer in &layers {
            if let Some(sum) = &layer.sum {
                sums.layers += 1;
                sums.exact_for_all_inputs +=
                    usize::from(layer.verdict == Verdict::ProvedForAllInputs);
                sums.exact_for_these_images +=
                    usize::from(layer.verdict == Verdict::ProvedForTheseImages);
                sums.largest_units = sums.largest_units.max(sum.bound_units.unwrap_or_default());
            }
            if layer.kind.contains("BatchNormalization") {
                normalizations.layers += 1;
                if let Some(tried) = &layer.values {
                    normalizations.pairs_tried += tried.pairs;
                    normalizations.pairs_normalized_differently += tried.normalized_differently;
                    normalizations.disagreements += tried.disagreements;
                }
            }
        }
        Certificate {
            verdict,
            proved_for_all_inputs: verdict == Verdict::ProvedForAllInputs,
            inputs: self.inputs.to_string(),
            images: self.images,
            engines: ENGINES.iter().map(|rule| (*rule).to_owned()).collect(),
            conditions: self.conditions.clone(),
            outputs: self.outputs.clone(),
            sums,
            normalizations,
            layers,
            seconds: None,
        }
    }
}

/// What an engine has to do for a proof to cover it.
const ENGINES: [&str; 6] = [
    "computes in IEEE f32, rounding to nearest, ties to even, on finite inputs",
    "runs the file node by node with the constants that it holds: batch normalization is not folded into weights",
    "adds up the products of a convolution or matrix product in any order, with or without fused multiply-add, in f32 or \
     wider: no Winograd or Fourier transform, no TF32 or half precision",
    "normalizes batches with a = weight * (1 / sqrt(var + eps)) and either b = bias - mean * a, y = x * a + b, each step \
     rounded (onnxruntime, fewbit), or both fused (PyTorch)",
    "quantizes as QONNX specifies (Brevitas, qonnx, fewbit), and rounds each other step once",
    "so: PyTorch with Brevitas on a CPU, qonnx with onnxruntime on a CPU, and fewbit in all its modes",
];

impl InputValues {
    fn set(&self) -> Result<Set, Error> {
        let finite = |values: &[f32]| match values.iter().find(|v| !v.is_finite()) {
            Some(v) => Err(Error::tensor(
                "the values of the input",
                Fault::value("a value", v, "a finite number"),
            )),
            None => Ok(()),
        };
        match self {
            Self::Any => Ok(Set::any()),
            Self::Pixels => Ok(Set::list((0..=255u8).map(|k| f32::from(k) / 255.0).collect())),
            Self::Values(values) => {
                finite(values)?;
                if values.is_empty() {
                    let fault = Fault::value("the number of values", 0, "one or more");
                    return Err(Error::tensor("the values of the input", fault));
                }
                Ok(Set::list(values.clone()))
            }
            Self::Range(lowest, highest) => {
                finite(&[*lowest, *highest])?;
                if lowest > highest {
                    let fault =
                        Fault::value("the lowest value", lowest, format_args!("at most {highest}"));
                    return Err(Error::tensor("the values of the input", fault));
                }
                Ok(Set::Interval(*lowest, *highest))
            }
        }
    }
}

impl std::fmt::Display for InputValues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Any => f.write_str("any finite f32"),
            Self::Pixels => f.write_str("pixels k / 255 for k from 0 to 255"),
            Self::Values(values) => write!(f, "{} given values", values.len()),
            Self::Range(lowest, highest) => write!(f, "any f32 from {lowest} to {highest}"),
        }
    }
}
