//! That a changed file computes what the old one did: both are executed on the same inputs.

use fewbit_onnx::proto::ModelProto;
use fewbit_qonnx::Mode;
use fewbit_qonnx::equivalence::{Equivalence, at_edges, compare};
use serde_json::{Value, json};

use crate::console::grouped;
use crate::failure::Outcome;

/// Inputs that are tried.
const ITEMS: usize = 8;

/// What came of executing both files.
#[derive(Clone, Copy, Debug)]
pub struct Proof {
    canonical: Equivalence,
    /// Node by node, where the canonical sums differ.
    reference: Option<Equivalence>,
    /// Each quantizer alone.
    edges: Option<Equivalence>,
}

/// Executes both files on the same inputs.
pub fn prove(before: &ModelProto, after: &ModelProto) -> Outcome<Proof> {
    let canonical = compare(before, after, ITEMS, Mode::Canonical)?;
    let reference = if canonical.is_exact() {
        None
    } else {
        Some(compare(before, after, ITEMS, Mode::Reference)?)
    };
    Ok(Proof { canonical, reference, edges: None })
}

/// The same for files whose tensors have the same names: each quantizer is executed alone, too, at the edges of its format.
pub fn prove_conversion(before: &ModelProto, after: &ModelProto) -> Outcome<Proof> {
    let edges = Some(at_edges(before, after, Mode::Canonical)?);
    Ok(Proof { edges, ..prove(before, after)? })
}

impl Proof {
    /// True if all outputs are the same bit for bit, as fewbit computes or as qonnx does.
    pub fn holds(&self) -> bool {
        let outputs =
            self.canonical.is_exact() || self.reference.is_some_and(|found| found.is_exact());
        outputs && self.edges.is_none_or(|found| found.is_exact())
    }

    /// What was found, in a line or two.
    pub fn words(&self) -> String {
        let told = |found: &Equivalence| {
            let values = grouped(found.values as u64);
            match found.values_differ {
                0 => format!("{values} values, 0 differ"),
                differ => format!(
                    "{values} values, {} differ, by at most {:e}",
                    grouped(differ as u64),
                    found.largest_difference
                ),
            }
        };
        let mut text =
            format!("executed before and after on {ITEMS} inputs: {}\n", told(&self.canonical));
        if let Some(reference) = &self.reference {
            text.push_str(&format!("  node by node, as qonnx computes: {}\n", told(reference)));
        }
        if let Some(edges) = self.edges.as_ref().filter(|edges| edges.values > 0) {
            text.push_str(&format!("  each quantizer alone, at its edges: {}\n", told(edges)));
        }
        text
    }

    /// The same for machines.
    pub fn document(&self) -> Value {
        json!({
            "holds": self.holds(),
            "items": ITEMS,
            "canonical": self.canonical,
            "reference": self.reference,
            "quantizers_at_edges": self.edges,
        })
    }
}
