//! The certificate in words.

use std::fmt;

use super::{Certificate, Layer, Verdict};

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NotProvable => "not provable",
            Self::ProvedForTheseImages => "proved for these images",
            Self::ProvedForAllInputs => "proved for all inputs",
        })
    }
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let same = if self.outputs.iter().all(|output| output.equal_bits_in_every_order) {
            "every engine named below computes the same bits"
        } else {
            "every engine named below computes the same bits up to the sums before the last bias"
        };
        match self.verdict {
            Verdict::ProvedForAllInputs => writeln!(f, "proved for all inputs: {same}")?,
            Verdict::ProvedForTheseImages => {
                writeln!(f, "proved for these {} images: {same}", self.images)?
            }
            Verdict::NotProvable => {
                let open = self.layers.iter().filter(|layer| layer.verdict == self.verdict).count();
                writeln!(
                    f,
                    "not provable: in {open} of {} layers engines may part",
                    self.layers.len()
                )?;
            }
        }
        writeln!(f, "  inputs: {}", self.inputs)?;
        let sums = &self.sums;
        if sums.layers > 0 {
            write!(
                f,
                "  sums: {} of {} layers exact in any order for all inputs",
                sums.exact_for_all_inputs, sums.layers
            )?;
            if self.images > 0 && sums.exact_for_these_images > 0 {
                write!(f, ", {} more for {} images", sums.exact_for_these_images, self.images)?;
            }
            writeln!(f, "; largest bound {:.0} units of {}", sums.largest_units, sums.limit_units)?;
        }
        let normalizations = &self.normalizations;
        if normalizations.layers > 0 {
            writeln!(
                f,
                "  batch normalization: {} layers, {} pairs of channel and value tried; the formulas differ in {}, after \
                 the quantizer in {}",
                normalizations.layers,
                normalizations.pairs_tried,
                normalizations.pairs_normalized_differently,
                normalizations.disagreements
            )?;
        }
        for output in self.outputs.iter().filter(|output| !output.equal_bits_in_every_order) {
            write!(
                f,
                "  output {}: equal bits in engines that add the bias to the finished sum (PyTorch, fewbit); in others \
                 (onnxruntime's Gemm of more than 128 terms) last bits may differ",
                printable(&output.name)
            )?;
            match output.largest_difference {
                Some(difference) => writeln!(f, ", by at most {difference:.1e}")?,
                None => writeln!(f)?,
            }
        }
        if let Some(seconds) = self.seconds {
            writeln!(f, "  time: {seconds:.2} s")?;
        }
        for layer in self.layers.iter().filter(|layer| layer.verdict != Verdict::ProvedForAllInputs)
        {
            layer_line(f, layer)?;
        }
        writeln!(f, "covered is every engine that")?;
        for rule in &self.engines {
            writeln!(f, "  - {rule}")?;
        }
        if !self.conditions.is_empty() {
            writeln!(f, "on condition that")?;
        }
        for condition in &self.conditions {
            writeln!(f, "  - {}", printable(condition))?;
        }
        Ok(())
    }
}

fn layer_line(f: &mut fmt::Formatter<'_>, layer: &Layer) -> fmt::Result {
    write!(f, "  {}: {} ({}): ", layer.verdict, printable(&layer.name), layer.kind)?;
    let bounds = layer.sum.as_ref().and_then(|sum| sum.bound_units.zip(sum.bound_units_of_images));
    match (layer.verdict, bounds, &layer.reason) {
        (Verdict::ProvedForTheseImages, Some((all, images)), _) => {
            writeln!(
                f,
                "at most {images:.0} units in the images; up to {all:.0} cannot be excluded for others"
            )
        }
        (Verdict::ProvedForTheseImages, None, Some(reason)) => {
            let shown = if layer.disagreements.is_empty() {
                "no sum is too large in the images"
            } else {
                "no image has this value"
            };
            writeln!(f, "{shown}: {}", printable(reason))
        }
        (_, _, reason) => writeln!(f, "{}", printable(reason.as_deref().unwrap_or_default())),
    }
}

/// Names of a file, without what a terminal would take for a command.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
