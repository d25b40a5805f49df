//! Runs of a TFC-like network (784-64-64-64-10, weights and activations of 2 bits): one image, and 10,000 at once.
//!
//! Medians of 21 rounds. One image shows what a run costs beside the arithmetic, which is 59,000 products.

use std::hint::black_box;
use std::time::Instant;

use fewbit_qonnx::{Mode, Model, Options, Value};

#[allow(dead_code, clippy::unwrap_used, reason = "shared with the tests")]
#[path = "../tests/it/graphs.rs"]
mod graphs;

use graphs::{Graph, float, info, int, ints, node, string};

const DOMAIN: &str = "qonnx.custom_op.general";
const WIDTHS: [usize; 5] = [784, 64, 64, 64, 10];

fn network() -> Graph {
    let values = |count: usize, salt: usize| -> Vec<f32> {
        (0..count).map(|i| ((i * 7919 + salt * 104_729) % 2001) as f32 / 1000.0 - 1.0).collect()
    };
    let quant =
        |narrow| vec![int("signed", 1), int("narrow", narrow), string("rounding_mode", "ROUND")];
    let mut graph = Graph::new()
        .input(info("image", &[1, 1, 28, 28]))
        .stored("target", &[2], vec![1i64, -1])
        .stored("scale", &[], vec![0.5f32])
        .stored("weight_scale", &[], vec![1.0f32])
        .stored("zero", &[], vec![0.0f32])
        .stored("bits", &[], vec![2.0f32])
        .node(node("", "Reshape", &["image", "target"], &["flat"]), vec![])
        .node(node(DOMAIN, "Quant", &["flat", "scale", "zero", "bits"], &["x0"]), quant(1));
    for (layer, pair) in WIDTHS.windows(2).enumerate() {
        let (k, m) = (pair[0], pair[1]);
        let name = |part: &str| format!("{part}{layer}");
        let [w, q, t, s, b, mean, var] = ["w", "q", "t", "s", "b", "mean", "var"].map(name);
        graph = graph
            .stored(&w, &[m, k], values(m * k, layer))
            .node(node(DOMAIN, "Quant", &[&w, "weight_scale", "zero", "bits"], &[&q]), quant(1))
            .node(node("", "Transpose", &[&q], &[&t]), vec![ints("perm", &[1, 0])])
            .node(node("", "MatMul", &[&name("x"), &t], &[&name("sum")]), vec![]);
        if layer + 1 < WIDTHS.len() - 1 {
            graph = graph
                .stored(&s, &[m], values(m, 10).iter().map(|v| v.abs() + 0.5).collect::<Vec<_>>())
                .stored(&b, &[m], values(m, 11))
                .stored(&mean, &[m], values(m, 12))
                .stored(&var, &[m], vec![30.0f32; m])
                .node(
                    node(
                        "",
                        "BatchNormalization",
                        &[&name("sum"), &s, &b, &mean, &var],
                        &[&name("bn")],
                    ),
                    vec![float("epsilon", 1e-5)],
                )
                .node(
                    node(
                        DOMAIN,
                        "Quant",
                        &[&name("bn"), "scale", "zero", "bits"],
                        &[&format!("x{}", layer + 1)],
                    ),
                    quant(1),
                );
        }
    }
    graph.output("sum3")
}

fn main() {
    for mode in [Mode::Canonical, Mode::Reference] {
        let model = Model::from_proto(&network().done(), Options { mode, ..Options::default() })
            .expect("the network is well formed");
        for images in [1, 100, 10_000] {
            let pixels = (0..images * 784).map(|i| (i % 256) as f32 / 255.0).collect::<Vec<_>>();
            let x = Value::new(vec![images, 1, 28, 28], pixels).expect("the shape fits");
            let rounds = (20_000 / images).clamp(1, 5000);
            let mut seconds: Vec<f64> = (0..21)
                .map(|_| {
                    let start = Instant::now();
                    for _ in 0..rounds {
                        let outputs = model.run(&[("image", x.clone())], &[]);
                        black_box(outputs.expect("the network runs"));
                    }
                    start.elapsed().as_secs_f64() / rounds as f64
                })
                .collect();
            seconds.sort_by(f64::total_cmp);
            let median = seconds[seconds.len() / 2];
            #[allow(clippy::print_stdout, reason = "a benchmark prints")]
            {
                println!(
                    "{mode:?}, {images:6} images: {:9.2} us a run, {:6.3} us an image, {:9.0} images/s",
                    median * 1e6,
                    median * 1e6 / images as f64,
                    images as f64 / median
                );
            }
        }
    }
}
