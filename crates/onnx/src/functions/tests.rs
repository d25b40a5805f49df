use super::*;
use crate::check::validate;
use crate::proto::{GraphProto, ValueInfoProto};

fn node(op: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    NodeProto {
        op_type: Some(op.to_owned()),
        input: names(inputs),
        output: names(outputs),
        ..NodeProto::default()
    }
}

fn function(name: &str, inputs: &[&str], outputs: &[&str], nodes: Vec<NodeProto>) -> FunctionProto {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    FunctionProto {
        name: Some(name.to_owned()),
        input: names(inputs),
        output: names(outputs),
        node: nodes,
        ..FunctionProto::default()
    }
}

fn model(nodes: Vec<NodeProto>, functions: Vec<FunctionProto>) -> ModelProto {
    let value =
        |name: &str| ValueInfoProto { name: Some(name.to_owned()), ..ValueInfoProto::default() };
    let graph = GraphProto {
        node: nodes,
        input: vec![value("x")],
        output: vec![value("y")],
        ..GraphProto::default()
    };
    ModelProto { graph: Some(graph), functions, ..ModelProto::default() }
}

/// `op(inputs) -> outputs` of each node.
fn shown(model: &ModelProto) -> Vec<String> {
    let nodes = model.graph.iter().flat_map(|graph| &graph.node);
    nodes
        .map(|n| format!("{}({}) -> {}", n.op_type(), n.input.join(","), n.output.join(",")))
        .collect()
}

#[test]
fn calls_inside_of_calls() {
    let inner = function("Inner", &["a"], &["b"], vec![node("Neg", &["a"], &["b"])]);
    let outer = function(
        "Outer",
        &["a", "b"],
        &["d"],
        vec![
            node("Inner", &["a"], &["c"]),
            node("Inner", &["c"], &["e"]),
            node("Add", &["e", "b"], &["d"]),
        ],
    );
    let calls = vec![
        node("Outer", &["x", "x"], &["Outer/c"]),
        NodeProto { name: Some("second".to_owned()), ..node("Outer", &["Outer/c", "x"], &["y"]) },
    ];
    let model = model(calls, vec![inner, outer]);
    let inlined = inline(&model).unwrap();
    let expected = [
        "Neg(x) -> Outer/c_2",
        "Neg(Outer/c_2) -> Outer/e",
        "Add(Outer/e,x) -> Outer/c",
        "Neg(Outer/c) -> second/c",
        "Neg(second/c) -> second/e",
        "Add(second/e,x) -> y",
    ];
    assert_eq!(shown(&inlined), expected);
    validate(&inlined).unwrap();
    assert!(inlined.functions.is_empty());
    // The names of nodes say where they come from.
    assert_eq!(inlined.graph.as_ref().unwrap().node[0].name(), "Outer/Inner/Neg");
}

#[test]
fn attributes_come_from_the_call_or_are_defaults() {
    let reference = |name: &str, of: &str| AttributeProto {
        name: Some(name.to_owned()),
        ref_attr_name: Some(of.to_owned()),
        r#type: Some(AttributeType::Int as i32),
        ..AttributeProto::default()
    };
    let value = |name: &str, i: i64| AttributeProto {
        name: Some(name.to_owned()),
        i: Some(i),
        r#type: Some(AttributeType::Int as i32),
        ..AttributeProto::default()
    };
    let attribute = vec![
        reference("axis", "given"),
        reference("keepdims", "default"),
        reference("select_last_index", "absent"),
    ];
    let inner = NodeProto { attribute, ..node("ArgMax", &["a"], &["b"]) };
    let function = FunctionProto {
        attribute_proto: vec![value("default", 0)],
        ..function("F", &["a"], &["b"], vec![inner])
    };
    let call = NodeProto { attribute: vec![value("given", 3)], ..node("F", &["x"], &["y"]) };
    let model = model(vec![call], vec![function]);
    let inlined = inline(&model).unwrap();
    let node = &inlined.graph.as_ref().unwrap().node[0];
    assert_eq!(node.attribute, [value("axis", 3), value("keepdims", 0)]);
}

#[test]
fn what_is_left_out_and_what_is_passed_on() {
    let body = vec![node("Clip", &["a", "low", "high"], &["b"]), node("Neg", &["b"], &["c"])];
    let function = function("F", &["a", "low", "high"], &["a", "b", "b", "c"], body);
    let call = node("F", &["x", "", "x"], &["copy", "y", "again"]);
    let model = model(vec![call], vec![function]);
    let inlined = inline(&model).unwrap();
    let expected =
        ["Clip(x,,x) -> y", "Neg(y) -> F/c", "Identity(x) -> copy", "Identity(y) -> again"];
    assert_eq!(shown(&inlined), expected);
}

#[test]
fn models_without_calls_stay() {
    let unused = function("F", &["a"], &["b"], vec![node("Neg", &["a"], &["b"])]);
    let model = model(vec![node("Relu", &["x"], &["y"])], vec![unused]);
    assert!(matches!(inline(&model).unwrap(), Cow::Borrowed(_)));
}

#[test]
fn what_has_no_end_is_refused() {
    let call = || vec![node("F0", &["x"], &["y"])];
    let circle = vec![
        function("F0", &["a"], &["b"], vec![node("F1", &["a"], &["b"])]),
        function("F1", &["a"], &["b"], vec![node("F0", &["a"], &["b"])]),
    ];
    let doubling = (0..40)
        .map(|i| {
            let next = format!("F{}", i + 1);
            let body = vec![node(&next, &["a"], &["c"]), node(&next, &["c"], &["b"])];
            function(&format!("F{i}"), &["a"], &["b"], body)
        })
        .collect();
    let chain = (0..200)
        .map(|i| {
            let body = vec![node(&format!("F{}", i + 1), &["a"], &["b"])];
            function(&format!("F{i}"), &["a"], &["b"], body)
        })
        .collect();
    let many = vec![function("F0", &[], &["b"], vec![node("Neg", &["a"], &["b"])])];
    let set = |version| OperatorSetIdProto { domain: None, version: Some(version) };
    let old = FunctionProto {
        opset_import: vec![set(9)],
        ..function("F0", &["a"], &["b"], vec![node("Neg", &["a"], &["b"])])
    };
    let cases = [
        (circle, "the function calls itself"),
        (doubling, "the functions make too many nodes"),
        (chain, "calls are nested too deep"),
        (many, "1 inputs, expected at most 0"),
        (vec![old], "operator set `` in version 9"),
    ];
    for (functions, expected) in cases {
        let model = ModelProto { opset_import: vec![set(18)], ..model(call(), functions) };
        let error = inline(&model).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}\nexpected {expected}");
    }
}
