//! The messages of an ONNX file, field for field.
//!
//! Names, numbers, types and presence are those of the proto2 schema of ONNX 1.23 (IR version 14), so
//! that a file that is read and written again keeps every byte. An `Option` tells "not there" from
//! "there, and zero"; the methods of the same name give the value or its default. Bytes are slices
//! of the file: decoding copies no weights.
//!
//! Nothing here is checked: see [`crate::check`] and [`crate::tensor`].

mod attribute;
mod device;
mod graph;
mod model;
mod tensor;
mod types;

pub use attribute::{AttributeProto, attribute_proto};
pub use device::{
    DeviceConfigurationProto, IntIntListEntryProto, NodeDeviceConfigurationProto, ShardedDimProto,
    ShardingSpecProto, SimpleShardedDimProto, simple_sharded_dim_proto,
};
pub use graph::{GraphProto, NodeProto, TensorAnnotation, ValueInfoProto};
pub use model::{
    FunctionProto, IR_VERSION, ModelProto, OperatorSetIdProto, StringStringEntryProto,
    TrainingInfoProto,
};
pub use tensor::{SparseTensorProto, TensorProto, tensor_proto};
pub use types::{TensorShapeProto, TypeProto, tensor_shape_proto, type_proto};
