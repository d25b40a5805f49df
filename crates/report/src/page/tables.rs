//! The tables of the page.

use crate::histogram::histogram;
use crate::markup::Markup;
use crate::numbers::{measure, percent, whole};
use crate::run::{EpochMetrics, LayerRow, RunReport, VerificationSummary};

pub(super) fn verification(found: Option<&VerificationSummary>) -> Markup {
    let mut section = Markup::default();
    let Some(found) = found else { return section };
    let rows = [
        ("images", whole(found.images)),
        ("tensors compared", whole(found.tensors_compared)),
        ("values compared", whole(found.values_compared)),
        ("values that differ", whole(found.values_differ)),
        ("largest difference", measure(found.largest_difference)),
        ("largest difference, in ulps", whole(found.largest_ulps)),
        (
            "equal predictions",
            format!("{} of {}", whole(found.predictions_equal), whole(found.images)),
        ),
        ("top-1 of the trainer", percent(found.top1_trainer_percent)),
        ("top-1 of the file", percent(found.top1_file_percent)),
        ("first difference", found.first_difference.clone().unwrap_or_else(|| "none".to_owned())),
    ];
    section.raw("<section>\n<h2>Verification</h2>\n<p>The trainer and the exported file, run by an executor that shares no quantizer with the trainer, value by value. An ulp is a unit in the last place of an f32.</p>\n");
    section.raw("<table class=\"pairs\"><tbody>\n");
    for (name, value) in rows {
        section
            .raw("<tr><th scope=\"row\">")
            .raw(name)
            .raw("</th><td>")
            .text(value)
            .raw("</td></tr>\n");
    }
    section.raw("</tbody></table>\n</section>\n");
    section
}

pub(super) fn layers(layers: &[LayerRow]) -> Markup {
    let mut section = Markup::default();
    if layers.is_empty() {
        return section;
    }
    section.raw("<section>\n<h2>Layers</h2>\n<p>The pictures show how often each quantized weight value occurs, from the smallest to the largest.</p>\n");
    section.raw("<div class=\"scroll\"><table class=\"layers\"><thead><tr><th>layer</th><th>kind</th><th>weights</th><th>activations</th><th>shape</th><th class=\"number\">parameters</th><th>weight values</th></tr></thead><tbody>\n");
    for layer in layers {
        let shape: Vec<String> = layer.shape.iter().map(u64::to_string).collect();
        section.raw("<tr><th scope=\"row\">").text(&layer.name).raw("</th>");
        // On a narrow screen each layer becomes a list, and the labels stand in for the head of the table.
        let shape = shape.join(" \u{d7} ");
        let cells = [
            ("<td data-label=\"kind\">", layer.kind.as_str()),
            ("<td data-label=\"weights\">", &layer.weight_format),
            ("<td data-label=\"activations\">", &layer.activation_format),
            ("<td data-label=\"shape\">", &shape),
            ("<td data-label=\"parameters\" class=\"number\">", &whole(layer.parameters)),
        ];
        for (start, text) in cells {
            section.raw(start).text(or_dash(text)).raw("</td>");
        }
        section.raw("<td data-label=\"weight values\"><div>");
        match histogram(&layer.weight_values) {
            Some(picture) => section.append(picture),
            None => section.raw("\u{2013}"),
        };
        section.raw("</div></td></tr>\n");
    }
    section.raw("</tbody></table></div>\n</section>\n");
    section
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "\u{2013}" } else { text }
}

pub(super) fn epochs(epochs: &[EpochMetrics]) -> Markup {
    let mut section = Markup::default();
    if epochs.is_empty() {
        return section;
    }
    section.raw("<section>\n<details><summary>All epochs in numbers</summary>\n<div class=\"scroll\"><table><thead><tr>");
    for name in [
        "epoch",
        "learning rate",
        "training loss",
        "training top-1",
        "test loss",
        "test top-1",
        "test top-5",
        "images/s",
    ] {
        section.raw("<th class=\"number\">").raw(name).raw("</th>");
    }
    section.raw("</tr></thead><tbody>\n");
    for epoch in epochs {
        let cells = [
            whole(epoch.epoch),
            measure(epoch.learning_rate),
            measure(epoch.train_loss),
            percent(epoch.train_top1_percent),
            measure(epoch.test_loss),
            percent(epoch.test_top1_percent),
            percent(epoch.test_top5_percent),
            measure(epoch.images_per_second),
        ];
        section.raw("<tr>");
        for cell in cells {
            section.raw("<td class=\"number\">").text(cell).raw("</td>");
        }
        section.raw("</tr>\n");
    }
    section.raw("</tbody></table></div>\n</details>\n</section>\n");
    section
}

pub(super) fn run(report: &RunReport) -> Markup {
    let mut section = Markup::default();
    section.raw("<section>\n<h2>How it was run</h2>\n<pre><code>").text(&report.command);
    section.raw("</code></pre>\n<table class=\"pairs\"><tbody>\n");
    let own = [("seed", report.seed.to_string()), ("version", report.version.clone())];
    let own = own.iter().map(|(name, value)| (*name, value.as_str()));
    let facts = report.facts.iter().map(|fact| (fact.name.as_str(), fact.value.as_str()));
    for (name, value) in own.chain(facts) {
        section.raw("<tr><th scope=\"row\">").text(name).raw("</th><td>").text(value);
        section.raw("</td></tr>\n");
    }
    section.raw("</tbody></table>\n</section>\n");
    section
}
