//! What `fewbit prove` says, and its exit code.

use fewbit_onnx::builder::{GraphBuilder, Node};
use fewbit_onnx::tensor::TensorValue;

use crate::harness::{fewbit, trained};

#[test]
fn a_trained_network_is_proved() {
    let folder = trained().folder();
    let lines = "export experiments -o proved.onnx";
    fewbit(folder, lines).expect(0);
    let run = fewbit(folder, "prove proved.onnx --report proof.json").expect(0);
    assert!(run.stdout.contains("proved for all inputs: every engine"), "{}", run.stdout);
    assert!(run.stdout.contains("certificate: proof.json"), "{}", run.stdout);
    let written = std::fs::read_to_string(folder.join("proof.json")).unwrap();
    let written: serde_json::Value = serde_json::from_str(&written).unwrap();
    assert_eq!(written["proved_for_all_inputs"], true);
    assert_eq!(written["normalizations"]["disagreements"], 0);

    let line = "verify experiments proved.onnx --limit 100 --prove --json --report v.json";
    let verified = fewbit(folder, line).expect(0).json();
    assert_eq!(verified["proof"]["verdict"], "proved_for_all_inputs");
    assert_eq!(verified["proof"]["sums"]["limit_units"], 1 << 24);
}

/// Weights off every grid: exit code 1, and the layer by its name.
#[test]
fn what_cannot_be_proved_is_said() {
    let folder = tempfile::TempDir::new().unwrap();
    let mut graph = GraphBuilder::new("bare");
    graph.input("x", &[1, 2]).unwrap();
    graph.initializer("w", &TensorValue::new([2, 1], vec![0.1_f32, 0.7]).unwrap()).unwrap();
    graph.add(Node::standard("product", "MatMul").inputs(["x", "w"]).output("y", &[1, 1])).unwrap();
    graph.output("y").unwrap();
    let model = graph.finish("test", "1.0").unwrap();
    fewbit_onnx::write_model(&folder.path().join("bare.onnx"), &model).unwrap();
    let run = fewbit(folder.path(), "prove bare.onnx").expect(1);
    assert!(
        run.stdout
            .contains("not provable: product (MatMul): its input or its weights lie on no grid"),
        "{}",
        run.stdout
    );
    assert!(run.stdout.contains("`--dataset NAME` tries"), "{}", run.stdout);
    let json = fewbit(folder.path(), "prove bare.onnx --json --inputs pixels").expect(1).json();
    assert_eq!(json["verdict"], "not_provable");
    assert_eq!(json["inputs"], "pixels k / 255 for k from 0 to 255");
    fewbit(folder.path(), "prove missing.onnx").expect(2);
}

/// Scales below one make infinity of huge numbers: the statement is about pixels then.
#[test]
fn scaled_minifloats_are_proved_for_all_images() {
    let folder = tempfile::TempDir::new().unwrap();
    let network = "base = \"RESNET18_5W5A_FLOAT_E3M1\"\n\
        [normalization]\nmean = [0.5, 0.25, 0.125]\nstd = [0.5, 0.25, 0.3]\n\
        [architecture]\nwidths = [16]\nblocks = [1]\n\
        [architecture.quantizers]\nweight_scaling = \"per_channel\"\nact_scaling = \"statistics\"\n\
        scale_restriction = \"power_of_two_ceil\"\n";
    std::fs::write(folder.path().join("mine.toml"), network).unwrap();
    let line = "train --network mine.toml --dataset shapes --limit 60 --batch_size 20 --epochs 1 \
                --lr 0.001 --loss CrossEntropy --export_qonnx --json";
    let trained = fewbit(folder.path(), line).expect(0).json();
    assert_eq!(trained["verification"]["identical"], true);
    let line = "verify experiments --limit 20 --prove --json";
    let proof = &fewbit(folder.path(), line).expect(0).json()["proof"];
    assert_eq!(proof["proved_for_all_inputs"], true);
    assert_eq!(proof["inputs"], "pixels k / 255 for k from 0 to 255");
    let file = trained["verification"]["model"].as_str().unwrap();
    let proof = fewbit(folder.path(), &format!("prove {file} --inputs any --json")).expect(1);
    assert_eq!(proof.json()["verdict"], "not_provable");
}
