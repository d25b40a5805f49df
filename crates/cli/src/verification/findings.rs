//! What a verification found, for machines and for people.

use std::fmt::Write as _;
use std::path::Path;

use fewbit_report::VerificationSummary;
use fewbit_train::Hits;
use serde_json::{Value, json};

use super::comparison::{Comparison, Mismatch};
use super::constants::Constants;
use crate::console::{escape, grouped, seconds};

/// What the comparison of a network with a file found.
#[derive(Clone, Debug)]
pub struct Findings {
    /// Name of the network.
    pub network: String,
    /// Name of the dataset.
    pub dataset: String,
    /// How the executor computed.
    pub mode: &'static str,
    /// Images that both computed.
    pub images: u64,
    /// The tensors that both name, in order of execution; the logits come last.
    pub tensors: Vec<TensorFinding>,
    /// Tensors of the trainer that the file does not name.
    pub only_in_trainer: Vec<String>,
    /// Right answers of the network.
    pub trainer_hits: Hits,
    /// Right answers of the file.
    pub file_hits: Hits,
    /// Images for which they predict different classes.
    pub predictions_differ: u64,
    /// The outputs by the file's plan against those step by step; none if the file has no plan in this mode.
    pub plan: Option<PlanFinding>,
    /// What is stored, compared.
    pub constants: Constants,
    /// Why the file could not be executed, if it could not: then no image was compared.
    pub refused: Option<String>,
    /// How long it took.
    pub seconds: f64,
}

/// What was found about one tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorFinding {
    /// The trainer's name.
    pub name: String,
    /// The file's name.
    pub in_file: String,
    /// Its shape, without the batch.
    pub shape: Option<Vec<usize>>,
    /// Its values.
    pub comparison: Comparison,
    /// Set if the file computes it in another shape or type.
    pub other_shape: Option<OtherShape>,
}

/// A tensor that cannot be compared value by value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherShape {
    /// Type and shape on the trainer's side.
    pub trainer: String,
    /// Type and shape in the file.
    pub file: String,
}

/// What was found about the outputs that follow the plan of a file.
///
/// Inner tensors are computed step by step; whoever asks for none gets outputs by the plan.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanFinding {
    /// Stages of the plan.
    pub stages: usize,
    /// The outputs: step by step on the trainer's side, by the plan on the file's.
    pub comparison: Comparison,
    /// Outputs that have another shape or type, or other values that are no numbers of 32 bits.
    pub other_shapes: u64,
}

impl PlanFinding {
    /// Nothing was compared yet.
    pub fn new(stages: usize) -> Self {
        Self { stages, comparison: Comparison::default(), other_shapes: 0 }
    }

    fn differs(&self) -> bool {
        self.comparison.differ > 0 || self.other_shapes > 0
    }

    fn json(&self) -> Value {
        let Comparison { values, differ, zero_signs_differ, first, .. } = self.comparison;
        json!({
            "stages": self.stages,
            "values_compared": values,
            "values_differ": differ,
            "zero_signs_differ": zero_signs_differ,
            "other_shapes": self.other_shapes,
            "first_difference": first.map(|first| json!({
                "image": first.image,
                "index": first.index,
                "by_steps": first.trainer,
                "by_plan": first.file,
            })),
        })
    }

    /// The first value that differs, in words.
    fn sentence(&self) -> String {
        match self.comparison.first {
            Some(first) => format!(
                "  the plan gives other outputs than the steps: image {}, value {}: {} by the plan, {} by the steps\n",
                first.image, first.index, first.file, first.trainer
            ),
            None => "  the plan gives outputs of another shape or type than the steps\n".to_owned(),
        }
    }
}

impl TensorFinding {
    /// Nothing was compared yet.
    pub fn new(name: &str, in_file: &str) -> Self {
        let (name, in_file) = (name.to_owned(), in_file.to_owned());
        Self { name, in_file, shape: None, comparison: Comparison::default(), other_shape: None }
    }

    fn differs(&self) -> bool {
        self.comparison.differ > 0 || self.other_shape.is_some()
    }

    fn json(&self) -> Value {
        let Comparison { values, differ, zero_signs_differ, .. } = self.comparison;
        json!({
            "name": self.name,
            "name_in_file": self.in_file,
            "shape": self.shape,
            "values_compared": values,
            "values_differ": differ,
            "zero_signs_differ": zero_signs_differ,
            "largest_difference": self.comparison.largest_difference,
            "largest_difference_ulps": self.comparison.largest_difference_ulps,
            "other_shape": self.other_shape.as_ref().map(|other| {
                json!({ "trainer": other.trainer, "file": other.file })
            }),
        })
    }
}

impl Findings {
    /// Whether the file computes and stores what the checkpoint does.
    pub fn identical(&self) -> bool {
        self.refused.is_none()
            && self.predictions_differ == 0
            && self.constants.constants_differ == 0
            && !self.tensors.iter().any(TensorFinding::differs)
            && !self.plan.as_ref().is_some_and(PlanFinding::differs)
    }

    /// The tensors that the file calls otherwise.
    fn renamed(&self) -> impl Iterator<Item = &TensorFinding> {
        self.tensors.iter().filter(|tensor| tensor.name != tensor.in_file)
    }

    /// All tensors together.
    fn total(&self) -> Comparison {
        let mut total = Comparison::default();
        self.tensors.iter().for_each(|tensor| total.merge(&tensor.comparison));
        total
    }

    /// The first tensor, in order of execution, that differs, and where.
    fn first_difference(&self) -> Option<(&TensorFinding, Option<Mismatch>)> {
        let tensor = self.tensors.iter().find(|tensor| tensor.differs())?;
        Some((tensor, tensor.comparison.first))
    }

    /// The document that is written and printed.
    pub fn json(&self, checkpoint: &Path, model: &Path, hashes: [String; 2]) -> Value {
        let total = self.total();
        let [checkpoint_sha256, model_sha256] = hashes;
        let first = self.first_difference().map(|(tensor, first)| {
            json!({
                "tensor": tensor.name,
                "image": first.map(|first| first.image),
                "index": first.map(|first| first.index),
                "trainer": first.map(|first| first.trainer),
                "file": first.map(|first| first.file),
            })
        });
        json!({
            "identical": self.identical(),
            "executed": self.refused.is_none(),
            "execution_error": self.refused,
            "network": self.network,
            "checkpoint": checkpoint.display().to_string(),
            "checkpoint_sha256": checkpoint_sha256,
            "model": model.display().to_string(),
            "model_sha256": model_sha256,
            "version": env!("CARGO_PKG_VERSION"),
            "dataset": self.dataset,
            "mode": self.mode,
            "images": self.images,
            "tensors_compared": self.tensors.len(),
            "values_compared": total.values,
            "values_differ": total.differ,
            "zero_signs_differ": total.zero_signs_differ,
            "not_finite_differ": total.not_finite_differ,
            "largest_difference": total.largest_difference,
            "largest_difference_ulps": total.largest_difference_ulps,
            "first_difference": first,
            "predictions_differ": self.predictions_differ,
            "trainer_top1_percent": self.trainer_hits.top1_percent(),
            "trainer_top5_percent": self.trainer_hits.top5_percent(),
            "file_top1_percent": percent(self.file_hits.top1, self.images),
            "file_top5_percent": percent(self.file_hits.top5, self.images),
            "tensors": self.tensors.iter().map(TensorFinding::json).collect::<Vec<_>>(),
            "tensors_renamed": self.renamed().count(),
            "tensors_only_in_trainer": self.only_in_trainer,
            "plan": self.plan.as_ref().map(PlanFinding::json),
            "constants": self.constants,
            "seconds": self.seconds,
            "images_per_second": self.images as f64 / self.seconds,
        })
    }

    /// Numbers and verdict in words.
    pub fn text(&self) -> String {
        if let Some(refused) = &self.refused {
            return format!(
                "  The file cannot be executed: {}\n\n{}",
                escape(refused),
                self.verdict()
            );
        }
        let total = self.total();
        let mut text = String::new();
        let mut fact = |name: &str, value: String| {
            let _ = writeln!(text, "  {name:<20}{value}");
        };
        fact("images", format!("{} ({}, test)", grouped(self.images), self.dataset));
        fact("tensors compared", grouped(self.tensors.len() as u64));
        let renamed = self.renamed().count() as u64;
        if renamed > 0 {
            let found = "found by their place in the graph";
            fact("tensors renamed", format!("{}, {found}", grouped(renamed)));
        }
        fact("values compared", grouped(total.values));
        fact("values that differ", grouped(total.differ));
        let (largest, ulps) = (total.largest_difference, total.largest_difference_ulps);
        fact("largest difference", format!("{largest} ({} ulps)", grouped(ulps)));
        let equal = self.images - self.predictions_differ;
        fact("equal predictions", format!("{} of {}", grouped(equal), grouped(self.images)));
        let (trainer, file) = (self.trainer_hits.top1, self.file_hits.top1);
        let [trainer, file] = [trainer, file].map(|hits| percent(hits, self.images));
        fact("top-1", format!("{trainer:.2} % trainer, {file:.2} % file"));
        let Constants { initializers_compared, attributes_compared, constants_differ, .. } =
            self.constants;
        let stored = grouped(initializers_compared + attributes_compared);
        fact(
            "stored constants",
            format!("{stored} compared, {} differ", grouped(constants_differ)),
        );
        fact("executor", format!("{} mode", self.mode));
        if let Some(plan) = &self.plan {
            let Comparison { values, differ, .. } = plan.comparison;
            let compared = format!("{} values compared with the steps", grouped(values));
            let stages = plan.stages;
            fact("plan", format!("{stages} stages, {compared}, {} differ", grouped(differ)));
        } else {
            let reason = match self.mode {
                "reference" => "in reference mode every file runs node by node",
                _ => "the graph has none, or its values did not fit it: it runs node by node",
            };
            fact("plan", format!("not compared, because {reason}"));
        }
        fact("time", seconds(self.seconds));
        text.push('\n');
        text.push_str(&self.verdict());
        text.push_str(&self.not_compared());
        text
    }

    /// What the file has no counterpart of.
    fn not_compared(&self) -> String {
        let Some(first) = self.only_in_trainer.first() else { return String::new() };
        let (count, all) =
            (self.only_in_trainer.len(), self.only_in_trainer.len() + self.tensors.len());
        format!(
            "NOT COMPARED: {count} of {all} tensors of the trainer have no counterpart in the file, neither by \
             name nor by place: {}{}\n",
            escape(first),
            if count > 1 { ", ... (the JSON report lists them)" } else { "" },
        )
    }

    /// Whether they are identical, and if not, what differs.
    pub fn verdict(&self) -> String {
        if self.identical() {
            let what =
                if self.only_in_trainer.is_empty() { "" } else { " as far as it was compared" };
            return format!(
                "IDENTICAL{what}: on all {} images the file computes, bit for bit, what was trained.\n",
                grouped(self.images)
            );
        }
        let mut text = String::from("DIFFERENT: the file is not what was trained.\n");
        if let Some((tensor, first)) = self.first_difference() {
            let name = escape(&tensor.name);
            let _ = match (&tensor.other_shape, first) {
                (Some(other), _) => writeln!(
                    text,
                    "  first tensor that differs: {name} is {} in the file, {} in the trainer",
                    other.file, other.trainer
                ),
                (None, Some(first)) => writeln!(
                    text,
                    "  first tensor that differs: {name}; image {}, value {}: {} in the file, {} in the trainer",
                    first.image, first.index, first.file, first.trainer
                ),
                (None, None) => Ok(()),
            };
        }
        if let Some(plan) = self.plan.as_ref().filter(|plan| plan.differs()) {
            text.push_str(&plan.sentence());
        }
        for difference in self.constants.differ.iter().take(SHOWN) {
            let _ = writeln!(
                text,
                "  {} {}: {} in the file, expected {}",
                difference.kind,
                escape(&difference.name),
                escape(&shortened(&difference.file)),
                escape(&shortened(&difference.expected))
            );
        }
        let more = self.constants.differ.len().saturating_sub(SHOWN);
        if more > 0 {
            let _ = writeln!(text, "  and {more} more, see the JSON report");
        }
        text
    }

    /// What the HTML report shows.
    pub fn summary(&self) -> VerificationSummary {
        let total = self.total();
        VerificationSummary {
            images: self.images,
            tensors_compared: self.tensors.len() as u64,
            values_compared: total.values,
            values_differ: total.differ,
            largest_difference: total.largest_difference,
            largest_ulps: total.largest_difference_ulps,
            predictions_equal: self.images - self.predictions_differ,
            top1_trainer_percent: percent(self.trainer_hits.top1, self.images),
            top1_file_percent: percent(self.file_hits.top1, self.images),
            first_difference: self.first_difference().map(|(tensor, first)| match first {
                Some(first) => {
                    format!("{}, image {}, value {}", tensor.name, first.image, first.index)
                }
                None => tensor.name.clone(),
            }),
        }
    }

    /// One sentence for the end of a training.
    pub fn sentence(&self) -> String {
        let total = self.total();
        format!(
            "The file was run on all {} test images and compared with the trainer: {} tensors, {} values, \
             {} differ.",
            grouped(self.images),
            self.tensors.len(),
            grouped(total.values),
            grouped(total.differ)
        )
    }
}

/// So many differing constants are shown to people; machines get all.
const SHOWN: usize = 10;

/// Long lists do not help a person.
fn shortened(text: &str) -> String {
    const LONG: usize = 120;
    if text.chars().count() <= LONG {
        return text.to_owned();
    }
    text.chars().take(LONG).chain("...".chars()).collect()
}

fn percent(part: u64, whole: u64) -> f64 {
    100.0 * part as f64 / whole as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_that_differs() {
        let mut plan = PlanFinding::new(3);
        plan.comparison.add(0, 2, &[1.0, 0.0, 3.0, 4.0], &[1.0, -0.0, 3.0, 4.0]);
        assert!(!plan.differs());
        assert_eq!(plan.json()["zero_signs_differ"], 1);
        plan.comparison.add(2, 2, &[1.0, 2.0, 3.0, 4.0], &[1.0, 2.0, 3.0, 5.0]);
        assert!(plan.differs());
        assert_eq!(plan.json()["first_difference"]["by_plan"], 5.0);
        let expected = "image 3, value 1: 5 by the plan, 4 by the steps";
        assert!(plan.sentence().contains(expected), "{}", plan.sentence());
        let shape = PlanFinding { other_shapes: 1, ..PlanFinding::new(3) };
        assert!(shape.differs() && shape.sentence().contains("shape"));
    }
}
