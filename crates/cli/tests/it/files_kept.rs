//! What a command reads, or was told to write before, is not replaced by what it writes.

use std::fs;

use tempfile::TempDir;

use crate::harness::{fewbit, sum_model, trained};

fn folder_with_model() -> TempDir {
    let folder = TempDir::new().unwrap();
    fewbit_onnx::write_model(&folder.path().join("m.onnx"), &sum_model()).unwrap();
    let array = fewbit_data::npy::NpyArray::new(vec![2], vec![1.0_f32, 2.0]).unwrap();
    fewbit_data::npy::write(&folder.path().join("x.npy"), &array).unwrap();
    fs::copy(folder.path().join("m.onnx"), folder.path().join("m.json")).unwrap();
    folder
}

#[test]
fn inputs_and_other_outputs() {
    let folder = folder_with_model();
    let before: Vec<Vec<u8>> = ["m.onnx", "m.json", "x.npy"]
        .iter()
        .map(|name| fs::read(folder.path().join(name)).unwrap())
        .collect();
    for (line, flags) in [
        ("cost m.onnx --csv m.onnx", ["MODEL.onnx", "--csv"]),
        ("cost m.onnx --csv a.x --markdown b.x --svg ./a.x", ["--csv", "--svg"]),
        ("codes m.json -o m.json", ["MODEL.onnx", "--output"]),
        ("prove m.onnx --report ./m.onnx", ["MODEL.onnx", "--report"]),
        ("run m.onnx --input x.npy -o x.npy", ["--input", "--output"]),
        ("run m.onnx --input x=x.npy -o ./x.npy", ["--input", "--output"]),
    ] {
        let refused = fewbit(folder.path(), line).expect(2);
        for words in flags.into_iter().chain(["are the same file"]) {
            assert!(refused.stderr.contains(words), "{line}: {}", refused.stderr);
        }
    }
    for (name, bytes) in ["m.onnx", "m.json", "x.npy"].iter().zip(before) {
        assert_eq!(fs::read(folder.path().join(name)).unwrap(), bytes, "{name}");
    }
    assert!(!folder.path().join("a.x").exists());
    // In place is what its help promises.
    fewbit(folder.path(), "clean m.onnx -o m.onnx").expect(0);
}

#[test]
fn read_only_files() {
    let folder = folder_with_model();
    let path = folder.path().join("kept.csv");
    fs::write(&path, "kept").unwrap();
    let mut mode = fs::metadata(&path).unwrap().permissions();
    mode.set_readonly(true);
    fs::set_permissions(&path, mode).unwrap();
    let refused = fewbit(folder.path(), "cost m.onnx --csv kept.csv").expect(2);
    assert!(refused.stderr.contains("read-only"), "{}", refused.stderr);
    assert_eq!(fs::read(&path).unwrap(), b"kept");
}

#[test]
fn inputs_given_twice_and_text() {
    let folder = folder_with_model();
    let twice = fewbit(folder.path(), "run m.onnx --input x.npy --input x=x.npy").expect(2);
    assert!(twice.stderr.contains("\"x\" was given twice"), "{}", twice.stderr);
    assert!(!twice.stderr.contains("malformed"), "{}", twice.stderr);
    fs::write(folder.path().join("text.onnx"), "no model\n").unwrap();
    let text = fewbit(folder.path(), "inspect text.onnx").expect(2);
    assert!(text.stderr.contains("is not an ONNX file"), "{}", text.stderr);
}

#[test]
fn run_folders_are_models() {
    let run = trained().run_folder();
    let run = run.to_str().unwrap();
    let found = fewbit(trained().folder(), &format!("inspect {run} --json")).expect(0);
    let model = found.json()["model"].as_str().unwrap().to_owned();
    assert!(model.starts_with(run) && model.ends_with(".onnx"), "{model}");
    let folder = folder_with_model();
    fs::create_dir(folder.path().join("checkpoints")).unwrap();
    fs::copy(folder.path().join("m.onnx"), folder.path().join("n.onnx")).unwrap();
    let several = fewbit(folder.path(), "cost .").expect(2);
    assert!(several.stderr.contains("m.onnx, n.onnx"), "{}", several.stderr);
}
