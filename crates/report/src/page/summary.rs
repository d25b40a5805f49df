//! The top of the page: what was trained, what was proved, where the files are, in plain words.

use crate::markup::Markup;
use crate::numbers::{counted, measure, percent, whole};
use crate::run::{RunReport, VerificationSummary};

pub(super) fn summary(report: &RunReport) -> Markup {
    let mut header = Markup::default();
    header.raw("<header>\n<h1>").text(&report.network).raw(" <span>on ").text(&report.dataset);
    header.raw("</span></h1>\n");
    header.append(trained(report));
    header.append(proved(report.verification.as_ref()));
    header.append(files(report));
    header.append(figures(report));
    header.raw("</header>\n");
    header
}

fn trained(report: &RunReport) -> Markup {
    let mut text = Markup::default();
    text.raw("<p class=\"lead\">A network with ");
    text.text(counted(report.parameters, "parameter", "parameters"));
    text.raw(", <b>").text(&report.weight_format).raw("</b> weights and <b>");
    text.text(&report.activation_format).raw("</b> activations, ");
    match report.epochs.len() as u64 {
        0 => text.raw("was set up; no epoch was completed."),
        epochs => {
            text.raw("was trained for ").text(counted(epochs, "epoch", "epochs")).raw(" on ");
            text.text(counted(report.train_images, "image", "images")).raw(" of ");
            text.text(&report.dataset).raw(".")
        }
    };
    if let Some(best) = &report.best {
        text.raw(" Its best state, after epoch ").text(whole(best.epoch));
        text.raw(", classifies <b>").text(percent(best.test_top1_percent)).raw("</b> of ");
        text.text(counted(report.test_images, "test image", "test images")).raw(" correctly.");
    }
    text.raw("</p>\n");
    text
}

fn proved(verification: Option<&VerificationSummary>) -> Markup {
    let mut text = Markup::default();
    let Some(found) = verification else {
        text.raw("<p class=\"proof none\"><b>Not verified.</b> Whether the exported file computes what was trained was not examined in this run.</p>\n");
        return text;
    };
    let compared = found.values_compared > 0 && found.images > 0;
    let equal = found.values_differ == 0 && found.predictions_equal == found.images;
    match (compared, equal) {
        (false, _) => {
            text.raw("<p class=\"proof none\"><b>Nothing was compared.</b> The verification ran over no values, so it shows nothing.</p>\n");
            return text;
        }
        (true, true) => text.raw("<p class=\"proof equal\"><b>The exported file computes what was trained.</b> "),
        (true, false) => text.raw("<p class=\"proof differ\"><b>The exported file does not compute what was trained.</b> "),
    };
    text.raw("The file was run on ").text(counted(found.images, "test image", "test images"));
    text.raw(" and compared with the trainer: ").text(counted(
        found.tensors_compared,
        "tensor",
        "tensors",
    ));
    text.raw(", ").text(counted(found.values_compared, "value", "values")).raw(". ");
    match found.values_differ {
        0 => text.raw("Not one differs in a single bit."),
        differ => {
            text.text(whole(differ)).raw(if differ == 1 { " differs" } else { " differ" });
            text.raw(", by ").text(measure(found.largest_difference)).raw(" at most.")
        }
    };
    match found.images.saturating_sub(found.predictions_equal) {
        0 => text.raw(" Both predict the same class for every image."),
        other => text
            .raw(" They predict another class for ")
            .text(counted(other, "image", "images"))
            .raw("."),
    };
    text.raw("</p>\n");
    text
}

fn files(report: &RunReport) -> Markup {
    let mut list = Markup::default();
    if report.files.is_empty() {
        return list;
    }
    list.raw("<h2>Files</h2>\n<dl class=\"files\">\n");
    for file in &report.files {
        list.raw("<dt><code>").text(&file.path).raw("</code></dt><dd>").text(&file.contents);
        list.raw("</dd>\n");
    }
    list.raw("</dl>\n");
    list
}

fn figures(report: &RunReport) -> Markup {
    let mut list = Markup::default();
    let last = report.epochs.last();
    let speeds = report.epochs.iter().map(|epoch| epoch.images_per_second);
    let mut speeds: Vec<f64> = speeds.filter(|speed| speed.is_finite()).collect();
    speeds.sort_by(f64::total_cmp);
    let figures = [
        report.best.as_ref().map(|best| ("best test top-1", percent(best.test_top1_percent))),
        last.map(|last| ("last test top-1", percent(last.test_top1_percent))),
        last.map(|last| ("last test top-5", percent(last.test_top5_percent))),
        speeds.get(speeds.len() / 2).map(|&speed| ("images/s (median)", measure(speed))),
        report
            .verification
            .as_ref()
            .map(|found| ("values that differ", whole(found.values_differ))),
    ];
    list.raw("<dl class=\"figures\">\n");
    for (name, value) in figures.into_iter().flatten() {
        list.raw("<div><dt>").raw(name).raw("</dt><dd>").text(value).raw("</dd></div>\n");
    }
    list.raw("</dl>\n");
    list
}
