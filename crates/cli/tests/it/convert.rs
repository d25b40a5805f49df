//! What `fewbit convert` writes.

use crate::harness::{fewbit, trained};

#[test]
fn a_trained_network_in_other_operators() {
    let folder = trained().folder();
    let model = trained().model();
    let logits = |file: &str, flags: &str| {
        let line = format!("run {file} --dataset glyphs --limit 60 --output logits.npy {flags}");
        fewbit(folder, &line).expect(0);
        std::fs::read(folder.join("logits.npy")).unwrap()
    };
    let original = logits(&model.display().to_string(), "");
    for (to, quantizers) in
        [("standard", "Round"), ("qcdq", "DequantizeLinear"), ("thresholds", "MultiThreshold")]
    {
        let line = format!("convert {} --to {to} -o {to}.onnx", model.display());
        let shown = fewbit(folder, &line).expect(0).stdout;
        assert!(shown.contains("executed before and after on 8 inputs"), "{shown}");
        assert!(!shown.contains("left as it is"), "{shown}");
        assert!(logits(&format!("{to}.onnx"), "") == original, "{to}");
        let found = fewbit(folder, &format!("inspect {to}.onnx --json")).expect(0).json();
        assert!(
            found["operators"][quantizers].as_u64().unwrap() >= 4,
            "{to}: {}",
            found["operators"]
        );
    }
    let run = fewbit(folder, "inspect standard.onnx --for ort").expect(0);
    assert!(run.stdout.contains("onnxruntime: nothing that it would refuse"), "{}", run.stdout);
}

#[test]
fn what_cannot_be_converted_is_said() {
    let folder = trained().folder();
    let model = trained().model();
    let run = fewbit(folder, &format!("convert {} --to integer -o never.onnx", model.display()))
        .expect(2);
    assert!(run.stderr.contains("without quantizers of this kind"), "{}", run.stderr);
    assert!(!folder.join("never.onnx").exists());
}
