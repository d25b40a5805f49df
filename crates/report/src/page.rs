//! The page of a run.

mod summary;
mod tables;

use crate::chart::{Chart, Curve, Scale};
use crate::markup::Markup;
use crate::run::{EpochMetrics, RunReport};

/// Renders the report of a run as one HTML page that needs nothing else.
///
/// All strings of the report are escaped; measurements that are no numbers are written as such and left out of the curves.
///
/// # Examples
/// ```
/// use fewbit_report::{RunReport, render_html};
/// let report = RunReport { network: "TFC_2W2A".into(), dataset: "<mnist>".into(), ..RunReport::default() };
/// let html = render_html(&report);
/// assert!(html.starts_with("<!DOCTYPE html>") && html.contains("TFC_2W2A on &lt;mnist&gt;"));
/// ```
pub fn render_html(report: &RunReport) -> String {
    let mut page = Markup::default();
    page.raw("<!DOCTYPE html>\n<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\">\n<head>\n<meta charset=\"utf-8\"/>\n");
    page.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n");
    // Should a string ever get through unescaped: the browser still runs and fetches nothing.
    page.raw("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>\n");
    page.raw("<meta name=\"color-scheme\" content=\"light dark\"/>\n<title>");
    page.text(&report.network).raw(" on ").text(&report.dataset);
    page.raw("</title>\n<style>")
        .raw(include_str!("page/style.css"))
        .raw("</style>\n</head>\n<body>\n<main>\n");
    page.append(summary::summary(report));
    page.append(curves(&report.epochs));
    page.append(tables::verification(report.verification.as_ref()));
    page.append(tables::layers(&report.layers));
    page.append(tables::epochs(&report.epochs));
    page.append(tables::run(report));
    page.raw("</main>\n<footer>Written by fewbit ").text(&report.version);
    page.raw(". This page needs no network and no other file.</footer>\n</body>\n</html>\n");
    page.into_string()
}

fn curves(epochs: &[EpochMetrics]) -> Markup {
    let curve = |name, class, value: fn(&EpochMetrics) -> f64| {
        let points = epochs.iter().map(|epoch| (epoch.epoch, value(epoch))).collect();
        Curve { name, class, points }
    };
    let charts = [
        Chart {
            title: "Correctly classified",
            vertical: "top-1, %",
            scale: Scale::Percent,
            curves: vec![
                curve("training", "train", |epoch| epoch.train_top1_percent),
                curve("test", "test", |epoch| epoch.test_top1_percent),
            ],
        },
        Chart {
            title: "Loss",
            vertical: "mean over the images",
            scale: Scale::Linear,
            curves: vec![
                curve("training", "train", |epoch| epoch.train_loss),
                curve("test", "test", |epoch| epoch.test_loss),
            ],
        },
        Chart {
            title: "Learning rate",
            vertical: "logarithmic",
            scale: Scale::Logarithmic,
            curves: vec![curve("rate", "other", |epoch| epoch.learning_rate)],
        },
        Chart {
            title: "Training speed",
            vertical: "images per second",
            scale: Scale::FromZero,
            curves: vec![curve("speed", "other", |epoch| epoch.images_per_second)],
        },
    ];
    let mut section = Markup::default();
    section.raw("<section>\n<h2>Learning curves</h2>\n");
    let drawn: Vec<(&Chart, Markup)> =
        charts.iter().filter_map(|chart| Some((chart, chart.draw()?))).collect();
    if drawn.is_empty() {
        section.raw("<p>No epoch was completed, so there is nothing to draw.</p>\n");
    } else {
        section.raw("<div class=\"charts\">\n");
        for (chart, svg) in drawn {
            section.raw("<figure><figcaption>").raw(chart.title).raw("</figcaption>");
            section.append(svg).raw("</figure>\n");
        }
        section.raw("</div>\n");
    }
    section.raw("</section>\n");
    section
}
