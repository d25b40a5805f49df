//! Networks so small that every input can be tried.

use fewbit_formats::FloatFormat;
use fewbit_onnx::proto::{ModelProto, NodeProto};
use fewbit_qonnx::prove::{InputValues, Proof, Verdict};
use fewbit_qonnx::{BatchNorm, Model, Options, Value};

use crate::floats;
use crate::graphs::{Graph, float, info, int, node, string};

const DOMAIN: &str = "qonnx.custom_op.general";

/// A small generator with a seed.
struct Draw(u64);

impl Draw {
    fn next(&mut self, below: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % below
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.next(all.len())]
    }
}

/// The values of e2m1.
fn grid() -> Vec<f32> {
    let format = FloatFormat::new(2, 1).unwrap();
    let mut all: Vec<f32> = (-24..=24).map(|i| format.quantize(i as f32 / 4.0) + 0.0).collect();
    all.dedup();
    assert_eq!(all.len(), 15);
    all
}

fn float_quant(graph: Graph, x: &str, y: &str) -> Graph {
    let attributes = vec![
        int("has_inf", 0),
        int("has_nan", 0),
        int("has_subnormal", 1),
        string("rounding_mode", "ROUND"),
        int("saturation", 1),
    ];
    graph
        .node(node(DOMAIN, "FloatQuant", &[x, "one", "two", "one", "one", "six"], &[y]), attributes)
}

/// `quantize(relu(normalize(quantize(x) w)))` from three inputs to four channels.
fn network(draw: &mut Draw) -> ModelProto {
    let grid = grid();
    let weights: Vec<f32> = (0..12).map(|_| draw.of(&grid)).collect();
    // Sums are multiples of a quarter, and so are the means; with a weight of a third the boundaries of the quantizer
    // are hit up to rounding.
    let thirds = [1.0 / 3.0, -1.0 / 3.0, 1.0 / 5.0, 0.7, 0.1];
    let scale: Vec<f32> = (0..4).map(|_| draw.of(&thirds)).collect();
    let bias: Vec<f32> = (0..4)
        .map(|c| draw.next(9) as f32 * scale[c] * 0.25 + draw.of(&[0.25, 0.75, 1.25]))
        .collect();
    let mean: Vec<f32> =
        (0..4).map(|_| (draw.next(41) as f32 - 20.0) * 0.25 + draw.of(&[0.0, 0.1])).collect();
    let variance: Vec<f32> = (0..4).map(|_| draw.of(&[1.0, 4.0, 9.0, 0.3])).collect();
    let graph = Graph::new()
        .input(info("x", &[1, 3]))
        .output("y")
        .stored("one", &[], vec![1.0f32])
        .stored("two", &[], vec![2.0f32])
        .stored("six", &[], vec![6.0f32])
        .stored("w", &[3, 4], weights)
        .stored("scale", &[4], scale)
        .stored("bias", &[4], bias)
        .stored("mean", &[4], mean)
        .stored("variance", &[4], variance);
    let standard = |operator: &str, inputs: &[&str], output: &str| -> NodeProto {
        node("", operator, inputs, &[output])
    };
    let graph = float_quant(graph, "x", "q").node(standard("MatMul", &["q", "w"], "sums"), vec![]);
    let graph = graph
        .node(
            standard(
                "BatchNormalization",
                &["sums", "scale", "bias", "mean", "variance"],
                "normal",
            ),
            vec![float("epsilon", 0.0)],
        )
        .node(standard("Relu", &["normal"], "relu"), vec![]);
    float_quant(graph, "relu", "y").done()
}

/// Every combination of three grid values.
fn every_input() -> Value {
    let grid = grid();
    let mut all = Vec::new();
    for &a in &grid {
        for &b in &grid {
            all.extend(grid.iter().flat_map(|&c| [a, b, c]));
        }
    }
    Value::new(vec![all.len() / 3, 3], all).unwrap()
}

/// What the proof says about a network is what trying every input shows.
#[test]
fn the_proof_is_right_and_misses_nothing() {
    let mut draw = Draw(7);
    let inputs = every_input();
    let (mut proved, mut parted, mut places, mut unreachable) = (0, 0, 0, 0);
    for _ in 0..300 {
        let model = network(&mut draw);
        let certificate = Proof::new(&model, &InputValues::Any).unwrap().certificate();
        let [two, fused] = [BatchNorm::TwoRoundings, BatchNorm::Fused].map(|batch_norm| {
            let model =
                Model::from_proto(&model, Options { batch_norm, ..Options::default() }).unwrap();
            model.run(&[("x", inputs.clone())], &["sums"]).unwrap()
        });
        let sums = floats(two.get("sums").unwrap());
        let mut found: Vec<(usize, f32)> = Vec::new();
        for (i, (a, b)) in floats(two.first()).iter().zip(floats(fused.first())).enumerate() {
            if a != b {
                found.push((i % 4, sums[i] + 0.0));
            }
        }
        found.sort_by(|a, b| a.partial_cmp(b).unwrap());
        found.dedup();
        let layer =
            certificate.layers.iter().find(|layer| layer.kind.starts_with("Batch")).unwrap();
        assert!(layer.disagreements.len() < 16, "all places are listed");
        let mut said: Vec<(usize, f32)> =
            layer.disagreements.iter().map(|d| (d.channel, d.value)).collect();
        said.sort_by(|a, b| a.partial_cmp(b).unwrap());
        // Not every multiple within the bounds is a sum of three products.
        let reached = |&(channel, value): &(usize, f32)| {
            sums.iter().skip(channel).step_by(4).any(|&sum| sum == value)
        };
        unreachable += said.iter().filter(|place| !reached(place)).count();
        said.retain(reached);
        assert_eq!(said, found);
        assert_eq!(certificate.proved_for_all_inputs, layer.disagreements.is_empty());
        if certificate.proved_for_all_inputs {
            proved += 1
        } else {
            parted += 1
        }
        places += found.len();
    }
    eprintln!(
        "{proved} proved, {parted} not, {places} places, {unreachable} that no input reaches"
    );
    assert!(proved >= 20 && parted >= 20 && places >= 20, "{proved} {parted} {places}");
}

/// `x w` for zeros and ones.
fn sum(weights: &[f32]) -> ModelProto {
    let attributes = vec![int("signed", 0), int("narrow", 0), string("rounding_mode", "ROUND")];
    Graph::new()
        .input(info("x", &[1, weights.len() as i64]))
        .output("y")
        .stored("one", &[], vec![1.0f32])
        .stored("zero", &[], vec![0.0f32])
        .stored("w", &[weights.len(), 1], weights.to_vec())
        .node(node(DOMAIN, "Quant", &["x", "one", "zero", "one"], &["q"]), attributes)
        .node(node("", "MatMul", &["q", "w"], &["y"]), vec![])
        .done()
}

/// All orders of up to four numbers.
fn orders(of: &[f32]) -> Vec<Vec<f32>> {
    if of.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for i in 0..of.len() {
        let mut rest = of.to_vec();
        let first = rest.remove(i);
        all.extend(orders(&rest).into_iter().map(|order| [vec![first], order].concat()));
    }
    all
}

/// A bound at the limit is one that counts: one unit more, and there is an order with another sum.
#[test]
fn the_limit_is_sharp() {
    let limit = 16_777_216.0;
    let cases: [(&[f32], bool); 8] = [
        (&[limit - 2.0, 1.0, 1.0], true),
        (&[limit, 1.0, 1.0], false),
        (&[limit * 0.125 - 0.25, 0.125, 0.125], true),
        (&[limit * 0.125, 0.125, 0.125], false),
        // Whatever cancels counts on each side only.
        (&[limit, -limit, 1.0 - limit, 0.0], false),
        (&[limit - 1.0, 1.0, -limit, 0.0], true),
        (&[limit, -1.0, 3.0, 1.0], false),
        (&[1.0, 1.0, 0.5, 0.25], true),
    ];
    for (weights, exact) in cases {
        let certificate = Proof::new(&sum(weights), &InputValues::Any).unwrap().certificate();
        let expected = if exact { Verdict::ProvedForAllInputs } else { Verdict::NotProvable };
        assert_eq!(certificate.verdict, expected, "{weights:?}: {certificate}");
        let mut same = true;
        for chosen in 0..1 << weights.len() {
            let terms: Vec<f32> =
                (0..weights.len()).filter(|k| chosen >> k & 1 == 1).map(|k| weights[k]).collect();
            let right = terms.iter().map(|&v| f64::from(v)).sum::<f64>();
            same &=
                orders(&terms).iter().all(|order| f64::from(order.iter().sum::<f32>()) == right);
        }
        assert_eq!(same, exact, "{weights:?}");
    }
}

/// A bias off the grid, where a quantizer follows: engines round at different places.
#[test]
fn a_bias_inside_is_not_passed_over() {
    let make = |bias: f32, quantized: bool| {
        let graph = Graph::new()
            .input(info("x", &[1, 2]))
            .output("y")
            .stored("one", &[], vec![1.0f32])
            .stored("two", &[], vec![2.0f32])
            .stored("six", &[], vec![6.0f32])
            .stored("w", &[2, 1], vec![1.0f32, 0.5])
            .stored("c", &[1], vec![bias]);
        let last = if quantized { "sums" } else { "y" };
        let graph =
            float_quant(graph, "x", "q").node(node("", "Gemm", &["q", "w", "c"], &[last]), vec![]);
        if quantized { float_quant(graph, last, "y").done() } else { graph.done() }
    };
    let prove = |bias, quantized| {
        Proof::new(&make(bias, quantized), &InputValues::Any).unwrap().certificate()
    };
    let certificate = prove(0.1, true);
    assert_eq!(certificate.verdict, Verdict::NotProvable);
    assert!(certificate.to_string().contains("its bias lies on no grid"), "{certificate}");
    assert!(prove(0.125, true).proved_for_all_inputs);
    let certificate = prove(0.125, false);
    assert!(certificate.proved_for_all_inputs && certificate.outputs[0].equal_bits_in_every_order);
    let certificate = prove(0.1, false);
    assert!(certificate.proved_for_all_inputs && !certificate.outputs[0].equal_bits_in_every_order);
    let difference = certificate.outputs[0].largest_difference.unwrap();
    assert!(difference > 1e-7 && difference < 1e-5, "{difference}");
}

/// What is said about inputs is held: other values, or values that a quantizer cannot take.
#[test]
fn inputs_that_are_given() {
    let model = sum(&[1.0, 1.0]);
    assert!(Proof::new(&model, &InputValues::Values(vec![])).is_err());
    assert!(Proof::new(&model, &InputValues::Range(1.0, 0.0)).is_err());
    assert!(Proof::new(&model, &InputValues::Values(vec![f32::NAN])).is_err());
    let mut proof = Proof::new(&model, &InputValues::Values(vec![0.0, 1.0])).unwrap();
    assert!(!proof.needs_images());
    let image = |v: f32| Value::new(vec![1, 2], vec![v, 0.0]).unwrap();
    assert!(proof.check(&[("x", image(1.0))]).is_ok());
    assert!(proof.check(&[("x", image(0.5))]).is_err());
    // Without a quantizer in front, the values decide.
    let bare = Graph::new()
        .input(info("x", &[1, 2]))
        .output("y")
        .stored("w", &[2, 1], vec![1.0f32, 0.5])
        .node(node("", "MatMul", &["x", "w"], &["y"]), vec![])
        .done();
    let verdict = |inputs: &InputValues| Proof::new(&bare, inputs).unwrap().certificate().verdict;
    assert_eq!(verdict(&InputValues::Any), Verdict::NotProvable);
    assert_eq!(verdict(&InputValues::Pixels), Verdict::NotProvable);
    assert_eq!(verdict(&InputValues::Values(vec![-1.0, 1.0])), Verdict::ProvedForAllInputs);
}
