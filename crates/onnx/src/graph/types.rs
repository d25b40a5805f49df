//! Types and shapes of tensors, as the file states them.

use super::Graph;
use crate::proto::tensor_proto::DataType;
use crate::proto::tensor_shape_proto::{Dimension, dimension};
use crate::proto::{TensorShapeProto, TypeProto, ValueInfoProto, type_proto};

impl Graph {
    /// The shape that the file states, as far as it is numbers; stored tensors have theirs.
    pub fn shape(&self, tensor: &str) -> Option<Vec<Option<usize>>> {
        if let Some(stored) = self.stored(tensor) {
            return Some(stored.dims.iter().map(|&extent| usize::try_from(extent).ok()).collect());
        }
        let Some(type_proto::Value::TensorType(tensor)) =
            self.info(tensor)?.r#type.as_ref()?.value.as_ref()
        else {
            return None;
        };
        let extent = |dim: &Dimension| match dim.value {
            Some(dimension::Value::DimValue(extent)) if extent > 0 => usize::try_from(extent).ok(),
            _ => None,
        };
        Some(tensor.shape.as_ref()?.dim.iter().map(extent).collect())
    }

    /// The element type that the file states.
    pub fn element_type(&self, tensor: &str) -> Option<DataType> {
        let number = match self.stored(tensor) {
            Some(stored) => stored.data_type,
            None => match self.info(tensor)?.r#type.as_ref()?.value.as_ref()? {
                type_proto::Value::TensorType(tensor) => tensor.elem_type,
                _ => None,
            },
        };
        DataType::try_from(number?).ok()
    }

    /// States type and shape of a tensor. Notes of the file about it stay.
    pub fn set_type(&mut self, tensor: &str, data_type: DataType, shape: &[usize]) {
        let dim = |&extent: &usize| Dimension {
            value: Some(dimension::Value::DimValue(extent as i64)),
            denotation: None,
        };
        let shape = TensorShapeProto { dim: shape.iter().map(dim).collect() };
        let stated = type_proto::Tensor { elem_type: Some(data_type as i32), shape: Some(shape) };
        let stated =
            TypeProto { value: Some(type_proto::Value::TensorType(stated)), denotation: None };
        let graph = &mut self.graph;
        let mut infos =
            graph.input.iter_mut().chain(&mut graph.output).chain(&mut graph.value_info);
        match infos.find(|info| info.name() == tensor) {
            Some(info) => info.r#type = Some(stated),
            None => graph.value_info.push(ValueInfoProto {
                name: Some(tensor.to_owned()),
                r#type: Some(stated),
                ..ValueInfoProto::default()
            }),
        }
        // An input that is an output as well is listed twice.
        let again = graph.output.iter_mut().find(|info| info.name() == tensor);
        let first = graph.input.iter().find(|info| info.name() == tensor);
        if let (Some(again), Some(first)) = (again, first) {
            again.r#type.clone_from(&first.r#type);
        }
    }

    /// Forgets the shapes of tensors between inputs and outputs, and the first extent of outputs.
    pub fn forget_shapes(&mut self) {
        self.graph.value_info.clear();
        for output in &mut self.graph.output {
            if let Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), .. }) =
                &mut output.r#type
                && let Some(first) = tensor.shape.as_mut().and_then(|shape| shape.dim.first_mut())
            {
                first.value = None;
            }
        }
    }

    pub(super) fn info(&self, tensor: &str) -> Option<&ValueInfoProto> {
        let graph = &self.graph;
        let mut infos = graph.input.iter().chain(&graph.output).chain(&graph.value_info);
        infos.find(|info| info.name() == tensor)
    }
}
