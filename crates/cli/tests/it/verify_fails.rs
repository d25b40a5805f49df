//! Verification fails when it has to: one spoiled number in a file is found and named.

use std::fs;
use std::path::Path;

use fewbit_onnx::proto::{AttributeProto, ModelProto, NodeProto, TensorProto};
use serde_json::Value;

use crate::harness::{Run, fewbit, trained};

/// What verification says about the exported file after `spoil` changed it.
fn verify(name: &str, spoil: impl FnOnce(&mut ModelProto)) -> (Run, Value) {
    let trained = trained();
    let mut model = fewbit_onnx::read_model(&trained.model()).unwrap();
    spoil(&mut model);
    let path = trained.folder().join(format!("{name}.onnx"));
    fs::write(&path, fewbit_onnx::encode(&model)).unwrap();
    verify_file(&path)
}

fn verify_file(path: &Path) -> (Run, Value) {
    let trained = trained();
    let checkpoint = trained.checkpoint("best.safetensors");
    let report = path.with_extension("json");
    let line = format!(
        "verify {} {} --limit 200 --report {} --json --quiet",
        checkpoint.display(),
        path.display(),
        report.display()
    );
    let run = fewbit(trained.folder(), &line);
    let document = run.json();
    let written: Value = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
    assert_eq!(written, document, "the file holds what is printed");
    (run, document)
}

/// The node of the `nth` operator of a type.
fn node<'a>(model: &'a mut ModelProto, op_type: &str, nth: usize) -> &'a mut NodeProto {
    let nodes = model.graph.as_mut().unwrap().node.iter_mut();
    nodes.filter(|node| node.op_type() == op_type).nth(nth).unwrap()
}

fn attribute<'a>(node: &'a mut NodeProto, name: &str) -> &'a mut AttributeProto {
    node.attribute.iter_mut().find(|attribute| attribute.name() == name).unwrap()
}

fn initializer<'a>(model: &'a mut ModelProto, name: &str) -> &'a mut TensorProto {
    let tensors = model.graph.as_mut().unwrap().initializer.iter_mut();
    tensors.into_iter().find(|tensor| tensor.name() == name).unwrap()
}

/// Changes one `f32` of an initializer that is stored as raw bytes.
fn change(tensor: &mut TensorProto, index: usize, change: impl FnOnce(f32) -> f32) {
    let mut bytes = tensor.raw_data.as_deref().unwrap().to_vec();
    let place = index * 4..index * 4 + 4;
    let old = f32::from_le_bytes(bytes[place.clone()].try_into().unwrap());
    let new = change(old);
    assert_ne!(old.to_bits(), new.to_bits(), "the change changes nothing");
    bytes[place].copy_from_slice(&new.to_le_bytes());
    tensor.raw_data = Some(bytes.into());
}

fn differing_constants(document: &Value) -> Vec<String> {
    let differ = document["constants"]["differ"].as_array().unwrap();
    differ.iter().map(|entry| entry["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_file_itself_is_right() {
    let (run, document) = verify("right", |_| {});
    run.expect(0);
    assert_eq!(document["identical"], true);
    assert_eq!(document["values_differ"], 0);
    assert_eq!(document["predictions_differ"], 0);
    assert_eq!(document["images"], 200);
    assert_eq!(document["first_difference"], Value::Null);
    assert_eq!(document["constants"]["constants_differ"], 0);
    // Input, 3 hidden layers of 4 tensors, the last layer and its scaling: nothing is passed over.
    assert!(document["tensors_compared"].as_u64().unwrap() >= 12, "{document:#}");
    assert!(document["values_compared"].as_u64().unwrap() >= 200 * (784 + 3 * 3 * 64 + 2 * 10));
    assert!(document["constants"]["initializers_compared"].as_u64().unwrap() >= 20);
    // What runs without inner tensors, follows a plan.
    let plan = &document["plan"];
    assert_eq!((&plan["stages"], &plan["values_differ"]), (&5.into(), &0.into()), "{plan}");
    assert_eq!(plan["values_compared"], 200 * 10);
}

/// The output of the `nth` node of a type in the exported file.
fn output_of(op_type: &str, nth: usize) -> String {
    let mut model = fewbit_onnx::read_model(&trained().model()).unwrap();
    node(&mut model, op_type, nth).output[0].clone()
}

/// The input of the `nth` node of a type in the exported file.
fn input_of(op_type: &str, nth: usize, input: usize) -> String {
    let mut model = fewbit_onnx::read_model(&trained().model()).unwrap();
    node(&mut model, op_type, nth).input[input].clone()
}

#[test]
fn a_weight() {
    // The first layer's weights enter the first MatMul or Gemm, by way of their quantizer.
    let weight = input_of_weight_quantizer();
    let (run, document) = verify("weight", |model| {
        change(initializer(model, &weight), 5, |w| if w > 0.0 { -1.0 } else { 1.0 });
    });
    run.expect(1);
    assert_eq!(document["identical"], false);
    assert!(document["values_differ"].as_u64().unwrap() > 0);
    assert_eq!(document["first_difference"]["image"], 0, "{document:#}");
    assert!(differing_constants(&document).contains(&weight), "{document:#}");
}

#[test]
fn a_weight_that_quantizes_to_the_same_value() {
    let weight = input_of_weight_quantizer();
    let (run, document) = verify("same", |model| {
        let tensor = initializer(model, &weight);
        // One unit in the last place does not reach another value of a 2-bit grid.
        change(tensor, 7, |w| f32::from_bits(w.to_bits() ^ 1));
    });
    run.expect(1);
    assert_eq!(document["values_differ"], 0, "{document:#}");
    assert_eq!(differing_constants(&document), [weight]);
}

/// The name of the float weights of the first layer.
fn input_of_weight_quantizer() -> String {
    let model = fewbit_onnx::read_model(&trained().model()).unwrap();
    let graph = model.graph.unwrap();
    let weights = graph.initializer.iter().find(|t| t.dims.iter().product::<i64>() == 784 * 64);
    weights.unwrap().name().to_owned()
}

#[test]
fn a_scale() {
    // The first Quant node quantizes the image or the first weights; its scale is its second input.
    for nth in [0, 1] {
        let scale = input_of("Quant", nth, 1);
        let (run, document) = verify(&format!("scale{nth}"), |model| {
            let tensor = initializer(model, &scale);
            change(tensor, 0, |s| s * 1.5);
        });
        run.expect(1);
        assert!(document["values_differ"].as_u64().unwrap() > 0, "{scale}");
        assert!(differing_constants(&document).contains(&scale), "{document:#}");
    }
}

#[test]
fn an_attribute() {
    type Spoil = fn(&mut AttributeProto);
    let cases: [(&str, usize, &str, Spoil); 5] = [
        ("Quant", 0, "narrow", |a| a.i = a.i.map(|i| 1 - i)),
        ("Quant", 1, "narrow", |a| a.i = a.i.map(|i| 1 - i)),
        ("Quant", 1, "signed", |a| a.i = a.i.map(|i| 1 - i)),
        ("Quant", 0, "rounding_mode", |a| a.s = Some(b"FLOOR".to_vec().into())),
        ("BatchNormalization", 1, "epsilon", |a| a.f = Some(0.25)),
    ];
    for (op_type, nth, name, spoil) in cases {
        let mut spoiled = String::new();
        let (run, document) = verify(&format!("{op_type}_{nth}_{name}"), |model| {
            let node = node(model, op_type, nth);
            spoiled = format!("{}.{name}", node.name());
            spoil(attribute(node, name));
        });
        run.expect(1);
        assert_eq!(differing_constants(&document), [spoiled], "{document:#}");
    }
}

/// Left out, an attribute has its default, which may be what the weights happen to survive.
#[test]
fn an_attribute_that_is_missing_or_of_a_renamed_node() {
    for (nth, name) in [(0, "narrow"), (1, "narrow"), (1, "rounding_mode")] {
        let mut spoiled = String::new();
        let (run, document) = verify(&format!("without_{nth}_{name}"), |model| {
            let node = node(model, "Quant", nth);
            spoiled = format!("{}.{name}", node.name());
            node.attribute.retain(|attribute| attribute.name() != name);
        });
        run.expect(1);
        assert_eq!(differing_constants(&document), [spoiled], "{document:#}");
    }
    // Nodes go by what they make: another name hides nothing.
    let mut spoiled = String::new();
    let (run, document) = verify("renamed", |model| {
        let node = node(model, "Quant", 0);
        spoiled = format!("{}.narrow", node.name());
        node.name = Some("renamed".into());
        let narrow = attribute(node, "narrow");
        narrow.i = narrow.i.map(|i| 1 - i);
    });
    run.expect(1);
    assert_eq!(differing_constants(&document), [spoiled], "{document:#}");
}

#[test]
fn a_threshold() {
    // What decides where an activation changes is the bias and the mean of its batch normalization.
    for (nth, input) in [(0, 2), (1, 3), (2, 2)] {
        let name = input_of("BatchNormalization", nth, input);
        let output = output_of("BatchNormalization", nth);
        let (run, document) = verify(&format!("threshold_{nth}_{input}"), |model| {
            change(initializer(model, &name), 3, |b| b + 0.5);
        });
        run.expect(1);
        let first = &document["first_difference"];
        assert_eq!(first["tensor"], output.as_str(), "{document:#}");
        assert_eq!((&first["index"], &first["image"]), (&3.into(), &0.into()));
        assert!(first["trainer"] != first["file"]);
        assert_eq!(differing_constants(&document), [name]);
    }
}

#[test]
fn the_difference_is_named_in_words() {
    let trained = trained();
    let name = input_of("BatchNormalization", 0, 2);
    let output = output_of("BatchNormalization", 0);
    let mut model = fewbit_onnx::read_model(&trained.model()).unwrap();
    change(initializer(&mut model, &name), 3, |b| b + 0.5);
    let path = trained.folder().join("words.onnx");
    fs::write(&path, fewbit_onnx::encode(&model)).unwrap();
    let line = format!("verify experiments {} --limit 50 --report words.json", path.display());
    let run = fewbit(trained.folder(), &line).expect(1);
    assert!(run.stdout.contains("DIFFERENT"), "{}", run.stdout);
    assert!(run.stdout.contains(&output) && run.stdout.contains(&name), "{}", run.stdout);
}

/// A file that no executor takes, because of a number in it, differs; one that lacks what the format demands
/// as well.
#[test]
fn a_file_that_cannot_be_executed() {
    let bit_width = input_of("Quant", 1, 3);
    type Spoil = Box<dyn Fn(&mut ModelProto)>;
    let cases: [(&str, Spoil, &str); 3] = [
        (
            "bits",
            Box::new({
                let bit_width = bit_width.clone();
                move |model| change(initializer(model, &bit_width), 0, |_| -3.0)
            }),
            &bit_width,
        ),
        (
            "operator",
            Box::new(|model| node(model, "BatchNormalization", 0).op_type = Some("Batch".into())),
            "Batch",
        ),
        (
            "permutation",
            Box::new(|model| {
                let transpose = node(model, "Transpose", 0);
                attribute(transpose, "perm").ints = vec![1, 1];
            }),
            "perm",
        ),
    ];
    for (name, spoil, words) in cases {
        let (run, document) = verify(name, spoil);
        run.expect(1);
        assert_eq!((&document["identical"], &document["executed"]), (&false.into(), &false.into()));
        assert_eq!(document["images"], 0);
        assert!(!document["execution_error"].as_str().unwrap().is_empty());
        let differ = document["constants"]["differ"].to_string();
        assert!(differ.contains(words), "{name}: {differ}");
    }
    // In words, too.
    let path = trained().folder().join("bits.onnx");
    let line = format!("verify experiments {} --limit 20 --report bits_words.json", path.display());
    let run = fewbit(trained().folder(), &line).expect(1);
    assert!(run.stdout.contains("cannot be executed") && run.stdout.contains("DIFFERENT"));
}

/// Gives every tensor between input and output another name.
fn rename_all(model: &mut ModelProto) {
    let graph = model.graph.as_mut().unwrap();
    let ends: Vec<String> =
        graph.input.iter().chain(&graph.output).map(|info| info.name().to_owned()).collect();
    let rename = |name: &mut String| {
        if !name.is_empty() && !ends.contains(name) {
            *name = format!("other_{name}");
        }
    };
    for node in &mut graph.node {
        node.input.iter_mut().chain(&mut node.output).for_each(rename);
    }
    graph.initializer.iter_mut().filter_map(|tensor| tensor.name.as_mut()).for_each(rename);
    graph.value_info.iter_mut().filter_map(|info| info.name.as_mut()).for_each(rename);
}

#[test]
fn renamed_tensors_are_compared_by_their_place() {
    let (run, right) = verify("right_again", |_| {});
    run.expect(0);
    let (run, document) = verify("all_renamed", rename_all);
    run.expect(0);
    for key in ["tensors_compared", "values_compared", "tensors_only_in_trainer"] {
        assert_eq!(document[key], right[key], "{key}");
    }
    assert_eq!(right["tensors_renamed"], 0);
    assert!(document["tensors_renamed"].as_u64().unwrap() >= 12, "{document:#}");
    for key in ["initializers_compared", "attributes_compared", "constants_differ"] {
        assert_eq!(document["constants"][key], right["constants"][key], "{key}");
    }
    // A weight that changes nothing that is computed is found under its new name.
    let weight = input_of_weight_quantizer();
    let (run, document) = verify("renamed_and_spoiled", |model| {
        change(initializer(model, &weight), 7, |w| f32::from_bits(w.to_bits() ^ 1));
        rename_all(model);
    });
    run.expect(1);
    assert_eq!(differing_constants(&document), [weight]);
    // An inner difference is found where it begins.
    let bias = input_of("BatchNormalization", 0, 2);
    let output = output_of("BatchNormalization", 0);
    let (run, document) = verify("renamed_and_wrong", |model| {
        change(initializer(model, &bias), 3, |b| b + 0.5);
        rename_all(model);
    });
    run.expect(1);
    assert_eq!(document["first_difference"]["tensor"], output.as_str());
}

/// Where the graph is another one, what has no counterpart is said.
#[test]
fn tensors_without_counterpart_are_named() {
    let trained = trained();
    let mut model = fewbit_onnx::read_model(&trained.model()).unwrap();
    rename_all(&mut model);
    // An operator of no effect before the output: all that is behind it has another place.
    let graph = model.graph.as_mut().unwrap();
    let output = graph.output[0].name().to_owned();
    let last = graph.node.last_mut().unwrap();
    assert_eq!(last.output, std::slice::from_ref(&output));
    last.output = vec!["before".to_owned()];
    graph.node.push(NodeProto {
        op_type: Some("Identity".to_owned()),
        name: Some("nothing".to_owned()),
        input: vec!["before".to_owned()],
        output: vec![output],
        ..NodeProto::default()
    });
    let path = trained.folder().join("other_graph.onnx");
    fs::write(&path, fewbit_onnx::encode(&model)).unwrap();
    let (_, document) = verify_file(&path);
    assert_eq!(document["values_differ"], 0);
    assert!(document["tensors_only_in_trainer"].as_array().unwrap().len() >= 10);
    let line = format!("verify experiments {} --limit 20 --report other.json", path.display());
    let run = fewbit(trained.folder(), &line);
    assert!(run.stdout.contains("NOT COMPARED: "), "{}", run.stdout);
    assert!(run.stdout.contains("neither by name nor by place"), "{}", run.stdout);
}

/// What was found is told, also where it cannot be written.
#[test]
fn findings_that_cannot_be_written() {
    let trained = trained();
    let name = input_of("BatchNormalization", 0, 2);
    let mut model = fewbit_onnx::read_model(&trained.model()).unwrap();
    change(initializer(&mut model, &name), 3, |b| b + 0.5);
    let spoiled = trained.folder().join("unwritten.onnx");
    fs::write(&spoiled, fewbit_onnx::encode(&model)).unwrap();
    for (file, code, verdict) in [(trained.model(), 2, "IDENTICAL"), (spoiled, 1, "DIFFERENT")] {
        let line = format!(
            "verify experiments {} --limit 20 --report missing/folder/v.json",
            file.display()
        );
        let run = fewbit(trained.folder(), &line).expect(code);
        assert!(run.stdout.contains(verdict), "{}", run.stdout);
        assert!(run.stderr.contains("error: cannot write missing/folder/v.json"), "{}", run.stderr);
        let run = fewbit(trained.folder(), &format!("{line} --json --quiet")).expect(code);
        assert_eq!(run.json()["identical"], code == 2);
        assert!(run.stderr.contains("cannot write"), "{}", run.stderr);
    }
}
