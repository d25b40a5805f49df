use super::validate;
use crate::proto::attribute_proto::AttributeType;
use crate::proto::tensor_proto::DataType;
use crate::proto::*;
use crate::tensor::TensorValue;

/// `name: op_type(inputs) -> outputs`.
fn node(name: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    NodeProto {
        name: Some(name.to_owned()),
        op_type: Some("Op".to_owned()),
        input: inputs.iter().map(|&input| input.to_owned()).collect(),
        output: outputs.iter().map(|&output| output.to_owned()).collect(),
        ..NodeProto::default()
    }
}

fn value(name: &str) -> ValueInfoProto {
    ValueInfoProto { name: Some(name.to_owned()), ..ValueInfoProto::default() }
}

fn typed(name: &str, elem_type: i32, dims: &[i64]) -> ValueInfoProto {
    let dim = |&size: &i64| tensor_shape_proto::Dimension {
        value: Some(tensor_shape_proto::dimension::Value::DimValue(size)),
        denotation: None,
    };
    let tensor = type_proto::Tensor {
        elem_type: Some(elem_type),
        shape: Some(TensorShapeProto { dim: dims.iter().map(dim).collect() }),
    };
    let value = Some(type_proto::Value::TensorType(tensor));
    ValueInfoProto { r#type: Some(TypeProto { value, denotation: None }), ..self::value(name) }
}

fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        r#type: Some(kind as i32),
        ..AttributeProto::default()
    }
}

fn inner(graph: GraphProto) -> AttributeProto {
    AttributeProto { g: Some(Box::new(graph)), ..attribute("body", AttributeType::Graph) }
}

fn weight() -> TensorProto {
    TensorValue::new([2, 3], vec![0.5_f32; 6]).unwrap().to_proto("w")
}

/// x -> a -> b -> y, with a stored tensor.
fn graph() -> GraphProto {
    GraphProto {
        input: vec![value("x")],
        initializer: vec![weight()],
        node: vec![node("a", &["x", "w"], &["t"]), node("b", &["t", "", "x"], &["y", ""])],
        output: vec![value("y")],
        ..GraphProto::default()
    }
}

fn model(graph: GraphProto) -> ModelProto {
    ModelProto {
        ir_version: Some(8),
        opset_import: vec![OperatorSetIdProto { domain: None, version: Some(13) }],
        graph: Some(graph),
        ..ModelProto::default()
    }
}

#[test]
fn nodes_in_order_stay_in_order() {
    assert_eq!(validate(&model(graph())).unwrap(), [0, 1]);
}

#[test]
fn nodes_are_sorted_and_the_first_of_the_file_comes_first() {
    let mut graph = graph();
    graph.node = vec![
        node("d", &["p", "q"], &["y"]),
        node("c", &["x"], &["q"]),
        node("a", &["x", "w"], &["p"]),
        // Used twice by one node, and by nobody.
        node("e", &["p", "p"], &["unused"]),
    ];
    assert_eq!(validate(&model(graph)).unwrap(), [1, 2, 0, 3]);
}

#[test]
fn an_input_of_the_graph_may_have_a_default() {
    let mut graph = graph();
    graph.input.push(typed("w", DataType::Float as i32, &[2, 3]));
    validate(&model(graph)).unwrap();
}

#[test]
fn inner_graphs_use_what_is_around_and_count_as_uses() {
    let body = GraphProto {
        node: vec![node("in", &["t", "x"], &["r"])],
        output: vec![value("r")],
        ..GraphProto::default()
    };
    let deeper = GraphProto {
        node: vec![NodeProto { attribute: vec![inner(body)], ..node("if", &["x"], &["s"]) }],
        output: vec![value("s")],
        ..GraphProto::default()
    };
    let mut graph = graph();
    // The body's use of `t`, two graphs down, puts this node behind the one that makes it.
    graph.node.insert(0, NodeProto { attribute: vec![inner(deeper)], ..node("o", &["x"], &["z"]) });
    assert_eq!(validate(&model(graph.clone())).unwrap(), [1, 0, 2]);
    graph.node[1].input[0] = "z".to_owned();
    let error = validate(&model(graph)).unwrap_err().to_string();
    assert!(error.contains("in a circle: `o`, `a`"), "{error}");
}

#[test]
fn functions_are_checked_and_may_refer_to_their_attributes() {
    let reference = AttributeProto {
        ref_attr_name: Some("alpha".to_owned()),
        ..attribute("a", AttributeType::Float)
    };
    let function = |name: &str, input: &str| FunctionProto {
        name: Some(name.to_owned()),
        input: vec!["u".to_owned()],
        output: vec!["v".to_owned()],
        node: vec![NodeProto { attribute: vec![reference.clone()], ..node("f", &[input], &["v"]) }],
        ..FunctionProto::default()
    };
    let with = |functions| ModelProto { functions, ..model(graph()) };
    validate(&with(vec![function("F", "u"), function("G", "u")])).unwrap();
    let error = validate(&with(vec![function("F", "x")])).unwrap_err().to_string();
    assert!(
        error.starts_with("function `F`: node `f` (`Op`): input 0 is `x`, which nothing"),
        "{error}"
    );
    let error =
        validate(&with(vec![function("F", "u"), function("F", "u")])).unwrap_err().to_string();
    assert!(error.contains("two functions of one name"), "{error}");
}

#[test]
fn what_is_wrong_is_named() {
    type Spoil = fn(&mut ModelProto);
    fn graph(model: &mut ModelProto) -> &mut GraphProto {
        model.graph.as_mut().unwrap()
    }
    fn attributes(model: &mut ModelProto) -> &mut Vec<AttributeProto> {
        &mut graph(model).node[0].attribute
    }
    let cases: &[(Spoil, &str)] = &[
        (|m| m.graph = None, "the model has no graph, expected a graph"),
        (|m| m.opset_import.clear(), "node `a` (`Op`): the standard operator set is not imported"),
        (
            |m| m.opset_import[0].version = Some(0),
            "operator set ``: version 0, expected at least 1",
        ),
        (
            |m| {
                let again = OperatorSetIdProto { domain: Some("ai.onnx".into()), version: Some(9) };
                m.opset_import.push(again);
            },
            "operator set `ai.onnx`: it is imported twice",
        ),
        (|m| graph(m).input[0].name = None, "input 0 has no name"),
        (|m| graph(m).input.push(value("x")), "tensor `x`: two inputs of the graph have this name"),
        (
            |m| graph(m).output.push(value("y")),
            "tensor `y`: two outputs of the graph have this name",
        ),
        (|m| graph(m).output[0].name = Some(String::new()), "output 0 of the graph has no name"),
        (
            |m| graph(m).output[0] = value("no"),
            "output 0 of the graph is `no`, which nothing defines",
        ),
        (|m| graph(m).initializer[0].name = None, "initializer 0 has no name"),
        (|m| graph(m).initializer.push(weight()), "tensor `w`: two initializers have this name"),
        (
            |m| graph(m).initializer.clear(),
            "node `a` (`Op`): input 1 is `w`, which nothing defines, expected an input, an initializer \
             or the output of a node",
        ),
        (
            |m| graph(m).node[1].output[0] = "t".into(),
            "node `b` (`Op`): it makes `t`, which node `a` (`Op`) defines already",
        ),
        (
            |m| graph(m).node[1].output[0] = "x".into(),
            "makes `x`, which an input of the graph defines",
        ),
        (
            |m| graph(m).node[1].output[0] = "w".into(),
            "makes `w`, which an initializer defines already",
        ),
        (
            |m| graph(m).node[0].input[0] = "y".into(),
            "in a circle: `a`, `b`, expected a graph without",
        ),
        (|m| graph(m).node[1].input[1] = "y".into(), "in a circle: `b`, expected"),
        (|m| graph(m).node[0].op_type = None, "node `a` (``): it has no operator"),
        (
            |m| graph(m).node.push(node("c", &[], &[])),
            "node `c` (`Op`): it has neither inputs nor outputs",
        ),
        (|m| graph(m).initializer[0].dims[0] = 4, "tensor `w`: 24 bytes in raw_data, expected 48"),
        (|m| graph(m).initializer[0].dims[0] = -1, "tensor `w`: dimension 0 of [-1, 3] is -1"),
        (
            |m| graph(m).initializer[0].data_type = Some(77),
            "tensor `w`: the element type number 77",
        ),
        (
            |m| graph(m).initializer[0].data_type = None,
            "tensor `w`: the tensor has no element type",
        ),
        (
            |m| graph(m).value_info.push(typed("w", 7, &[2, 3])),
            "tensor `w`: elements of FLOAT are stored, expected INT64, the stated type",
        ),
        (
            |m| graph(m).input.push(typed("w", 1, &[3, 2])),
            "tensor `w`: shape [2, 3] is stored, expected [3, 2], the stated shape",
        ),
        (|m| graph(m).value_info.push(typed("t", 0, &[])), "tensor `t`: a tensor type without an"),
        (|m| graph(m).output[0] = typed("y", 99, &[]), "tensor `y`: the element type number 99"),
        (|m| graph(m).value_info.push(typed("t", 1, &[2, -3])), "tensor `t`: a dimension of -3"),
        (
            |m| attributes(m).push(AttributeProto::default()),
            "node `a` (`Op`): attribute 0 has no name",
        ),
        (
            |m| attributes(m).extend(vec![attribute("k", AttributeType::Int); 2]),
            "node `a` (`Op`): attribute `k`: it is there twice",
        ),
        (
            |m| {
                attributes(m)
                    .push(AttributeProto { r#type: None, ..attribute("k", AttributeType::Int) })
            },
            "attribute `k`: it has neither a type nor a value",
        ),
        (
            |m| {
                attributes(m)
                    .push(AttributeProto { f: Some(1.0), ..attribute("k", AttributeType::Int) })
            },
            "attribute `k`: it holds FLOAT, expected INT",
        ),
        (
            |m| {
                let unknown =
                    AttributeProto { r#type: Some(33), ..attribute("k", AttributeType::Undefined) };
                attributes(m).push(unknown);
            },
            "attribute `k`: the attribute type number 33, expected 1 to 14",
        ),
        (
            |m| {
                let reference = Some("z".to_owned());
                let refers = AttributeProto {
                    ref_attr_name: reference,
                    ..attribute("k", AttributeType::Int)
                };
                attributes(m).push(refers);
            },
            "attribute `k`: it refers to an attribute of a function",
        ),
        (
            |m| {
                let t = Some(Box::new(TensorProto { raw_data: None, ..weight() }));
                attributes(m).push(AttributeProto { t, ..attribute("k", AttributeType::Tensor) });
            },
            "attribute `k`: tensor `w`: 0 values in float_data, expected 6",
        ),
        (
            |m| {
                let body = GraphProto { output: vec![value("q")], ..GraphProto::default() };
                attributes(m).push(inner(body));
            },
            "node `a` (`Op`): attribute `body`: output 0 of the graph is `q`, which nothing defines",
        ),
    ];
    let mut failures = Vec::new();
    for (spoil, expected) in cases {
        let mut model = model(self::graph());
        spoil(&mut model);
        match validate(&model) {
            Ok(_) => failures.push(format!("accepted: {expected}")),
            Err(error) if error.to_string().contains(expected) => {}
            Err(error) => failures.push(format!("{error}\n  but expected: {expected}")),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn a_long_cycle_and_many_nodes() {
    let count = 50_000;
    let name = |i: usize| format!("t{i}");
    let mut graph = graph();
    graph.node = (0..count).rev().map(|i| node("", &[&name(i)], &[&name(i + 1)])).collect();
    graph.node.push(node("first", &["x"], &["t0"]));
    graph.output = vec![value(&name(count))];
    let order = validate(&model(graph.clone())).unwrap();
    assert_eq!((order[0], order[count]), (count, 0));
    graph.node[count].input[0] = name(count);
    let error = validate(&model(graph)).unwrap_err().to_string();
    assert!(error.contains(" and 49995 more, expected"), "{error}");
}
