//! The conformance tests of the ONNX project: those that pass are listed, and nothing else may go wrong than that
//! something is not supported.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fewbit_onnx::proto::TensorProto;
use fewbit_onnx::tensor::{TensorData, TensorValue};
use fewbit_qonnx::{ErrorKind, Mode, Model, Options, Value};

use crate::shared;

/// The tests that pass, one a line.
const PASSING: &str = include_str!("onnx_backend.txt");

/// Tests whose files are understood, but whose outputs are others, and why.
const OTHER_RESULTS: &[(&str, &str)] = &[];

/// What became of one test.
enum Outcome {
    Passes,
    Unsupported,
    Wrong(String),
}

/// A tensor that is stored by itself, `None` if its type is none of this crate's.
fn tensor(path: &Path) -> Option<Value> {
    let bytes = fs::read(path).unwrap();
    let stored: TensorProto = prost::Message::decode(&bytes[..]).ok()?;
    let (shape, data) = TensorValue::from_proto(&stored).ok()?.into_parts();
    match data {
        TensorData::F32(data) => Value::new(shape, data),
        TensorData::F64(data) => Value::new(shape, data),
        TensorData::I8(data) => Value::new(shape, data),
        TensorData::I16(data) => Value::new(shape, data),
        TensorData::I32(data) => Value::new(shape, data),
        TensorData::I64(data) => Value::new(shape, data),
        TensorData::U8(data) => Value::new(shape, data),
        TensorData::U16(data) => Value::new(shape, data),
        TensorData::U32(data) => Value::new(shape, data),
        TensorData::U64(data) => Value::new(shape, data),
        TensorData::Bool(data) => Value::new(shape, data),
        _ => return None,
    }
    .ok()
}

/// All numbers as f64.
fn numbers(value: &Value) -> Vec<f64> {
    use fewbit_qonnx::Data;
    match value.data() {
        Data::F32(x) => x.iter().map(|&v| v.into()).collect(),
        Data::F64(x) => x.to_vec(),
        Data::I8(x) => x.iter().map(|&v| v.into()).collect(),
        Data::I16(x) => x.iter().map(|&v| v.into()).collect(),
        Data::I32(x) => x.iter().map(|&v| v.into()).collect(),
        Data::I64(x) => x.iter().map(|&v| v as f64).collect(),
        Data::U8(x) => x.iter().map(|&v| v.into()).collect(),
        Data::U16(x) => x.iter().map(|&v| v.into()).collect(),
        Data::U32(x) => x.iter().map(|&v| v.into()).collect(),
        Data::U64(x) => x.iter().map(|&v| v as f64).collect(),
        Data::Bool(x) => x.iter().map(|&v| u8::from(v).into()).collect(),
        other => panic!("{:?}", other.dtype()),
    }
}

/// The files `kind_0.pb`, `kind_1.pb`, ... of a folder.
fn files(folder: &Path, kind: &str) -> Vec<PathBuf> {
    (0..).map(|i| folder.join(format!("{kind}_{i}.pb"))).take_while(|path| path.exists()).collect()
}

fn run(folder: &Path, mode: Mode) -> Outcome {
    let model =
        match Model::load(&folder.join("model.onnx"), Options { mode, ..Options::default() }) {
            Ok(model) => model,
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                return Outcome::Unsupported;
            }
            Err(error) => return Outcome::Wrong(error.to_string()),
        };
    for set in
        (0..).map(|i| folder.join(format!("test_data_set_{i}"))).take_while(|set| set.exists())
    {
        let mut inputs = Vec::new();
        for (path, input) in files(&set, "input").iter().zip(model.inputs()) {
            let Some(value) = tensor(path) else {
                return Outcome::Unsupported;
            };
            inputs.push((input.name(), value));
        }
        let outputs = match model.run(&inputs, &[]) {
            Ok(outputs) => outputs,
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                return Outcome::Unsupported;
            }
            Err(error) => return Outcome::Wrong(error.to_string()),
        };
        for (path, (name, found)) in files(&set, "output").iter().zip(outputs.iter()) {
            let Some(expected) = tensor(path) else {
                return Outcome::Unsupported;
            };
            if (found.shape(), found.dtype()) != (expected.shape(), expected.dtype()) {
                let (found, expected) =
                    ((found.shape(), found.dtype()), (expected.shape(), expected.dtype()));
                return Outcome::Wrong(format!("{name}: {found:?}, expected {expected:?}"));
            }
            // The tolerance of the project itself.
            let close = |a: f64, b: f64| {
                a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-7 + 1e-3 * b.abs()
            };
            for (i, (&a, &b)) in numbers(found).iter().zip(&numbers(&expected)).enumerate() {
                if !close(a, b) {
                    return Outcome::Wrong(format!("{name}: element {i} is {a}, expected {b}"));
                }
            }
        }
    }
    Outcome::Passes
}

/// Unpacks the tests, if this machine can.
fn unpack(archive: &Path) -> Option<PathBuf> {
    let folder = std::env::temp_dir().join(format!("fewbit-onnx-backend-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let bytes = fs::File::open(archive).unwrap();
    let zstd = Command::new("zstd").arg("-dcq").stdin(bytes).stdout(Stdio::piped()).spawn();
    let Ok(mut zstd) = zstd else {
        eprintln!("skipped: there is no zstd to unpack {}", archive.display());
        return None;
    };
    let tar =
        Command::new("tar").arg("-xC").arg(&folder).stdin(zstd.stdout.take().unwrap()).status();
    assert!(
        zstd.wait().unwrap().success() && tar.unwrap().success(),
        "unpacking {}",
        archive.display()
    );
    Some(folder)
}

#[test]
fn conformance() {
    let Some(shared) = shared().map(|shared| shared.join("onnx_backend")) else { return };
    let Some(folder) = unpack(&shared.join("onnx_backend_test_data.tar.zst")) else { return };
    let data = folder.join("onnx/backend/test/data");
    let table = fs::read_to_string(shared.join("relevant_tests.tsv")).unwrap();
    let (mut passing, mut wrong, mut unsupported) = (Vec::new(), Vec::new(), 0);
    let mut tests = 0;
    for line in table.lines().skip(1) {
        let mut columns = line.split('\t');
        let (suite, test) = (columns.next().unwrap(), columns.next().unwrap());
        let name = format!("{suite}/{test}");
        tests += 1;
        let outcomes = [Mode::Canonical, Mode::Reference].map(|mode| run(&data.join(&name), mode));
        match outcomes {
            [Outcome::Passes, Outcome::Passes] => passing.push(name),
            [Outcome::Wrong(why), _] | [_, Outcome::Wrong(why)] => {
                wrong.push(format!("{name}: {why}"))
            }
            [Outcome::Unsupported, _] | [_, Outcome::Unsupported] => unsupported += 1,
        }
    }
    fs::remove_dir_all(&folder).unwrap();
    eprintln!("{} of {tests} pass, {} are not supported", passing.len(), unsupported);
    assert_eq!(tests, 1261);
    wrong.retain(|wrong| {
        !OTHER_RESULTS.iter().any(|(name, _)| wrong.starts_with(&format!("{name}:")))
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    passing.sort();
    let listed: Vec<&str> = PASSING.lines().collect();
    let new: Vec<&String> =
        passing.iter().filter(|name| !listed.contains(&name.as_str())).collect();
    let lost: Vec<&&str> =
        listed.iter().filter(|name| !passing.iter().any(|p| p == **name)).collect();
    assert!(
        new.is_empty() && lost.is_empty(),
        "not in the list: {new:#?}\nno longer passing: {lost:#?}"
    );
}
