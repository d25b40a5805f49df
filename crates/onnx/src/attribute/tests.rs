use crate::ErrorKind;
use crate::proto::attribute_proto::AttributeType;
use crate::proto::{AttributeProto, NodeProto, TensorProto};

fn node(attributes: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        name: Some("conv1".to_owned()),
        op_type: Some("Quant".to_owned()),
        domain: Some("qonnx.custom_op.general".to_owned()),
        attribute: attributes,
        ..NodeProto::default()
    }
}

fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        r#type: Some(kind as i32),
        ..AttributeProto::default()
    }
}

#[test]
fn values_of_every_type() {
    use AttributeType as Type;
    let strings = vec![b"a".to_vec().into(), "ü".into()];
    let node = node(vec![
        AttributeProto { i: Some(-3), ..attribute("int", Type::Int) },
        AttributeProto { f: Some(0.5), ..attribute("float", Type::Float) },
        AttributeProto { s: Some("ROUND".into()), ..attribute("string", Type::String) },
        AttributeProto { ints: vec![1, 2], ..attribute("ints", Type::Ints) },
        AttributeProto { floats: vec![1.5], ..attribute("floats", Type::Floats) },
        AttributeProto { strings, ..attribute("strings", Type::Strings) },
        AttributeProto { t: Some(Box::default()), ..attribute("tensor", Type::Tensor) },
        AttributeProto { g: Some(Box::default()), ..attribute("graph", Type::Graph) },
    ]);
    assert_eq!(node.int("int").unwrap(), Some(-3));
    assert_eq!(node.float("float").unwrap(), Some(0.5));
    assert_eq!(node.string("string").unwrap(), Some("ROUND"));
    assert_eq!(node.ints("ints").unwrap(), Some([1, 2].as_slice()));
    assert_eq!(node.floats("floats").unwrap(), Some([1.5].as_slice()));
    assert_eq!(node.strings("strings").unwrap(), Some(vec!["a", "ü"]));
    assert_eq!(node.tensor("tensor").unwrap(), Some(&TensorProto::default()));
    assert!(node.graph("graph").unwrap().is_some());
    for missing in ["", "INT", "i"] {
        assert_eq!(node.int(missing).unwrap(), None);
    }
}

#[test]
fn a_number_that_was_left_out_is_zero_and_a_list_is_empty() {
    // Programs that follow proto3 leave zeros out.
    let node = node(vec![attribute("i", AttributeType::Int), attribute("l", AttributeType::Ints)]);
    assert_eq!(node.int("i").unwrap(), Some(0));
    assert_eq!(node.ints("l").unwrap(), Some([].as_slice()));
}

#[test]
fn the_first_files_do_not_state_the_type() {
    let untyped = AttributeProto { r#type: None, ..attribute("axis", AttributeType::Int) };
    let node = node(vec![AttributeProto { i: Some(1), ..untyped }]);
    assert_eq!(node.int("axis").unwrap(), Some(1));
    assert!(node.float("axis").is_err());
}

#[test]
fn another_type_is_an_error_that_names_the_node() {
    let place = "node `conv1` (`Quant` of `qonnx.custom_op.general`): ";
    let cases = [
        (attribute("k", AttributeType::Float), "attribute `k` is FLOAT, expected INT"),
        (attribute("k", AttributeType::TypeProtos), "attribute `k` is TYPE_PROTOS, expected INT"),
        (
            AttributeProto { r#type: Some(99), ..attribute("k", AttributeType::Int) },
            "attribute `k` is of type number 99, expected INT",
        ),
        (
            AttributeProto { r#type: None, ..attribute("k", AttributeType::Int) },
            "attribute `k` is without a type and a value, expected INT",
        ),
        (
            AttributeProto {
                ref_attr_name: Some("o".into()),
                ..attribute("k", AttributeType::Int)
            },
            "attribute `k` is a reference to an attribute of a function, expected INT",
        ),
    ];
    for (attribute, expected) in cases {
        let error = node(vec![attribute]).int("k").unwrap_err();
        assert_eq!(error.to_string(), format!("{place}{expected}"));
        assert_eq!(error.kind(), ErrorKind::Attribute);
    }
    let text =
        AttributeProto { s: Some(vec![0xff].into()), ..attribute("k", AttributeType::String) };
    let error = node(vec![text]).string("k").unwrap_err().to_string();
    assert_eq!(error, format!("{place}attribute `k` is `\u{fffd}`, expected UTF-8"));
    let empty =
        node(vec![attribute("k", AttributeType::Tensor)]).tensor("k").unwrap_err().to_string();
    assert_eq!(empty, format!("{place}attribute `k` is without a value, expected TENSOR"));
    let missing = node(vec![]).missing("k").to_string();
    assert_eq!(missing, format!("{place}there is no attribute `k`"));
}
