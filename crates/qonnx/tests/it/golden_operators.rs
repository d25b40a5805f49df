//! Single quantizers against the qonnx executor, bit for bit.

use fewbit_data::npz::NpzArchive;
use fewbit_onnx::proto::{AttributeProto, ModelProto};
use fewbit_qonnx::{Mode, Model, Options, Value};
use serde_json::Value as Json;

use crate::graphs::{self, Graph, node, untyped};
use crate::{array, floats, shared};

const DOMAIN: &str = "qonnx.custom_op.general";

/// A tensor from nested lists: extents and elements.
fn tensor(json: &Json) -> (Vec<usize>, Vec<f32>) {
    let Some(list) = json.as_array() else {
        return (Vec::new(), vec![json.as_f64().unwrap() as f32]);
    };
    let (shapes, values): (Vec<_>, Vec<_>) = list.iter().map(tensor).unzip();
    assert!(shapes.iter().all(|shape| *shape == shapes[0]));
    ([vec![list.len()], shapes[0].clone()].concat(), values.concat())
}

fn attribute(name: &str, json: &Json) -> AttributeProto {
    match json {
        Json::String(text) => graphs::string(name, text),
        Json::Number(number) if number.is_i64() => graphs::int(name, number.as_i64().unwrap()),
        Json::Number(number) => graphs::float(name, number.as_f64().unwrap() as f32),
        other => panic!("attribute {name} is {other}"),
    }
}

fn model(case: &Json, rank: usize) -> ModelProto {
    let parameters = case["inits"].as_array().unwrap();
    let mut graph = Graph::new().input(untyped("x")).output("y");
    if let Some(version) = case["opset"].as_i64() {
        graph = graph.version(DOMAIN, version);
    }
    let mut names = vec!["x".to_owned()];
    for (i, parameter) in parameters.iter().enumerate() {
        let (mut shape, values) = tensor(parameter);
        while shape.len() > rank && shape[0] == 1 {
            shape.remove(0);
        }
        let name = format!("parameter_{i}");
        graph = graph.stored(&name, &shape, values);
        names.push(name);
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let attributes = case["attrs"].as_object().unwrap();
    let attributes = attributes.iter().map(|(name, value)| attribute(name, value)).collect();
    graph.node(node(DOMAIN, case["op"].as_str().unwrap(), &names, &["y"]), attributes).done()
}

/// Runs all cases of a file; how many there are.
fn run(
    file: &str,
    mode: Mode,
    input_of: impl Fn(&str) -> String,
    excused: impl Fn(&str, f32) -> bool,
) -> usize {
    let Some(shared) = shared() else { return 0 };
    let folder = shared.join("golden");
    let text = std::fs::read_to_string(folder.join(format!("{file}.json"))).unwrap();
    let cases: serde_json::Map<String, Json> = serde_json::from_str(&text).unwrap();
    let archive = NpzArchive::open(&folder.join(format!("{file}.npz"))).unwrap();
    let mut failures = Vec::new();
    for (key, case) in &cases {
        let x = array(&archive, &input_of(key));
        let expected = array(&archive, key);
        let options = Options { mode, ..Options::default() };
        let model = Model::from_proto(&model(case, x.shape().len()), options);
        let found = match model.and_then(|model| model.run(&[("x", x.clone())], &[])) {
            Ok(found) => found.first().clone(),
            Err(error) => {
                failures.push(format!("{key}: {error}"));
                continue;
            }
        };
        let same = |a: f32, b: f32| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
        let wrong: Vec<(f32, f32, f32)> = floats(&found)
            .iter()
            .zip(floats(&expected))
            .zip(floats(&x))
            .map(|((&a, &b), &x)| (a, b, x))
            .filter(|&(a, b, x)| !same(a, b) && !excused(key, x))
            .collect();
        if found.shape() != expected.shape() || !wrong.is_empty() {
            let few = &wrong[..wrong.len().min(3)];
            failures.push(format!(
                "{key}: {} wrong, such as {few:?} (found, expected, input)",
                wrong.len()
            ));
        }
    }
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), cases.len(), failures.join("\n"));
    cases.len()
}

/// No value may differ.
fn nothing(_: &str, _: f32) -> bool {
    false
}

/// Counts the cases, unless this machine has none.
fn all_of(expected: usize, found: usize) {
    assert!(found == expected || std::env::var_os("FEWBIT_SHARED").is_none(), "{found} cases");
}

#[test]
fn float_quant() {
    let input = |key: &str| format!("{}.x", key.split('.').next().unwrap());
    all_of(281, run("c_qonnx_floatquant", Mode::Reference, input, nothing));
    // The original loses the largest floats of a format without a mantissa.
    let lost = |key: &str, x: f32| key.starts_with("e2m0") && x.abs() == f32::MAX;
    all_of(281, run("c_qonnx_floatquant", Mode::Canonical, input, lost));
}

#[test]
fn quant_and_bipolar_quant() {
    let per_channel = |key: &str| key.contains("perchannel");
    let input = |key: &str| if per_channel(key) { "perchannel.x" } else { "x" }.to_owned();
    for mode in [Mode::Reference, Mode::Canonical] {
        all_of(630, run("c_qonnx_quant_bipolar", mode, input, nothing));
    }
}

#[test]
fn trunc() {
    for mode in [Mode::Reference, Mode::Canonical] {
        all_of(162, run("c_qonnx_trunc", mode, |_| "x".to_owned(), nothing));
    }
}

#[test]
fn multi_threshold() {
    let input = |key: &str| match key {
        "nhwc" => "nhwc.x".to_owned(),
        "nc" => "x2".to_owned(),
        "nwc_default_rank3" => "nwc.x".to_owned(),
        _ => "x".to_owned(),
    };
    for mode in [Mode::Reference, Mode::Canonical] {
        all_of(8, run("c_qonnx_multithreshold", mode, input, nothing));
    }
}

/// What the original refuses is refused, with words.
#[test]
fn refused() {
    let x = Value::new(vec![2, 3], vec![0.5f32; 6]).unwrap();
    let case = |op: &str, attrs: &str, inits: &str| -> Json {
        let text =
            format!("{{\"op\": {op:?}, \"attrs\": {attrs}, \"inits\": {inits}, \"opset\": 1}}");
        serde_json::from_str(&text).unwrap()
    };
    let float = |attrs: &str| case("FloatQuant", attrs, "[1.0, 4.0, 3.0, 7.0, 448.0]");
    let cases = [
        (
            float(r#"{"has_inf": 0, "has_nan": 0, "has_subnormal": 1, "saturation": 0}"#),
            "attribute \"saturation\" is 0 with has_inf 0 and has_nan 0",
        ),
        (
            float(r#"{"has_inf": 0, "has_subnormal": 1, "saturation": 1}"#),
            "attribute \"has_nan\" is missing",
        ),
        (
            case(
                "FloatQuant",
                r#"{"has_inf": 0, "has_nan": 0, "has_subnormal": 1, "saturation": 1}"#,
                "[1.0, 4.5, 3.0, 7.0, 448.0]",
            ),
            "input 2 (exponent_bitwidth) is 4.5, expected a whole number from 1 to 8",
        ),
        (
            case("Quant", r#"{"signed": 1, "narrow": 2}"#, "[1.0, 0.0, 4.0]"),
            "attribute \"narrow\" is 2, expected 0 or 1",
        ),
        (
            case(
                "Quant",
                r#"{"signed": 1, "narrow": 0, "rounding_mode": "DPU"}"#,
                "[1.0, 0.0, 4.0]",
            ),
            "attribute \"rounding_mode\" is \"DPU\"",
        ),
        (
            case("Quant", r#"{"signed": 1, "narrow": 0}"#, "[[1.0, 2.0], 0.0, 4.0]"),
            "input 1 (scale) has shape [2]",
        ),
        (
            case("MultiThreshold", r#"{"out_dtype": "UINT2"}"#, "[[[1.0], [2.0]]]"),
            "input 1 (thresholds) has shape [2, 1], expected [3, any] or [1, any]",
        ),
        (
            case("Quant", r#"{"signed": 1, "narrow": 0, "color": 3}"#, "[1.0, 0.0, 4.0]"),
            "attribute \"color\" is not supported",
        ),
        (
            case("FloatQant", "{}", "[]"),
            "node 0 (FloatQant of qonnx.custom_op.general): the operator is not supported",
        ),
    ];
    for (case, expected) in cases {
        let model = Model::from_proto(&model(&case, 2), Options::default());
        let error = model.and_then(|model| model.run(&[("x", x.clone())], &[])).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}\nexpected {expected}");
    }
}
