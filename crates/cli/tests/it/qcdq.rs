//! Export in operators of ONNX alone.

use std::fs;

use tempfile::TempDir;

use crate::harness::{fewbit, only_entry, trained};

const DATA: &str = "--dataset glyphs --limit 300";

/// Every kind of weight and activation: bipolar, 2 bits, odd widths, and 8 bits, whose limits are those
/// of the type but for one.
#[test]
fn files_of_standard_operators_compute_the_same() {
    for network in ["TFC_1W1A", "TFC_1W2A", "TFC_2W2A", "TFC_3W5A", "TFC_8W8A"] {
        let folder = TempDir::new().unwrap();
        let line = format!("train --network {network} {DATA} --epochs 1 --export_qcdq_onnx --json");
        let json = fewbit(folder.path(), &line).expect(0).json();
        let findings = &json["qcdq_verification"];
        assert_eq!(findings["values_differ"], 0, "{network}: {findings}");
        assert!(json["model"].is_null() && json["verification"].is_null());
        let run = only_entry(&folder.path().join("experiments"));
        let file = run.join(format!("{network}_qcdq.onnx"));
        assert!(run.join("verification_qcdq.json").is_file());
        let model = fewbit_onnx::read_model(&file).unwrap();
        let domains: Vec<&str> = model.opset_import.iter().map(|set| set.domain()).collect();
        assert_eq!(domains, [""], "{network}");
        let line = format!("verify {} {} {DATA}", run.display(), file.display());
        let text = fewbit(folder.path(), &line).expect(0).stdout;
        assert!(text.contains("IDENTICAL"), "{text}");
    }
}

#[test]
fn a_changed_code_is_noticed() {
    let folder = TempDir::new().unwrap();
    let checkpoint = trained().checkpoint("best.safetensors").display().to_string();
    let export = format!("export {checkpoint} --qcdq -o q.onnx");
    let text = fewbit(folder.path(), &export).expect(0).stdout;
    assert!(text.contains("as QCDQ ONNX"), "{text}");
    let path = folder.path().join("q.onnx");
    let verify = format!("verify {checkpoint} q.onnx {DATA} --json");
    assert_eq!(fewbit(folder.path(), &verify).expect(0).json()["identical"], true);
    let mut model = fewbit_onnx::read_model(&path).unwrap();
    let stored = &mut model.graph.as_mut().unwrap().initializer;
    let codes = stored.iter_mut().find(|tensor| tensor.name() == "features.6.weight.codes");
    let bytes = codes.unwrap().raw_data.as_mut().unwrap();
    let mut changed = bytes.to_vec();
    changed[5] = if changed[5] == 1 { 0 } else { 1 };
    *bytes = changed.into();
    fs::write(&path, fewbit_onnx::encode(&model)).unwrap();
    let run = fewbit(folder.path(), &verify).expect(1);
    assert!(run.stdout.contains("features.6.weight"), "{}", run.stdout);
}

#[test]
fn evaluation_exports_too() {
    let folder = TempDir::new().unwrap();
    let line = format!("train --network TFC_2W2A {DATA} --epochs 1");
    fewbit(folder.path(), &line).expect(0);
    let line = "train --evaluate --resume experiments --export_qcdq_onnx --export_qonnx --json";
    let json = fewbit(folder.path(), line).expect(0).json();
    for key in ["verification", "qcdq_verification"] {
        assert_eq!(json[key]["identical"], true, "{key}");
    }
    // Found before the training: nothing is written.
    let line = "train --network RESNET18_5W5A_FLOAT_E3M1 --dataset shapes --limit 10 --batch_size 5 \
                --experiments other --export_qcdq_onnx";
    let run = fewbit(folder.path(), line).expect(2);
    assert!(run.stderr.contains("FloatQuant") && run.stderr.contains("conv1"), "{}", run.stderr);
    assert!(!folder.path().join("other").exists());
}
