//! Real files keep every byte, and are graphs that can be run.

use std::fs;
use std::path::{Path, PathBuf};

use fewbit_onnx::check::validate;
use fewbit_onnx::tensor::TensorValue;
use fewbit_onnx::{encode, read};

fn models_below(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            models_below(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "onnx") {
            found.push(path);
        }
    }
}

#[test]
fn files_of_others_keep_every_byte() {
    let Some(shared) = std::env::var_os("FEWBIT_SHARED") else {
        println!("skipped: FEWBIT_SHARED is not set");
        return;
    };
    let mut paths = Vec::new();
    for folder in ["models", "golden"] {
        models_below(&Path::new(&shared).join(folder), &mut paths);
    }
    assert_eq!(paths.len(), 46, "files below models and golden");
    let mut tensors = 0;
    for path in paths {
        let shown = path.display();
        let bytes = fs::read(&path).unwrap();
        let decoded = read(&path).unwrap();
        assert_eq!(decoded.unknown_fields, [], "{shown}");
        let model = decoded.rewritable().unwrap();
        assert!(encode(&model) == bytes, "{shown}: other bytes");
        let order = validate(&model).unwrap_or_else(|error| panic!("{shown}: {error}"));
        let graph = model.graph.unwrap();
        assert!(order.is_sorted(), "{shown}: the file is in order and stays so");
        assert_eq!(order.len(), graph.node.len());
        for tensor in &graph.initializer {
            TensorValue::from_proto(tensor).unwrap_or_else(|error| panic!("{shown}: {error}"));
            tensors += 1;
        }
    }
    assert!(tensors > 1000, "{tensors} tensors");
}
