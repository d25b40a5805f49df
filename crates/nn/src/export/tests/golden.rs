//! The published exporter's files, node for node.

use std::collections::BTreeMap;
use std::path::Path;

use fewbit_onnx::proto::{AttributeProto, GraphProto, ModelProto, NodeProto};
use fewbit_onnx::read_model;
use fewbit_onnx::tensor::{TensorData, TensorValue};

use crate::config::NetworkConfig;
use crate::device::Device;
use crate::export::to_qonnx;
use crate::network::{Network, StateTensor, Strictness};

/// Where a tensor comes from, whatever it is called.
#[derive(Debug, PartialEq)]
enum Source {
    Input,
    /// Output of a node.
    Node(usize),
    Stored(TensorValue),
}

fn sources(graph: &GraphProto, node: &NodeProto) -> Vec<Source> {
    let source = |name: &String| {
        let maker = graph.node.iter().position(|node| node.output.contains(name));
        let stored = graph.initializer.iter().find(|tensor| tensor.name() == name);
        match (maker, stored) {
            (Some(node), _) => Source::Node(node),
            (None, Some(tensor)) => Source::Stored(TensorValue::from_proto(tensor).unwrap()),
            (None, None) => Source::Input,
        }
    };
    node.input.iter().map(source).collect()
}

/// What the operator set of our files does not have yet; the published ones say it with its default.
const NEWER: [&str; 2] = ["allowzero", "training_mode"];

fn attributes(node: &NodeProto) -> Vec<AttributeProto> {
    let mut attributes = node.attribute.clone();
    attributes.retain(|attribute| {
        let newer = NEWER.contains(&attribute.name());
        assert!(!newer || attribute.i() == 0, "{attribute:?}");
        !newer
    });
    attributes
}

/// The weights of a file, under the names that the network gives them.
fn state_of(golden: &ModelProto, network: &Network) -> BTreeMap<String, StateTensor> {
    let own = network.state();
    let mut state = BTreeMap::new();
    for tensor in &golden.graph.as_ref().unwrap().initializer {
        if own.contains_key(tensor.name()) {
            let (dims, data) = TensorValue::from_proto(tensor).unwrap().into_parts();
            let TensorData::F32(values) = data else { panic!("{} is no f32", tensor.name()) };
            state.insert(tensor.name().to_owned(), StateTensor::f32(&dims, values));
        }
    }
    state
}

/// A variance that gives `sum` with the offset.
fn variance_of(sum: f32) -> f32 {
    let near = sum - 1e-4;
    let candidates = [near, near.next_up(), near.next_down()];
    candidates.into_iter().find(|v| v + 1e-4 == sum).expect("the file holds a sum")
}

#[test]
fn the_published_exporter_writes_the_same_nodes() {
    let Some(shared) = std::env::var_os("FEWBIT_SHARED") else {
        println!("skipped: FEWBIT_SHARED is not set");
        return;
    };
    let mut compared = 0;
    for name in ["TFC_1W1A", "TFC_1W2A", "TFC_2W2A", "SFC_1W1A", "SFC_1W2A", "SFC_2W2A"] {
        let file = format!("golden/d_nets/{}.onnx", name.to_lowercase());
        let golden = read_model(&Path::new(&shared).join(file)).unwrap();
        let config = NetworkConfig::named(name).unwrap();
        let mut network = Network::new(&config, 1, &Device::cpu()).unwrap();
        let mut state = state_of(&golden, &network);
        let theirs = golden.graph.as_ref().unwrap();
        let pow = theirs.node.iter().find(|node| node.op_type() == "Pow").unwrap();
        let Source::Stored(sum) = &sources(theirs, pow)[0] else { panic!("{name}: {pow:?}") };
        let variance = variance_of(sum.f32_scalar().unwrap());
        state.insert("features.15.running_var".into(), StateTensor::f32(&[1], vec![variance]));
        let report = network.load_state(&state, Strictness::Lenient).unwrap();
        let counters = |name: &&String| !name.ends_with("num_batches_tracked");
        assert_eq!(report.missing.iter().find(counters), None, "{name}");

        let ours = to_qonnx(&network).unwrap().graph.unwrap();
        assert_eq!(ours.node.len(), theirs.node.len(), "{name}");
        for (ours_node, theirs_node) in ours.node.iter().zip(&theirs.node) {
            let place = format!("{name}: {} and {}", ours_node.name(), theirs_node.name());
            assert_eq!(ours_node.op_type(), theirs_node.op_type(), "{place}");
            assert_eq!(ours_node.domain(), theirs_node.domain(), "{place}");
            assert_eq!(attributes(ours_node), attributes(theirs_node), "{place}");
            assert!(
                sources(&ours, ours_node) == sources(theirs, theirs_node),
                "{place}: other inputs"
            );
            compared += 1;
        }
    }
    assert_eq!(compared, 6 * 27);
}
