//! Networks in other operators compute the same.

use fewbit_onnx::proto::{AttributeProto, ModelProto};
use fewbit_qonnx::convert::{Target, convert};
use fewbit_qonnx::equivalence::{at_edges, compare};
use fewbit_qonnx::{Mode, Model, Options, Value};

use crate::graphs::{Graph, info, int, node, string};
use crate::{floats, shared};

const QONNX: &str = "qonnx.custom_op.general";

/// One quantizer of its input.
fn quantizer(operator: &str, parameters: &[f32], attributes: Vec<AttributeProto>) -> ModelProto {
    let mut graph = Graph::new().input(info("x", &[1, 64]));
    let mut inputs = vec!["x".to_owned()];
    for (index, &parameter) in parameters.iter().enumerate() {
        let name = format!("p{index}");
        graph = graph.stored(&name, &[], vec![parameter]);
        inputs.push(name);
    }
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    graph.node(node(QONNX, operator, &inputs, &["y"]), attributes).output("y").done()
}

fn minifloat(e: f32, m: f32, bias: f32, largest: f32, scale: f32) -> ModelProto {
    let attributes = vec![
        int("has_inf", 0),
        int("has_nan", 0),
        int("has_subnormal", 1),
        string("rounding_mode", "ROUND"),
        int("saturation", 1),
    ];
    quantizer("FloatQuant", &[scale, e, m, bias, largest], attributes)
}

fn integer(signed: i64, narrow: i64, bits: f32, scale: f32) -> ModelProto {
    let attributes =
        vec![int("narrow", narrow), string("rounding_mode", "ROUND"), int("signed", signed)];
    quantizer("Quant", &[scale, 0.0, bits], attributes)
}

/// All values that tell quantizers apart: neighbours of powers of two and of what lies between, and ends of f32.
fn awkward(scale: f32) -> Vec<f32> {
    let mut all = vec![0.0, f32::MIN_POSITIVE, 1e-40, 1e30, 3e38, 0.5, 2.5];
    for exponent in -14..10 {
        for sixteenth in 16..32 {
            let v = f32::from(sixteenth as u8) / 16.0 * 2f32.powi(exponent) * scale;
            all.extend([v, v.next_up(), v.next_down()]);
        }
    }
    let negative: Vec<f32> = all.iter().map(|v| -v).collect();
    all.extend(negative);
    all.resize(all.len().next_multiple_of(64), 0.0);
    all
}

fn check(before: &ModelProto, target: Target, scale: f32, what: &str) {
    let after = convert(before, target).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(after.left.is_empty(), "{what}: {:?}", after.left);
    let x = awkward(scale);
    let run = |model: &ModelProto| {
        let model = Model::from_proto(model, Options::default()).unwrap();
        let value = Value::new(vec![x.len() / 64, 64], x.clone()).unwrap();
        floats(model.run(&[("x", value)], &[]).unwrap().first()).to_vec()
    };
    for ((&a, &b), &x) in run(before).iter().zip(&run(&after.model)).zip(&x) {
        // A quotient that overflows is NaN in qonnx's minifloats.
        assert!(a == b || (a.is_nan() && x.abs() > 1e38), "{what}: {x:e} gives {a} and {b}");
    }
}

#[test]
fn minifloats() {
    for scale in [1.0, 0.25, 0.3, 7.1] {
        for (e, m, bias, largest) in [
            (3.0, 1.0, 3.0, 24.0),
            (2.0, 1.0, 1.0, 6.0),
            (4.0, 3.0, 7.0, 448.0),
            (5.0, 2.0, 15.0, 57344.0),
            (2.0, 3.0, 1.0, 7.5),
        ] {
            let model = minifloat(e, m, bias, largest, scale);
            let what = format!("e{e}m{m}, scale {scale}");
            check(&model, Target::Standard, scale, &what);
            if e < 4.0 {
                check(&model, Target::Integer, scale, &what);
                check(&model, Target::Thresholds, scale, &what);
            }
            if (e, m) == (2.0, 3.0) {
                assert!(convert(&model, Target::Float8).is_err());
            } else if (e, m) != (3.0, 1.0) {
                check(&model, Target::Float8, scale, &what);
            }
        }
    }
}

#[test]
fn integers() {
    for scale in [1.0, 0.125, 0.3] {
        for (signed, narrow, bits) in
            [(1, 0, 4.0), (1, 1, 2.0), (0, 0, 3.0), (0, 0, 8.0), (1, 0, 8.0), (0, 0, 1.0)]
        {
            let model = integer(signed, narrow, bits, scale);
            let what = format!("{bits} bits, signed {signed}, scale {scale}");
            for target in [Target::Standard, Target::Qcdq, Target::Thresholds] {
                check(&model, target, scale, &format!("{what}, {target:?}"));
            }
        }
        let bipolar = quantizer("BipolarQuant", &[scale], vec![]);
        check(&bipolar, Target::Standard, scale, "bipolar");
        check(&bipolar, Target::Thresholds, scale, "bipolar");
    }
    let error = convert(&integer(1, 0, 4.0, 1.0), Target::Integer).unwrap_err();
    assert!(error.to_string().contains("without quantizers of this kind"), "{error}");
}

/// Whole networks: bit for bit in the executor, node by node where sums are others.
#[test]
fn networks() {
    let Some(folder) = shared() else { return };
    let mut pairs = 0;
    for (name, target, mode) in [
        ("golden/e_traj_tiny_e3m1.end.onnx", Target::Integer, Mode::Canonical),
        ("golden/nets/resnet18w16_e4m3.onnx", Target::Float8, Mode::Canonical),
        ("golden/nets/resnet18w16_e4m3.onnx", Target::Standard, Mode::Reference),
        ("golden/e_traj_tiny_e3m1.end.onnx", Target::Standard, Mode::Canonical),
        ("golden/e_traj_tiny_4w4a.end.onnx", Target::Standard, Mode::Reference),
        ("golden/e_traj_tiny_cnv_2w2a.end.onnx", Target::Qcdq, Mode::Canonical),
        ("golden/d_nets/tfc_2w2a.onnx", Target::Thresholds, Mode::Canonical),
        ("golden/d_nets/tfc_1w1a.onnx", Target::Standard, Mode::Canonical),
    ] {
        let before = fewbit_onnx::read_model(&folder.join(name)).unwrap();
        let after = convert(&before, target).unwrap();
        // A Trunc has no such form.
        let left = usize::from(name.contains("4w4a"));
        assert_eq!(after.left.len(), left, "{name}: {:?}", after.left);
        let found = compare(&before, &after.model, 6, mode).unwrap();
        assert!(found.is_exact() && found.values >= 60, "{name} {target:?}: {found:?}");
        pairs += 1;
    }
    assert_eq!(pairs, 8);
}

/// A largest value between two steps is what the step above is clipped to, in every target that takes it.
#[test]
fn largest_values_off_the_grid() {
    let mut tried = 0;
    for scale in [1.0, 0.5, 0.3] {
        for (e, m, largest) in [
            (4.0, 3.0, 250.0),
            (4.0, 3.0, 246.0),
            (4.0, 3.0, 247.9),
            (4.0, 0.0, 240.0),
            (4.0, 1.0, 240.0),
            (4.0, 2.0, 240.0),
            (4.0, 0.0, 448.0),
            (4.0, 1.0, 448.0),
            (4.0, 2.0, 448.0),
            (4.0, 3.0, 448.0),
            (4.0, 3.0, 0.001),
            (3.0, 1.0, 23.0),
            (3.0, 1.0, 5.5),
        ] {
            let bias = if e == 3.0 { 3.0 } else { 7.0 };
            let before = minifloat(e, m, bias, largest, scale);
            for target in [Target::Standard, Target::Thresholds, Target::Integer] {
                let what = format!("e{e}m{m} up to {largest}, scale {scale}, {target:?}");
                let Ok(after) = convert(&before, target) else {
                    assert_ne!(target, Target::Standard, "{what}");
                    continue;
                };
                if !after.left.is_empty() {
                    continue;
                }
                check(&before, target, scale, &what);
                let found = at_edges(&before, &after.model, Mode::Canonical).unwrap();
                assert!(found.values > 1000 && found.is_exact(), "{what}: {found:?}");
                tried += 1;
            }
        }
    }
    assert!(tried > 40, "{tried}");
    let before = minifloat(4.0, 3.0, 7.0, 250.0, 1.0);
    let after = convert(&before, Target::Standard).unwrap().model;
    let model = Model::from_proto(&after, Options::default()).unwrap();
    let value = Value::new(vec![1, 64], vec![1000.0_f32; 64]).unwrap();
    assert_eq!(floats(model.run(&[("x", value)], &[]).unwrap().first())[0], 250.0);
}

/// The check by edges finds a quantizer with another end.
#[test]
fn edges_find_another_end() {
    let before = minifloat(4.0, 3.0, 7.0, 250.0, 1.0);
    let other = minifloat(4.0, 3.0, 7.0, 256.0, 1.0);
    let found = at_edges(&before, &other, Mode::Canonical).unwrap();
    assert!(found.values_differ > 0 && found.largest_difference == 6.0, "{found:?}");
    let whole = compare(&before, &other, 8, Mode::Canonical).unwrap();
    assert!(whole.values_differ > 0, "{whole:?}");
}
