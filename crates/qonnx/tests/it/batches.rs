//! A batch gives what its items give alone, whatever the graph does.

use fewbit_qonnx::{ErrorKind, Mode, Model, Options, Value};

use crate::floats;
use crate::graphs::{Graph, float, info, int, ints, node};

const DOMAIN: &str = "qonnx.custom_op.general";

fn model(graph: Graph) -> Model {
    Model::from_proto(&graph.done(), Options::default()).unwrap()
}

fn values(count: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 37) % 41) as f32 / 16.0 - 1.2).collect()
}

/// Compares a batch with runs of `file` items each, for the first output and the tensors `keep`.
fn check(name: &str, model: &Model, item: &[usize], file: usize, items: usize, keep: &[&str]) {
    let size: usize = item.iter().product();
    let all = values(items * size);
    let value =
        |items: usize, data: &[f32]| Value::new([&[items], item].concat(), data.to_vec()).unwrap();
    let batch = model.run(&[("x", value(items, &all))], keep).unwrap();
    for (i, data) in all.chunks(file * size).enumerate() {
        let mut filled = data.to_vec();
        let last = data[data.len() - size..].to_vec();
        while filled.len() < file * size {
            filled.extend(&last);
        }
        let alone = model.run(&[("x", value(file, &filled))], keep).unwrap();
        for ((tensor, batch), (_, alone)) in batch.iter().zip(alone.iter()) {
            if model.constant(tensor).is_some() {
                assert_eq!(batch, alone);
                continue;
            }
            assert_eq!(batch.shape()[1..], alone.shape()[1..], "{name}: {tensor}");
            assert_eq!(batch.shape()[0], items, "{name}: {tensor}");
            let one = alone.len() / file;
            let count = data.len() / size * one;
            let found = &floats(batch)[i * file * one..][..count];
            assert_eq!(found, &floats(alone)[..count], "{name}: {tensor}, items from {}", i * file);
        }
    }
}

/// The start of old files: the shape is computed, with the batch in it.
fn computed_shape() -> Graph {
    Graph::new()
        .version("", 9)
        .input(info("x", &[1, 2, 3]))
        .stored("zero", &[], vec![0i64])
        .stored("rest", &[1], vec![-1i64])
        .node(node("", "Shape", &["x"], &["shape"]), vec![])
        .node(node("", "Gather", &["shape", "zero"], &["n"]), vec![int("axis", 0)])
        .node(node("", "Unsqueeze", &["n"], &["n1"]), vec![ints("axes", &[0])])
        .node(node("", "Concat", &["n1", "rest"], &["target"]), vec![int("axis", 0)])
        .node(node("", "Reshape", &["x", "target"], &["y"]), vec![])
        .output("y")
}

/// The batch is in the target of a reshape; then channels move behind and back.
fn fixed_target() -> Graph {
    Graph::new()
        .input(info("x", &[1, 2, 3, 4]))
        .stored("target", &[3], vec![1i64, 2, 12])
        .stored("offset", &[1, 12, 1], values(12))
        .stored("weight", &[2, 5], values(10))
        .node(node("", "Reshape", &["x", "target"], &["r"]), vec![])
        .node(node("", "Transpose", &["r"], &["t"]), vec![ints("perm", &[0, 2, 1])])
        .node(node("", "Add", &["t", "offset"], &["a"]), vec![])
        .node(node("", "MatMul", &["a", "weight"], &["y"]), vec![])
        .output("y")
}

/// Per channel parameters, normalization, pooling, softmax, the largest value.
fn quantized() -> Graph {
    Graph::new()
        .input(info("x", &[1, 3, 5, 5]))
        .stored("scale", &[1, 3, 1, 1], vec![0.1f32, 0.25, 0.3])
        .stored("zero", &[], vec![1.0f32])
        .stored("bits", &[], vec![4.0f32])
        .stored("w", &[4, 3, 2, 2], values(48))
        .stored("one", &[4], vec![1.0f32; 4])
        .stored("mean", &[4], values(4))
        .node(
            node(DOMAIN, "Quant", &["x", "scale", "zero", "bits"], &["q"]),
            vec![int("signed", 0), int("narrow", 0)],
        )
        .node(node("", "Conv", &["q", "w", "mean"], &["c"]), vec![ints("pads", &[1, 0, 0, 1])])
        .node(
            node("", "BatchNormalization", &["c", "one", "mean", "mean", "one"], &["b"]),
            vec![float("epsilon", 1e-3)],
        )
        .node(node("", "AveragePool", &["b"], &["p"]), vec![ints("kernel_shape", &[2, 3])])
        .node(node("", "Flatten", &["p"], &["f"]), vec![])
        .node(node("", "Softmax", &["f"], &["y"]), vec![int("axis", -1)])
        .output("y")
}

#[test]
fn batches_of_any_size() {
    let cases = [
        ("a computed shape", computed_shape(), vec![2, 3], vec![]),
        ("a fixed target", fixed_target(), vec![2, 3, 4], vec!["r", "a", "weight"]),
        ("quantizers", quantized(), vec![3, 5, 5], vec!["q", "c", "b", "p", "w"]),
    ];
    for (name, graph, item, keep) in cases {
        let model = model(graph);
        for items in [1, 2, 7] {
            check(name, &model, &item, 1, items, &keep);
        }
    }
}

/// More items than are computed together.
#[test]
fn batches_in_chunks() {
    let model = model(fixed_target());
    check("a fixed target", &model, &[2, 3, 4], 1, 20_000, &["r"]);
    let all = model
        .run(&[("x", Value::new(vec![20_000, 2, 3, 4], values(480_000)).unwrap())], &["target"]);
    assert_eq!(all.unwrap().get("target").unwrap().shape(), [3]);
}

/// A file for batches of four, run with more, fewer, and what is no multiple.
#[test]
fn a_file_with_a_larger_batch() {
    let graph = Graph::new()
        .input(info("x", &[4, 6]))
        .stored("target", &[3], vec![4i64, 3, -1])
        .node(node("", "Reshape", &["x", "target"], &["r"]), vec![])
        .node(node("", "ReduceMean", &["r"], &["y"]), vec![ints("axes", &[2]), int("keepdims", 0)])
        .version("", 13)
        .output("y");
    let model = model(graph);
    for items in [1, 3, 4, 6, 9] {
        check("four", &model, &[6], 4, items, &["r"]);
    }
}

/// Where the items of a batch meet, the batch of the file is run again and again.
#[test]
fn graphs_that_mix_items() {
    let graph = |target: Vec<i64>| {
        Graph::new()
            .input(info("x", &[2, 6]))
            .stored("target", &[target.len()], target)
            .node(node("", "Softmax", &["x"], &["s"]), vec![int("axis", 0)])
            .node(node("", "Reshape", &["s", "target"], &["y"]), vec![])
            .output("y")
    };
    let kept = model(graph(vec![2, 3, 2]));
    for items in [2, 5, 8] {
        check("softmax over the batch", &kept, &[6], 2, items, &["s"]);
    }
    let lost = model(graph(vec![3, 4]));
    let x = Value::new(vec![4, 6], values(24)).unwrap();
    let error = lost.run(&[("x", x)], &[]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let expected = "the first axis of its shape [3, 4] is not the batch; run it with batches of 2";
    assert!(error.to_string().contains(expected), "{error}");
}

#[test]
fn inputs_must_have_the_same_batch() {
    let graph = Graph::new()
        .input(info("a", &[1, 3]))
        .input(info("b", &[1, 3]))
        .node(node("", "Mul", &["a", "b"], &["y"]), vec![])
        .output("y");
    let model = model(graph);
    let value = |items: usize| Value::new(vec![items, 3], values(3 * items)).unwrap();
    let both = model.run(&[("b", value(5)), ("a", value(5))], &[]).unwrap();
    assert!(floats(both.first()).iter().zip(values(15)).all(|(&y, x)| y == x * x));
    // An input with one item is the same for all.
    let one = model.run(&[("a", value(5)), ("b", value(1))], &[]).unwrap();
    assert_eq!(one.first().shape(), [5, 3]);
    assert_eq!(floats(one.first())[3..6], [3, 4, 5].map(|i| values(6)[i] * values(3)[i - 3]));
    assert_eq!(
        model.run(&[("a", value(5)), ("b", value(4))], &[]).unwrap_err().kind(),
        ErrorKind::ShapeMismatch
    );
}

/// Several threads run one model, with other batches each.
#[test]
fn shared_between_threads() {
    let model = Model::from_proto(
        &quantized().done(),
        Options { mode: Mode::Canonical, ..Options::default() },
    )
    .unwrap();
    let run = |items: usize| {
        let x = Value::new(vec![items, 3, 5, 5], values(items * 75)).unwrap();
        model.run(&[("x", x)], &["q"]).unwrap().first().clone()
    };
    let expected: Vec<Value> = (1..6).map(run).collect();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (1..6).for_each(|items| assert_eq!(run(items), expected[items - 1])));
        }
    });
}
