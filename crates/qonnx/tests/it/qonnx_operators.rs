//! The less common operators of QONNX, against what qonnx computed; `qonnx_operators.py` wrote the file.

use fewbit_onnx::proto::AttributeProto;
use fewbit_qonnx::{Mode, Model, Options, Value};
use serde_json::Value as Json;

use crate::floats;
use crate::graphs::{Graph, float, int, ints, node, string, untyped};

fn tensor(json: &Json) -> Value {
    let numbers = |key: &str| json[key].as_array().unwrap().iter();
    let shape = numbers("shape").map(|extent| extent.as_u64().unwrap() as usize).collect();
    let values = numbers("values").map(|v| v.as_f64().unwrap() as f32).collect::<Vec<f32>>();
    Value::new(shape, values).unwrap()
}

fn attribute(name: &str, value: &Json) -> AttributeProto {
    match value {
        Json::String(text) => string(name, text),
        Json::Array(list) => {
            ints(name, &list.iter().map(|v| v.as_i64().unwrap()).collect::<Vec<_>>())
        }
        Json::Number(number) => match number.as_i64() {
            Some(integer) => int(name, integer),
            None => float(name, number.as_f64().unwrap() as f32),
        },
        other => panic!("{other}"),
    }
}

#[test]
fn as_qonnx_computes_them() {
    let stored: Json = serde_json::from_str(include_str!("qonnx_operators.json")).unwrap();
    let cases = stored["cases"].as_array().unwrap();
    let mut runs = 0;
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let domain = case["domain"].as_str().unwrap();
        let inputs: Vec<Value> = case["inputs"].as_array().unwrap().iter().map(tensor).collect();
        let expected = tensor(&case["output"]);
        let attributes: Vec<AttributeProto> = case["attributes"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| attribute(name, value))
            .collect();
        // Everything but the first input may be stored: then it is prepared.
        for (stored, mode) in [
            (false, Mode::Canonical),
            (true, Mode::Canonical),
            (false, Mode::Reference),
            (true, Mode::Reference),
        ] {
            let mut graph = Graph::new().version("", 13).output("y");
            graph = graph.version(domain, case["version"].as_i64().unwrap());
            let names: Vec<String> = (0..inputs.len()).map(|i| format!("i{i}")).collect();
            let mut given = Vec::new();
            for (i, (name, value)) in names.iter().zip(&inputs).enumerate() {
                if i > 0 && stored {
                    graph = graph.stored(name, value.shape(), floats(value).to_vec());
                } else {
                    graph = graph.input(untyped(name));
                    given.push((name.as_str(), value.clone()));
                }
            }
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let operator = node(domain, case["operator"].as_str().unwrap(), &names, &["y"]);
            let model = graph.node(operator, attributes.clone()).done();
            let options = Options { mode, ..Options::default() };
            let model = Model::from_proto(&model, options).unwrap();
            let found = model.run(&given, &[]).unwrap().first().clone();
            assert_eq!(found.shape(), expected.shape(), "{name}");
            assert_eq!(floats(&found), floats(&expected), "{name}, {mode:?}, stored: {stored}");
            runs += 1;
        }
    }
    assert_eq!(runs, 4 * 13);
}
