use super::*;
use crate::proto::attribute_proto::AttributeType;
use crate::proto::tensor_proto::DataType;
use crate::proto::{AttributeProto, ValueInfoProto};

fn node(operator: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    NodeProto {
        op_type: Some(operator.to_owned()),
        input: owned(inputs),
        output: owned(outputs),
        ..NodeProto::default()
    }
}

fn info(name: &str) -> ValueInfoProto {
    ValueInfoProto { name: Some(name.to_owned()), ..ValueInfoProto::default() }
}

fn model(nodes: Vec<NodeProto>) -> ModelProto {
    let graph = GraphProto {
        node: nodes,
        input: vec![info("x")],
        output: vec![info("z")],
        initializer: vec![TensorValue::scalar(2.0_f32).to_proto("w")],
        ..GraphProto::default()
    };
    let set = crate::proto::OperatorSetIdProto { domain: None, version: Some(13) };
    ModelProto {
        ir_version: Some(8),
        opset_import: vec![set],
        graph: Some(graph),
        ..ModelProto::default()
    }
}

/// An `If` whose branch uses `y` of the graph around, and has a `w` of its own.
fn with_branch() -> NodeProto {
    let branch = GraphProto {
        node: vec![node("Add", &["y", "w"], &["inner"])],
        initializer: vec![TensorValue::scalar(1.0_f32).to_proto("w")],
        output: vec![info("inner")],
        ..GraphProto::default()
    };
    let attribute = |name: &str| AttributeProto {
        name: Some(name.to_owned()),
        r#type: Some(AttributeType::Graph as i32),
        g: Some(Box::new(branch.clone())),
        ..AttributeProto::default()
    };
    NodeProto {
        attribute: vec![attribute("then_branch"), attribute("else_branch")],
        ..node("If", &["c"], &["z"])
    }
}

fn chain() -> ModelProto {
    model(vec![node("Mul", &["x", "w"], &["y"]), node("Cast", &["y"], &["c"]), with_branch()])
}

#[test]
fn nothing_is_lost() {
    let whole = chain();
    assert_eq!(Graph::new(whole.clone()).unwrap().into_model().unwrap(), whole);
}

#[test]
fn makers_and_users_follow_edits() {
    let mut graph = Graph::new(chain()).unwrap();
    let users = |graph: &Graph, name: &str| {
        graph.users(name).iter().map(|&id| graph.node(id).op_type().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(users(&graph, "y"), ["Cast", "If"]);
    // The branch's own `w` hides the one around.
    assert_eq!(users(&graph, "w"), ["Mul"]);
    let added = graph.add(node("Relu", &["y"], &["positive"])).unwrap();
    graph.redirect("y", "positive");
    graph.edit(added, |node| node.input[0] = "y".to_owned());
    assert_eq!(users(&graph, "y"), ["Relu"]);
    assert_eq!(users(&graph, "positive"), ["Cast", "If"]);
    let sorted: Vec<&str> = graph.sorted().iter().map(|&id| graph.node(id).op_type()).collect();
    assert_eq!(sorted, ["Mul", "Relu", "Cast", "If"]);
    let model = graph.into_model().unwrap();
    let nodes = &model.graph.as_ref().unwrap().node;
    assert_eq!(nodes[1].op_type(), "Relu");
    let branch = nodes[3].attribute[0].g.as_ref().unwrap();
    assert_eq!(branch.node[0].input, ["positive", "w"]);
}

#[test]
fn names_can_be_exchanged() {
    let mut graph = Graph::new(chain()).unwrap();
    graph.annotate("y", "finn_datatype", "INT4");
    let swap = [("y", "w"), ("w", "y"), ("z", "out")];
    let swap = swap.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    graph.rename_all(&swap).unwrap();
    assert_eq!(graph.node(graph.maker("w").unwrap()).input, ["x", "y"]);
    assert_eq!(graph.annotation("w", "finn_datatype"), Some("INT4"));
    assert!(graph.stored("y").is_some() && graph.is_output("out"));
    assert!(graph.rename("c", "out").is_err() && graph.rename("c", "").is_err());
    assert_eq!(graph.fresh("c"), "c_1");
    // The branch's own `w` would now hide the one around: such a file is refused.
    let renamed = graph.into_model();
    assert!(renamed.is_ok() || renamed.unwrap_err().to_string().contains("w"));
}

#[test]
fn what_nothing_uses_goes() {
    let nodes = vec![
        node("Mul", &["x", "w"], &["y"]),
        node("Neg", &["y"], &["idle"]),
        node("Abs", &["idle"], &["more"]),
        node("Relu", &["x"], &["z"]),
    ];
    let mut graph = Graph::new(model(nodes)).unwrap();
    assert_eq!(graph.remove_unused(), Removed { nodes: 3, stored: 1 });
    assert_eq!(graph.nodes().count(), 1);
    assert_eq!(graph.remove_unused(), Removed::default());
    graph.set_type("z", DataType::Float, &[2, 3]);
    assert_eq!(graph.shape("z"), Some(vec![Some(2), Some(3)]));
    assert_eq!(graph.element_type("z"), Some(DataType::Float));
    graph.require("qonnx.custom_op.general", 1);
    assert_eq!(graph.operator_set("qonnx.custom_op.general"), Some(1));
}

#[test]
fn long_chains_do_not_recurse() {
    let name = |i: usize| if i == 0 { "x".to_owned() } else { format!("t{i}") };
    let mut nodes: Vec<NodeProto> =
        (0..100_000).map(|i| node("Relu", &[&name(i)], &[&name(i + 1)])).collect();
    nodes.push(node("Relu", &[&name(100_000)], &["z"]));
    nodes.reverse();
    let graph = Graph::new(model(nodes)).unwrap();
    let order = graph.sorted();
    assert_eq!(graph.node(order[0]).input, ["x"]);
    assert_eq!(order.len(), 100_001);
}
