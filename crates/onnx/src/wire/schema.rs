//! Which fields the messages have: the one thing that `prost` does not tell at run time.
//!
//! The tests hold this table against the messages of [`crate::proto`], field by field.

use crate::proto;

/// The messages of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message {
    Model,
    OperatorSetId,
    StringStringEntry,
    TrainingInfo,
    Function,
    Graph,
    Node,
    ValueInfo,
    TensorAnnotation,
    Attribute,
    Tensor,
    Segment,
    SparseTensor,
    TensorShape,
    Dimension,
    Type,
    TypeTensor,
    TypeSequence,
    TypeMap,
    TypeOptional,
    TypeSparseTensor,
    TypeOpaque,
    DeviceConfiguration,
    NodeDeviceConfiguration,
    ShardingSpec,
    IntIntListEntry,
    ShardedDim,
    SimpleShardedDim,
}

/// What a field number means in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Unknown,
    Value,
    Message(Message),
}

impl Message {
    pub(super) fn field(self, number: u32) -> Field {
        use Field::{Message as Inner, Unknown, Value};
        match (self, number) {
            (Self::Model, 1..=6) => Value,
            (Self::Model, 7) => Inner(Self::Graph),
            (Self::Model, 8) => Inner(Self::OperatorSetId),
            (Self::Model, 14) => Inner(Self::StringStringEntry),
            (Self::Model, 20) => Inner(Self::TrainingInfo),
            (Self::Model, 25) => Inner(Self::Function),
            (Self::Model, 26) => Inner(Self::DeviceConfiguration),

            (Self::OperatorSetId | Self::StringStringEntry | Self::Segment, 1 | 2) => Value,

            (Self::TrainingInfo, 1 | 2) => Inner(Self::Graph),
            (Self::TrainingInfo, 3 | 4) => Inner(Self::StringStringEntry),

            (Self::Function, 1 | 4..=6 | 8 | 10 | 13) => Value,
            (Self::Function, 7) => Inner(Self::Node),
            (Self::Function, 9) => Inner(Self::OperatorSetId),
            (Self::Function, 11) => Inner(Self::Attribute),
            (Self::Function, 12) => Inner(Self::ValueInfo),
            (Self::Function, 14) => Inner(Self::StringStringEntry),

            (Self::Graph, 1) => Inner(Self::Node),
            (Self::Graph, 2 | 10) => Value,
            (Self::Graph, 5) => Inner(Self::Tensor),
            (Self::Graph, 11..=13) => Inner(Self::ValueInfo),
            (Self::Graph, 14) => Inner(Self::TensorAnnotation),
            (Self::Graph, 15) => Inner(Self::SparseTensor),
            (Self::Graph, 16) => Inner(Self::StringStringEntry),

            (Self::Node, 1..=4 | 6..=8) => Value,
            (Self::Node, 5) => Inner(Self::Attribute),
            (Self::Node, 9) => Inner(Self::StringStringEntry),
            (Self::Node, 10) => Inner(Self::NodeDeviceConfiguration),

            (Self::ValueInfo, 1 | 3) => Value,
            (Self::ValueInfo, 2) => Inner(Self::Type),
            (Self::ValueInfo, 4) => Inner(Self::StringStringEntry),

            (Self::TensorAnnotation, 1) => Value,
            (Self::TensorAnnotation, 2) => Inner(Self::StringStringEntry),

            (Self::Attribute, 1..=4 | 7..=9 | 13 | 20 | 21) => Value,
            (Self::Attribute, 5 | 10) => Inner(Self::Tensor),
            (Self::Attribute, 6 | 11) => Inner(Self::Graph),
            (Self::Attribute, 14 | 15) => Inner(Self::Type),
            (Self::Attribute, 22 | 23) => Inner(Self::SparseTensor),

            (Self::Tensor, 1 | 2 | 4..=12 | 14) => Value,
            (Self::Tensor, 3) => Inner(Self::Segment),
            (Self::Tensor, 13 | 16) => Inner(Self::StringStringEntry),

            (Self::SparseTensor, 1 | 2) => Inner(Self::Tensor),
            (Self::SparseTensor, 3) => Value,

            (Self::TensorShape, 1) => Inner(Self::Dimension),
            (Self::Dimension | Self::SimpleShardedDim, 1..=3) => Value,

            (Self::Type, 1) => Inner(Self::TypeTensor),
            (Self::Type, 4) => Inner(Self::TypeSequence),
            (Self::Type, 5) => Inner(Self::TypeMap),
            (Self::Type, 6) => Value,
            (Self::Type, 7) => Inner(Self::TypeOpaque),
            (Self::Type, 8) => Inner(Self::TypeSparseTensor),
            (Self::Type, 9) => Inner(Self::TypeOptional),
            (Self::TypeTensor | Self::TypeSparseTensor | Self::TypeMap, 1) => Value,
            (Self::TypeTensor | Self::TypeSparseTensor, 2) => Inner(Self::TensorShape),
            (Self::TypeMap, 2) => Inner(Self::Type),
            (Self::TypeSequence | Self::TypeOptional, 1) => Inner(Self::Type),
            (Self::TypeOpaque, 1 | 2) => Value,

            (Self::DeviceConfiguration, 1..=3) => Value,
            (Self::NodeDeviceConfiguration, 1 | 3) => Value,
            (Self::NodeDeviceConfiguration, 2) => Inner(Self::ShardingSpec),
            (Self::ShardingSpec, 1 | 2) => Value,
            (Self::ShardingSpec, 3) => Inner(Self::IntIntListEntry),
            (Self::ShardingSpec, 4) => Inner(Self::ShardedDim),
            (Self::IntIntListEntry, 1 | 2) => Value,
            (Self::ShardedDim, 1) => Value,
            (Self::ShardedDim, 2) => Inner(Self::SimpleShardedDim),

            _ => Unknown,
        }
    }

    pub(super) fn name(self) -> &'static str {
        self.name_and_memory().0
    }

    /// The bytes of memory that an empty message takes.
    pub(super) fn memory(self) -> usize {
        self.name_and_memory().1
    }

    fn name_and_memory(self) -> (&'static str, usize) {
        match self {
            Self::Model => ("ModelProto", size_of::<proto::ModelProto>()),
            Self::OperatorSetId => ("OperatorSetIdProto", size_of::<proto::OperatorSetIdProto>()),
            Self::StringStringEntry => {
                ("StringStringEntryProto", size_of::<proto::StringStringEntryProto>())
            }
            Self::TrainingInfo => ("TrainingInfoProto", size_of::<proto::TrainingInfoProto>()),
            Self::Function => ("FunctionProto", size_of::<proto::FunctionProto>()),
            Self::Graph => ("GraphProto", size_of::<proto::GraphProto>()),
            Self::Node => ("NodeProto", size_of::<proto::NodeProto>()),
            Self::ValueInfo => ("ValueInfoProto", size_of::<proto::ValueInfoProto>()),
            Self::TensorAnnotation => ("TensorAnnotation", size_of::<proto::TensorAnnotation>()),
            Self::Attribute => ("AttributeProto", size_of::<proto::AttributeProto>()),
            Self::Tensor => ("TensorProto", size_of::<proto::TensorProto>()),
            Self::Segment => ("TensorProto.Segment", size_of::<proto::tensor_proto::Segment>()),
            Self::SparseTensor => ("SparseTensorProto", size_of::<proto::SparseTensorProto>()),
            Self::TensorShape => ("TensorShapeProto", size_of::<proto::TensorShapeProto>()),
            Self::Dimension => {
                ("TensorShapeProto.Dimension", size_of::<proto::tensor_shape_proto::Dimension>())
            }
            Self::Type => ("TypeProto", size_of::<proto::TypeProto>()),
            Self::TypeTensor => ("TypeProto.Tensor", size_of::<proto::type_proto::Tensor>()),
            Self::TypeSequence => ("TypeProto.Sequence", size_of::<proto::type_proto::Sequence>()),
            Self::TypeMap => ("TypeProto.Map", size_of::<proto::type_proto::Map>()),
            Self::TypeOptional => ("TypeProto.Optional", size_of::<proto::type_proto::Optional>()),
            Self::TypeSparseTensor => {
                ("TypeProto.SparseTensor", size_of::<proto::type_proto::SparseTensor>())
            }
            Self::TypeOpaque => ("TypeProto.Opaque", size_of::<proto::type_proto::Opaque>()),
            Self::DeviceConfiguration => {
                ("DeviceConfigurationProto", size_of::<proto::DeviceConfigurationProto>())
            }
            Self::NodeDeviceConfiguration => {
                ("NodeDeviceConfigurationProto", size_of::<proto::NodeDeviceConfigurationProto>())
            }
            Self::ShardingSpec => ("ShardingSpecProto", size_of::<proto::ShardingSpecProto>()),
            Self::IntIntListEntry => {
                ("IntIntListEntryProto", size_of::<proto::IntIntListEntryProto>())
            }
            Self::ShardedDim => ("ShardedDimProto", size_of::<proto::ShardedDimProto>()),
            Self::SimpleShardedDim => {
                ("SimpleShardedDimProto", size_of::<proto::SimpleShardedDimProto>())
            }
        }
    }
}

#[cfg(test)]
mod tests;
