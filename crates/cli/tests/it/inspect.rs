//! What `fewbit inspect` tells, and its exit code.

use crate::harness::{fewbit, trained};

#[test]
fn a_trained_network() {
    let folder = trained().folder();
    let model = trained().model();
    let shown = fewbit(folder, &format!("inspect {}", model.display())).expect(0).stdout;
    for words in ["MatMul", "int2", "stored numbers", "(--constants)"] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let line = format!("inspect {} --ranges --inputs pixels --json", model.display());
    let found = fewbit(folder, &line).expect(0).json();
    let sums = &found["ranges"]["accumulators"];
    assert_eq!(sums.as_array().unwrap().len(), 4);
    assert_eq!(sums[0]["terms"], 784);
    // At most 784 products of codes up to 2 * 2.
    assert!(sums[0]["bits"].as_u64().unwrap() <= 13, "{sums}");
    assert_eq!(found["stored"]["weight_bits"], 2 * 59_008);
}

#[test]
fn a_refusal_is_exit_code_1() {
    let folder = trained().folder();
    let model = trained().model();
    let line = format!("inspect {} --for qonnx --for ort", model.display());
    let shown = fewbit(folder, &line).expect(1).stdout;
    assert!(shown.contains("qonnx: nothing that it would refuse"), "{shown}");
    assert!(shown.contains("onnxruntime: refuses the file"), "{shown}");
    let found = fewbit(folder, &format!("{line} --json")).expect(1).json();
    assert_eq!(found["lints"][0]["accepted"], true);
    assert_eq!(found["lints"][1]["findings"][0]["rule"], "operator");
    fewbit(folder, &format!("inspect {} --ranges --input-range 1 0", model.display())).expect(2);
    fewbit(folder, "inspect nothing.onnx").expect(2);
}
