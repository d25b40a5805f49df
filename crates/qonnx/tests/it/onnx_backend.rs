//! The conformance tests of the ONNX project: all that concern such graphs pass, but for those that are listed with a reason.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::Read;
use std::path::Path;

use fewbit_onnx::proto::TensorProto;
use fewbit_onnx::tensor::TensorValue;
use fewbit_qonnx::{DType, ErrorKind, Mode, Model, Options, Value};

use crate::shared;

/// The tests that do not pass: name, what becomes of them, and why.
const EXCEPTIONS: &str = include_str!("onnx_backend_exceptions.tsv");

/// What became of one test.
enum Outcome {
    Passes,
    Unsupported(String),
    Wrong(String),
}

/// The files of a test by their place in its folder.
type Files = BTreeMap<String, Vec<u8>>;

/// A tensor that is stored by itself.
fn tensor(bytes: &[u8]) -> Result<Value, String> {
    let stored: TensorProto = prost::Message::decode(bytes)
        .map_err(|_| "no tensor, but a sequence or an option".to_owned())?;
    let value = TensorValue::from_proto(&stored).map_err(|error| error.to_string())?;
    Value::from_stored(value, stored.name()).map_err(|error| error.to_string())
}

fn is_float(dtype: DType) -> bool {
    matches!(dtype, DType::F16 | DType::Bf16 | DType::F32 | DType::F64)
}

/// The first difference that is more than the project's own tests allow; everything but floats of 16 bits and more has to be equal.
fn difference(found: &Value, expected: &Value) -> Option<String> {
    if (found.shape(), found.dtype()) != (expected.shape(), expected.dtype()) {
        let found = (found.shape(), found.dtype());
        return Some(format!("{found:?}, expected {:?}", (expected.shape(), expected.dtype())));
    }
    let (relative, absolute) = if is_float(found.dtype()) { (1e-3, 1e-7) } else { (0.0, 0.0) };
    let close = |a: f64, b: f64| {
        a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= absolute + relative * b.abs()
    };
    let (found, expected) = (found.to_f64(), expected.to_f64());
    let mut pairs = found.iter().zip(&expected).enumerate();
    let (i, (a, b)) = pairs.find(|(_, (a, b))| !close(**a, **b))?;
    Some(format!("element {i} is {a}, expected {b}"))
}

fn run(files: &Files, mode: Mode) -> Outcome {
    let failed = |error: fewbit_qonnx::Error| match error.kind() {
        ErrorKind::Unsupported => Outcome::Unsupported(error.to_string()),
        _ => Outcome::Wrong(error.to_string()),
    };
    let proto = fewbit_onnx::decode(files["model.onnx"].clone()).unwrap().model;
    let model = match Model::from_proto(&proto, Options { mode, ..Options::default() }) {
        Ok(model) => model,
        Err(error) => return failed(error),
    };
    for set in (0..).map(|i| format!("test_data_set_{i}")) {
        let of = |kind: &str| {
            let names = (0..).map(|i| format!("{set}/{kind}_{i}.pb"));
            names
                .map_while(|name| files.get(&name))
                .map(|bytes| tensor(bytes))
                .collect::<Result<Vec<_>, _>>()
        };
        let (inputs, outputs) = match (of("input"), of("output")) {
            (Ok(inputs), Ok(outputs)) => (inputs, outputs),
            (Err(why), _) | (_, Err(why)) => return Outcome::Unsupported(why),
        };
        if outputs.is_empty() {
            assert!(set != "test_data_set_0", "a test without outputs");
            break;
        }
        let names = model.inputs().iter().map(|input| input.name());
        let inputs: Vec<(&str, Value)> = names.zip(inputs).collect();
        let found = match model.run(&inputs, &[]) {
            Ok(found) => found,
            Err(error) => return failed(error),
        };
        if found.iter().count() != outputs.len() {
            return Outcome::Wrong(format!(
                "{} outputs, expected {}",
                found.iter().count(),
                outputs.len()
            ));
        }
        for ((name, found), expected) in found.iter().zip(&outputs) {
            if let Some(difference) = difference(found, expected) {
                return Outcome::Wrong(format!("{name}: {difference}"));
            }
        }
    }
    Outcome::Passes
}

/// Reads the tests with these names; counts all models, each of which is written again without a change.
fn unpack(archive: &Path, wanted: &HashSet<&str>, models: &mut usize) -> BTreeMap<String, Files> {
    let packed = fs::File::open(archive).unwrap();
    let unpacked = ruzstd::decoding::StreamingDecoder::new(packed).unwrap();
    let mut tests: BTreeMap<String, Files> = BTreeMap::new();
    for entry in tar::Archive::new(unpacked).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_string_lossy().into_owned();
        let Some(path) = path.strip_prefix("onnx/backend/test/data/") else { continue };
        let mut parts = path.splitn(3, '/');
        let (Some(suite), Some(test), Some(file)) = (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let name = format!("{suite}/{test}");
        if file == "model.onnx" {
            // Whether it is run or not, it is kept as it is.
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            let decoded = fewbit_onnx::decode(bytes.clone()).unwrap();
            assert_eq!(decoded.unknown_fields, [], "{name}");
            assert!(fewbit_onnx::encode(&decoded.model) == bytes, "{name}: other bytes");
            *models += 1;
            if wanted.contains(name.as_str()) {
                tests.entry(name).or_default().insert(file.to_owned(), bytes);
            }
            continue;
        }
        if wanted.contains(name.as_str()) && entry.header().entry_type().is_file() {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            tests.entry(name).or_default().insert(file.to_owned(), bytes);
        }
    }
    tests
}

#[test]
fn conformance() {
    let Some(shared) = shared().map(|shared| shared.join("onnx_backend")) else { return };
    let table = fs::read_to_string(shared.join("relevant_tests.tsv")).unwrap();
    let name = |line: &str| line.split('\t').take(2).collect::<Vec<_>>().join("/");
    let names: Vec<String> = table.lines().skip(1).map(name).collect();
    let wanted: HashSet<&str> = names.iter().map(String::as_str).collect();
    let archive = shared.join("onnx_backend_test_data.tar.zst");
    let mut models = 0;
    let tests = unpack(&archive, &wanted, &mut models);
    assert_eq!((names.len(), tests.len()), (1261, 1261));
    assert!(models > 1261, "{models} models");
    let listed: BTreeMap<&str, (&str, &str)> = EXCEPTIONS
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let mut columns = line.split('\t');
            let mut next = || columns.next().unwrap_or_else(|| panic!("three columns in {line:?}"));
            (next(), (next(), next()))
        })
        .collect();
    let mut complaints = Vec::new();
    let mut passing = 0;
    for (name, files) in &tests {
        for mode in [Mode::Canonical, Mode::Reference] {
            let (outcome, why) = match run(files, mode) {
                Outcome::Passes => ("passes", String::new()),
                Outcome::Unsupported(why) => ("unsupported", why),
                Outcome::Wrong(why) => ("differs", why),
            };
            let expected = listed.get(name.as_str()).map_or("passes", |(outcome, _)| outcome);
            if outcome != expected {
                complaints.push(format!("{name}\t{outcome} ({mode:?})\t{why}"));
            }
            passing += usize::from(outcome == "passes" && mode == Mode::Canonical);
        }
    }
    let unknown = listed.keys().filter(|name| !tests.contains_key(**name));
    complaints.extend(unknown.map(|name| format!("{name}\tis no test")));
    eprintln!("{passing} of {} pass", tests.len());
    assert!(complaints.is_empty(), "not as listed:\n{}", complaints.join("\n"));
    assert!(passing * 10 >= tests.len() * 9, "{passing} pass");
}
