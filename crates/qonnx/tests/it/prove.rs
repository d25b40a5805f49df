//! Proofs for every input: real networks, networks with a flaw, and networks small enough to try every input.

mod every_input;
mod flaw;
mod goldens;

use std::path::Path;

use fewbit_onnx::proto::ModelProto;

fn read(path: &Path) -> ModelProto {
    fewbit_onnx::read_model(path).unwrap()
}

/// The first input of a model.
fn input(model: &ModelProto) -> String {
    let graph = model.graph.as_ref().unwrap();
    let stored = |name: &str| graph.initializer.iter().any(|tensor| tensor.name() == name);
    graph.input.iter().map(|input| input.name()).find(|name| !stored(name)).unwrap().to_owned()
}
