//! Whole pages: well formed, nothing unescaped, the right words, whatever the run was like.

#![allow(clippy::unwrap_used, reason = "tests, their helpers included")]

use fewbit_report::{
    BarRow, Bars, BestEpoch, EpochMetrics, Fact, FileRow, LayerRow, RunReport, ValueCount,
    VerificationSummary, render_bars, render_html,
};
use proptest::prelude::*;
use roxmltree::{Document, Node, ParsingOptions};

fn epoch(epoch: u64, epochs: u64) -> EpochMetrics {
    let left = 1.0 - epoch as f64 / (epochs + 1) as f64;
    EpochMetrics {
        epoch,
        learning_rate: 0.02 * left,
        train_loss: 0.1 + left,
        train_top1_percent: 95.0 - 60.0 * left,
        test_loss: 0.15 + left * left,
        test_top1_percent: 96.0 - 50.0 * left,
        test_top5_percent: 99.5,
        images_per_second: 41_234.5,
    }
}

fn verified() -> VerificationSummary {
    VerificationSummary {
        images: 10_000,
        tensors_compared: 13,
        values_compared: 20_940_000,
        predictions_equal: 10_000,
        top1_trainer_percent: 96.61,
        top1_file_percent: 96.61,
        ..VerificationSummary::default()
    }
}

fn report(epochs: u64) -> RunReport {
    let text = str::to_owned;
    let values = [-1.0, 0.0, 1.0].map(|value| ValueCount { value, count: 1000 });
    let layer = LayerRow {
        name: text("features.2"),
        kind: text("linear"),
        weight_format: text("int2"),
        activation_format: text("int2"),
        shape: vec![64, 784],
        parameters: 50_176,
        weight_values: values.to_vec(),
    };
    RunReport {
        network: text("TFC_2W2A"),
        dataset: text("mnist"),
        weight_format: text("int2"),
        activation_format: text("int2"),
        command: text("fewbit train --network TFC_2W2A"),
        seed: 7,
        version: text("0.1.0"),
        facts: vec![Fact { name: text("processor"), value: text("two cores") }],
        files: vec![FileRow {
            path: text("run/TFC_2W2A_qonnx.onnx"),
            contents: text("the network"),
        }],
        parameters: 59_210,
        train_images: 60_000,
        test_images: 10_000,
        epochs: (1..=epochs).map(|number| epoch(number, epochs)).collect(),
        best: (epochs > 0).then_some(BestEpoch { epoch: epochs, test_top1_percent: 96.61 }),
        verification: Some(verified()),
        layers: vec![layer],
    }
}

/// Parses the page as XML, which demands more than HTML: every element closed, every attribute quoted.
fn with_page<T>(report: &RunReport, look: impl FnOnce(&str, &Document<'_>) -> T) -> T {
    let html = render_html(report);
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    let document = Document::parse_with_options(&html, options)
        .unwrap_or_else(|error| panic!("{error}\n{html}"));
    look(&html, &document)
}

fn named<'a>(document: &'a Document<'a>, name: &'a str) -> Vec<Node<'a, 'a>> {
    document.descendants().filter(|node| node.tag_name().name() == name).collect()
}

/// All text of a node, its children's included.
fn words(node: Node<'_, '_>) -> String {
    node.descendants().filter_map(|node| node.text().filter(|_| node.is_text())).collect()
}

const KNOWN_ELEMENTS: &[&str] = &[
    "html",
    "head",
    "meta",
    "title",
    "style",
    "body",
    "main",
    "header",
    "footer",
    "section",
    "h1",
    "h2",
    "p",
    "b",
    "span",
    "div",
    "dl",
    "dt",
    "dd",
    "code",
    "pre",
    "figure",
    "figcaption",
    "svg",
    "line",
    "polyline",
    "circle",
    "rect",
    "text",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "details",
    "summary",
];

/// What holds for every page: known elements only, no address to fetch anything from, finite lengths inside their picture.
fn examine(document: &Document<'_>) -> usize {
    let mut lengths = 0;
    for node in document.descendants().filter(Node::is_element) {
        let name = node.tag_name().name();
        assert!(KNOWN_ELEMENTS.contains(&name), "an element `{name}`");
        for attribute in node.attributes() {
            let (key, value) = (attribute.name(), attribute.value());
            assert!(!key.starts_with("on") && !["src", "href", "style"].contains(&key), "{key}");
            let numbers: Vec<f64> = match key {
                "x" | "x1" | "x2" | "y" | "y1" | "y2" | "cx" | "cy" | "r" | "width" | "height"
                | "points" => {
                    let numbers = value.split([',', ' ']).filter(|number| !number.is_empty());
                    numbers.map(|number| number.parse().unwrap()).collect()
                }
                _ => Vec::new(),
            };
            for number in numbers {
                assert!((-2.0..=482.0).contains(&number), "{name} {key}={value}");
                lengths += 1;
            }
        }
    }
    lengths
}

#[test]
fn no_epoch_one_epoch_many_epochs() {
    for (epochs, curves, lines) in [(0, 0, 0), (1, 4, 0), (2, 4, 6), (30, 4, 6), (5000, 4, 6)] {
        with_page(&report(epochs), |html, document| {
            let lengths = examine(document);
            assert!(lengths > 10, "{lengths}");
            let charts = named(document, "svg");
            let charts = charts.iter().filter(|svg| svg.attribute("class") == Some("chart"));
            assert_eq!(charts.count(), curves, "{epochs} epochs");
            let drawn: Vec<usize> = named(document, "polyline")
                .iter()
                .map(|line| line.attribute("points").unwrap().split_whitespace().count())
                .collect();
            assert_eq!(drawn, vec![epochs as usize; lines]);
            assert!(html.len() < 60_000 + 600 * epochs as usize, "{} bytes", html.len());
        });
    }
}

#[test]
fn curves_are_where_their_values_are() {
    let mut report = report(3);
    for (epoch, top1) in report.epochs.iter_mut().zip([20.0, 60.0, 100.0]) {
        epoch.test_top1_percent = top1;
        epoch.train_top1_percent = 60.0;
    }
    with_page(&report, |_, document| {
        let lines = named(document, "polyline");
        let test = lines.iter().find(|line| line.attribute("class") == Some("test")).unwrap();
        let points: Vec<(f64, f64)> = test
            .attribute("points")
            .unwrap()
            .split_whitespace()
            .map(|point| point.split_once(',').unwrap())
            .map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap()))
            .collect();
        assert!((points[1].0 * 2.0 - points[0].0 - points[2].0).abs() < 0.3, "{points:?}");
        assert!((points[1].1 * 2.0 - points[0].1 - points[2].1).abs() < 0.3, "{points:?}");
        assert!(points[0].1 > points[2].1 && points[0].0 < points[2].0, "upward is better");
        let hundred =
            named(document, "text").into_iter().find(|text| words(*text) == "100").unwrap();
        let y: f64 = hundred.attribute("y").unwrap().parse().unwrap();
        assert!((y - 4.0 - points[2].1).abs() < 0.3, "the axis says 100 where the value is");
    });
}

#[test]
fn the_summary_says_what_was_trained_and_proved() {
    with_page(&report(30), |_, document| {
        let header = words(named(document, "header")[0]).replace('\n', " ");
        for part in [
            "TFC_2W2A on mnist",
            "59,210 parameters",
            "int2 weights",
            "trained for 30 epochs on 60,000 images of mnist",
            "after epoch 30, classifies 96.61\u{a0}% of 10,000 test images correctly",
            "The exported file computes what was trained.",
            "10,000 test images and compared with the trainer: 13 tensors, 20,940,000 values",
            "Not one differs in a single bit. Both predict the same class for every image.",
            "run/TFC_2W2A_qonnx.onnx",
        ] {
            assert!(header.contains(part), "{part}\n{header}");
        }
    });
}

#[test]
fn a_failed_or_missing_verification_is_never_called_a_success() {
    let different = VerificationSummary {
        values_differ: 1,
        largest_difference: 0.125,
        largest_ulps: 3,
        first_difference: Some("features.5, image 17".to_owned()),
        ..verified()
    };
    let other_classes = VerificationSummary { predictions_equal: 9_998, ..verified() };
    let cases = [
        (Some(different), "does not compute what was trained", "1 differs, by 0.125 at most"),
        (Some(other_classes), "does not compute what was trained", "another class for 2 images"),
        (Some(VerificationSummary::default()), "Nothing was compared.", "it shows nothing"),
        (None, "Not verified.", "was not examined"),
    ];
    assert_eq!(cases.len(), 4);
    for (verification, verdict, detail) in cases {
        with_page(&RunReport { verification, ..report(2) }, |_, document| {
            examine(document);
            let header = words(named(document, "header")[0]);
            assert!(header.contains(verdict) && header.contains(detail), "{verdict}\n{header}");
            assert!(!header.contains("The exported file computes what was trained"), "{header}");
        });
    }
}

#[test]
fn hostile_strings_are_text() {
    let hostile =
        "</style></title><script>alert(1)</script>\"'><img src=x onerror=y>&amp;\u{0}\u{202e}";
    let shown =
        "</style></title><script>alert(1)</script>\"'><img src=x onerror=y>&amp;⟨U+0000⟩⟨U+202E⟩";
    let text = || hostile.to_owned();
    let mut report = report(2);
    let clean =
        with_page(&report, |_, document| document.descendants().filter(Node::is_element).count());
    report.network = text();
    report.dataset = text();
    report.weight_format = text();
    report.activation_format = text();
    report.command = text();
    report.version = text();
    report.facts = vec![Fact { name: text(), value: text() }];
    report.files = vec![FileRow { path: text(), contents: text() }];
    report.verification.as_mut().unwrap().first_difference = Some(text());
    let layer = &mut report.layers[0];
    (layer.name, layer.kind) = (text(), text());
    (layer.weight_format, layer.activation_format) = (text(), text());
    with_page(&report, |html, document| {
        examine(document);
        let elements = document.descendants().filter(Node::is_element).count();
        assert_eq!(elements, clean, "no string makes an element");
        assert!(!html.contains("<script") && !html.contains("<img"));
        // 2 in the title, 2 in the heading, 3 in the first sentence, 2 of the file, 1 of the verification,
        // 4 of the layer, 4 of the run, 1 at the foot.
        assert_eq!(words(document.root()).matches(shown).count(), 19);
    });
}

#[test]
fn numbers_that_are_none_are_said_and_not_drawn() {
    let bad = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, -f64::MAX, 0.0, 5e-324];
    let mut report = report(bad.len() as u64 + 2);
    for (epoch, value) in report.epochs.iter_mut().zip(bad) {
        (epoch.train_loss, epoch.test_loss, epoch.learning_rate) = (value, value, value);
        (epoch.test_top1_percent, epoch.images_per_second) = (value, value);
    }
    report.best = Some(BestEpoch { epoch: 1, test_top1_percent: f64::NAN });
    report.verification.as_mut().unwrap().largest_difference = f64::NAN;
    let values = [f32::NAN, f32::INFINITY, f32::MAX, f32::MIN, 0.0, -0.0];
    report.layers[0].weight_values =
        values.map(|value| ValueCount { value, count: u64::MAX }).to_vec();
    with_page(&report, |html, document| {
        examine(document);
        assert!(html.contains("no number") && !html.contains("NaN") && !html.contains("inf"));
    });
    // Nothing but numbers that are none: no chart of them at all.
    for epoch in &mut report.epochs {
        epoch.train_loss = f64::NAN;
        epoch.test_loss = f64::INFINITY;
    }
    with_page(&report, |_, document| {
        let charts = named(document, "figcaption");
        let titles: Vec<String> = charts.into_iter().map(words).collect();
        assert_eq!(titles, ["Correctly classified", "Learning rate", "Training speed"]);
    });
}

#[test]
fn histograms_of_few_and_many_values() {
    for (values, bars) in [(0, 0), (1, 1), (2, 2), (3, 3), (64, 64), (65, 33), (255, 64)] {
        let mut report = report(0);
        report.layers[0].weight_values =
            (0..values).map(|i| ValueCount { value: i as f32 - 8.0, count: i + 1 }).collect();
        with_page(&report, |_, document| {
            examine(document);
            let rects = named(document, "rect");
            assert_eq!(rects.len(), bars, "{values}");
            let heights = rects.iter().map(|rect| rect.attribute("height").unwrap());
            let heights: Vec<f64> = heights.map(|height| height.parse().unwrap()).collect();
            assert!(heights.is_sorted() || values == 65 || values == 255, "{heights:?}");
            assert_eq!(
                heights.iter().copied().fold(0.0, f64::max),
                if bars > 0 { 44.0 } else { 0.0 }
            );
        });
    }
}

#[test]
fn a_report_survives_json_with_its_missing_numbers() {
    let mut report = report(3);
    report.epochs[1].train_loss = f64::NAN;
    let json = serde_json::to_string(&report).unwrap();
    assert!(json.contains("\"train_loss\":null"));
    let read: RunReport = serde_json::from_str(&json).unwrap();
    assert!(read.epochs[1].train_loss.is_nan());
    assert_eq!(render_html(&read), render_html(&report));
    assert!(serde_json::from_str::<RunReport>(&json.replacen("\"seed\"", "\"sead\"", 1)).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_strings_and_numbers_make_a_well_formed_page(
        texts in proptest::collection::vec(any::<String>(), 6),
        numbers in proptest::collection::vec(any::<f64>(), 1..40),
        values in proptest::collection::vec(any::<(f32, u64)>(), 0..100),
    ) {
        let mut report = report(numbers.len() as u64);
        for (index, (epoch, &number)) in report.epochs.iter_mut().zip(&numbers).enumerate() {
            epoch.train_loss = number;
            epoch.learning_rate = numbers[numbers.len() - 1 - index].abs();
            epoch.images_per_second = -number;
            epoch.test_top1_percent = number % 100.0;
        }
        let [network, dataset, command, path, name, fact] = texts.try_into().unwrap();
        (report.network, report.dataset, report.command) = (network, dataset, command);
        (report.files[0].path, report.layers[0].name, report.facts[0].value) = (path, name, fact);
        report.layers[0].weight_values =
            values.into_iter().map(|(value, count)| ValueCount { value, count }).collect();
        with_page(&report, |_, document| assert!(examine(document) > 10));
    }
}

#[test]
fn bars_are_as_long_as_their_numbers() {
    let row =
        |name: &str, values: &[f64]| BarRow { name: name.to_owned(), values: values.to_vec() };
    let bars = Bars {
        title: "<b>&\u{1b}".to_owned(),
        columns: vec!["bits".to_owned(), "none".to_owned()],
        rows: vec![row("a", &[50.0, f64::NAN]), row("b<", &[200.0]), row("c", &[0.0, 0.0])],
    };
    let svg = render_bars(&bars);
    let document = Document::parse(&svg).unwrap();
    let drawn = document.descendants().filter(|node| node.attribute("class") == Some("bar"));
    let widths: Vec<f64> =
        drawn.map(|bar| bar.attribute("width").unwrap().parse().unwrap()).collect();
    assert_eq!(widths, [27.5, 110.0, 0.0, 0.0]);
    assert!(render_bars(&Bars { rows: vec![], ..bars }).ends_with("</svg>\n"));
}
