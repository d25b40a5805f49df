use prost::Message as _;

use super::{Field, Message};
use crate::proto::*;

/// What prost makes of field `number` of a message, found out by decoding values of all wire types.
fn field<M: prost::Message + Default + PartialEq>(number: u32) -> Option<bool> {
    let decoded = |wire_type: u32, value: &[u8]| {
        let mut bytes = Vec::new();
        prost::encoding::encode_varint(u64::from(number << 3 | wire_type), &mut bytes);
        bytes.extend_from_slice(value);
        M::decode(bytes.as_slice())
    };
    let wire_types: [(u32, &[u8]); 4] = [(0, &[1]), (1, &[1; 8]), (2, &[1, 1]), (5, &[1; 4])];
    let ignored = |(wire_type, value): &(u32, &[u8])| {
        decoded(*wire_type, value).is_ok_and(|message| message == M::default())
    };
    if wire_types.iter().all(ignored) {
        return None;
    }
    // Eight bytes that any field takes as its value but a message, where wire type 7 is no type.
    Some(decoded(2, &[8, 15, 15, 15, 15, 15, 15, 15, 15]).is_err_and(|error| {
        let text = error.to_string();
        text.contains("invalid wire type value: 7")
    }))
}

fn check<M: prost::Message + Default + PartialEq>(message: Message) -> usize {
    let mut known = 0;
    for number in 1..=64 {
        let expected = match message.field(number) {
            Field::Unknown => None,
            Field::Value => Some(false),
            Field::Message(_) => Some(true),
        };
        assert_eq!(field::<M>(number), expected, "{message:?} field {number}");
        known += usize::from(expected.is_some());
    }
    assert_eq!(message.memory(), size_of::<M>(), "{message:?}");
    let name = std::any::type_name::<M>().rsplit("::").next().unwrap();
    assert_eq!(message.name().rsplit('.').next().unwrap(), name);
    known
}

#[test]
fn the_table_knows_what_the_messages_know() {
    let known = [
        check::<ModelProto>(Message::Model),
        check::<OperatorSetIdProto>(Message::OperatorSetId),
        check::<StringStringEntryProto>(Message::StringStringEntry),
        check::<TrainingInfoProto>(Message::TrainingInfo),
        check::<FunctionProto>(Message::Function),
        check::<GraphProto>(Message::Graph),
        check::<NodeProto>(Message::Node),
        check::<ValueInfoProto>(Message::ValueInfo),
        check::<TensorAnnotation>(Message::TensorAnnotation),
        check::<AttributeProto>(Message::Attribute),
        check::<TensorProto>(Message::Tensor),
        check::<tensor_proto::Segment>(Message::Segment),
        check::<SparseTensorProto>(Message::SparseTensor),
        check::<TensorShapeProto>(Message::TensorShape),
        check::<tensor_shape_proto::Dimension>(Message::Dimension),
        check::<TypeProto>(Message::Type),
        check::<type_proto::Tensor>(Message::TypeTensor),
        check::<type_proto::Sequence>(Message::TypeSequence),
        check::<type_proto::Map>(Message::TypeMap),
        check::<type_proto::Optional>(Message::TypeOptional),
        check::<type_proto::SparseTensor>(Message::TypeSparseTensor),
        check::<type_proto::Opaque>(Message::TypeOpaque),
        check::<DeviceConfigurationProto>(Message::DeviceConfiguration),
        check::<NodeDeviceConfigurationProto>(Message::NodeDeviceConfiguration),
        check::<ShardingSpecProto>(Message::ShardingSpec),
        check::<IntIntListEntryProto>(Message::IntIntListEntry),
        check::<ShardedDimProto>(Message::ShardedDim),
        check::<SimpleShardedDimProto>(Message::SimpleShardedDim),
    ];
    assert_eq!((known.len(), known.iter().sum::<usize>()), (28, 134));
}

/// That a field holds this message and no other: an unknown field inside is attributed rightly.
#[test]
fn the_table_names_the_right_inner_messages() {
    let model = ModelProto {
        graph: Some(GraphProto {
            node: vec![NodeProto {
                attribute: vec![AttributeProto {
                    t: Some(Box::default()),
                    g: Some(Box::default()),
                    tp: Some(Box::new(TypeProto {
                        value: Some(type_proto::Value::MapType(type_proto::Map::default())),
                        denotation: None,
                    })),
                    ..AttributeProto::default()
                }],
                ..NodeProto::default()
            }],
            ..GraphProto::default()
        }),
        ..ModelProto::default()
    };
    let bytes = model.encode_to_vec();
    assert_eq!(crate::wire::scan(&bytes).unwrap(), []);
}
