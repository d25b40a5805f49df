//! Bounds of values and sums: by hand, and never exceeded by a run.

use fewbit_onnx::proto::ModelProto;
use fewbit_qonnx::prove::InputValues;
use fewbit_qonnx::ranges::{Ranges, StuckChannel};
use fewbit_qonnx::{Model, Options, Value};

use crate::graphs::{Graph, info, int, ints, node, string};
use crate::shared;

const QONNX: &str = "qonnx.custom_op.general";

fn quant(signed: i64) -> Vec<fewbit_onnx::proto::AttributeProto> {
    vec![int("signed", signed), int("narrow", 0), string("rounding_mode", "ROUND")]
}

/// Two inputs of three bits, weights of two, a normalization that leaves one channel at zero.
fn small() -> ModelProto {
    Graph::new()
        .input(info("x", &[1, 2]))
        .stored("w", &[2, 3], vec![1.0_f32, -1.0, 0.0, 1.0, -1.0, -2.0])
        .stored("half", &[], vec![0.5_f32])
        .stored("one", &[], vec![1.0_f32])
        .stored("zero", &[], vec![0.0_f32])
        .stored("three", &[], vec![3.0_f32])
        .stored("two", &[], vec![2.0_f32])
        .node(node(QONNX, "Quant", &["x", "half", "zero", "three"], &["xq"]), quant(0))
        .node(node(QONNX, "Quant", &["w", "one", "zero", "two"], &["wq"]), quant(1))
        .node(node("", "MatMul", &["xq", "wq"], &["y"]), vec![])
        .node(node("", "Relu", &["y"], &["z"]), vec![])
        .node(node(QONNX, "Quant", &["z", "one", "zero", "three"], &["q"]), quant(0))
        .output("q")
        .done()
}

#[test]
fn bounds_by_hand() {
    let ranges = Ranges::of(&small(), &InputValues::Any).unwrap();
    let tensor = |name: &str| ranges.tensors.iter().find(|tensor| tensor.name == name).unwrap();
    assert_eq!((tensor("xq").lowest, tensor("xq").highest), (Some(0.0), Some(3.5)));
    // Sums of each channel: 0 to 7, -7 to 0, -7 to 0.
    assert_eq!((tensor("y").lowest, tensor("y").highest), (Some(-7.0), Some(7.0)));
    assert_eq!((tensor("z").lowest, tensor("z").highest), (Some(0.0), Some(7.0)));
    let stuck = [1, 2].map(|channel| StuckChannel { channel, value: 0.0 });
    assert_eq!(tensor("q").stuck_channels, stuck);
    assert_eq!(tensor("q").channels, 3);
    let sums = &ranges.accumulators[0];
    // Codes of x are 0 to 7: sums are 0 to 14 and -14 to 0; any weights of -2 to 1 could give 28.
    assert_eq!((sums.lowest, sums.highest, sums.bits, sums.bits_for_any_weights), (-14, 14, 5, 6));
    assert_eq!((sums.terms, sums.exact_in_f32, sums.largest_part), (2, true, 14));
    let dark = Ranges::of(&small(), &InputValues::Range(-1.0, 0.2)).unwrap();
    assert_eq!(dark.tensors.last().unwrap().stuck_channels.len(), 3);
}

/// Padding adds zeros, groups do not see each other, and a bias moves the bounds.
#[test]
fn convolutions() {
    let model = Graph::new()
        .input(info("x", &[1, 2, 2, 2]))
        .stored("w", &[2, 1, 3, 3], [[1.0_f32; 9], [-2.0; 9]].concat())
        .stored("b", &[2], vec![0.5_f32, -1.0])
        .node(
            node("", "Conv", &["x", "w", "b"], &["y"]),
            vec![int("group", 2), ints("kernel_shape", &[3, 3]), ints("pads", &[1, 1, 1, 1])],
        )
        .output("y")
        .done();
    let ranges = Ranges::of(&model, &InputValues::Range(1.0, 3.0)).unwrap();
    // Four pixels of the image are in each window.
    assert_eq!((ranges.tensors[0].lowest, ranges.tensors[0].highest), (Some(-25.0), Some(12.5)));
    assert!(ranges.accumulators.is_empty(), "{:?}", ranges.accumulators);
}

/// No value of a run lies outside, whatever the input.
#[test]
fn no_run_leaves_the_bounds() {
    let Some(folder) = shared() else { return };
    let (mut values, mut tight, mut files) = (0_u64, 0, 0);
    for name in [
        "golden/e_traj_tiny_e3m1.end.onnx",
        "golden/e_traj_tiny_e4m3.end.onnx",
        "golden/e_traj_tiny_4w4a.end.onnx",
        "golden/e_traj_tiny_cnv_2w2a.end.onnx",
        "golden/d_nets/tfc_2w2a.onnx",
        "golden/g_zoo/kwsmlp_w3a3.onnx",
        "golden/g_zoo/qkeras_jettagging.onnx",
    ] {
        let proto = fewbit_onnx::read_model(&folder.join(name)).unwrap();
        let ranges = Ranges::of(&proto, &InputValues::Range(-1.0, 1.0)).unwrap();
        let model = Model::from_proto(&proto, Options::default()).unwrap();
        let input = &model.inputs()[0];
        let shape: Vec<usize> =
            input.shape().unwrap().iter().map(|extent| extent.unwrap_or(1)).collect();
        let count: usize = shape.iter().product();
        let keep: Vec<&str> = ranges
            .tensors
            .iter()
            .filter(|tensor| tensor.lowest.is_some() && tensor.highest.is_some())
            .map(|tensor| tensor.name.as_str())
            .collect();
        assert!(keep.len() > 5, "{name}: {keep:?}");
        let mut state = 1_u32;
        for run in 0..4 {
            let mut random = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let unit = (state >> 8) as f32 / (1 << 23) as f32 - 1.0;
                // Corners as well as the inside.
                if run % 2 == 0 { unit } else { unit.signum() }
            };
            let x = Value::new(shape.clone(), (0..count).map(|_| random()).collect::<Vec<f32>>())
                .unwrap();
            let outputs = model.run(&[(input.name(), x)], &keep).unwrap();
            for tensor in &ranges.tensors {
                let Some(found) =
                    outputs.get(&tensor.name).and_then(|value| value.as_slice::<f32>())
                else {
                    continue;
                };
                let (Some(low), Some(high)) = (tensor.lowest, tensor.highest) else { continue };
                assert!(
                    found.iter().all(|v| (low..=high).contains(v)),
                    "{name}: {} leaves {low} to {high}",
                    tensor.name
                );
                values += found.len() as u64;
                tight += usize::from(found.contains(&low) || found.contains(&high));
            }
        }
        files += 1;
    }
    assert_eq!(files, 7);
    // Bounds that nothing reaches would pass as well.
    assert!(values > 100_000 && tight > 100, "{values} {tight}");
}
