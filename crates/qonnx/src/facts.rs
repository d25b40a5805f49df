//! What is known about the tensors of a file before it runs: shapes, constants, and the numbers that they hold.

mod format;
mod inference;
mod sources;
mod values;

pub(crate) use format::is_power_of_two;
pub use format::{Scaling, TensorFormat};
pub(crate) use inference::CHANNELS_LAST;
pub use inference::Rules;

use std::collections::{BTreeMap, HashMap};

use fewbit_onnx::proto::tensor_shape_proto::dimension::Value as Size;
use fewbit_onnx::proto::{
    GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, type_proto,
};
use fewbit_onnx::tensor::TensorValue;

use crate::error::Error;
use crate::model::shapes;
use crate::value::value_of;
use crate::value::{DType, Value};
use crate::{Model, Options};

/// A file and what is known about its tensors.
///
/// Shapes are those of a run with the batch of the file. A file that cannot be run is known as far as it tells itself:
/// [`Facts::not_run`] says why.
#[derive(Debug)]
pub struct Facts<'a> {
    proto: &'a ModelProto,
    graph: &'a GraphProto,
    order: Vec<usize>,
    model: Option<Model>,
    not_run: Option<Error>,
    stored: HashMap<&'a str, &'a TensorProto>,
    makers: HashMap<&'a str, usize>,
    shapes: BTreeMap<String, (Option<DType>, Vec<usize>)>,
}

impl<'a> Facts<'a> {
    /// Finds out about a file. Runs it once, on zeros.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`](crate::ErrorKind::Malformed) if the graph contradicts itself.
    pub fn new(proto: &'a ModelProto) -> Result<Self, Error> {
        let order = fewbit_onnx::check::validate(proto).map_err(Error::onnx)?;
        crate::model::without_calls(proto)?;
        let graph = proto.graph.as_ref().ok_or_else(|| Error::malformed("there is no graph"))?;
        let stored = graph.initializer.iter().map(|tensor| (tensor.name(), tensor)).collect();
        let outputs =
            |index: usize| graph.node[index].output.iter().map(move |name| (name.as_str(), index));
        let makers = (0..graph.node.len()).flat_map(outputs).collect();
        let mut facts = Self {
            proto,
            graph,
            order,
            model: None,
            not_run: None,
            stored,
            makers,
            shapes: BTreeMap::new(),
        };
        facts.declared();
        let run = Model::from_proto(proto, Options::default())
            .and_then(|model| shapes(&model).map(|shapes| (model, shapes)));
        match run {
            Ok((model, shapes)) => {
                let shapes =
                    shapes.into_iter().map(|(name, (dtype, shape))| (name, (Some(dtype), shape)));
                facts.shapes.extend(shapes);
                facts.model = Some(model);
            }
            Err(error) => facts.not_run = Some(error),
        }
        Ok(facts)
    }

    /// What the file says about shapes, where it says all of it.
    fn declared(&mut self) {
        let graph = self.graph;
        for info in graph.value_info.iter().chain(&graph.input).chain(&graph.output) {
            if let Some(known) = declared(info) {
                self.shapes.insert(info.name().to_owned(), known);
            }
        }
    }

    /// The file.
    pub fn proto(&self) -> &'a ModelProto {
        self.proto
    }

    /// Its graph.
    pub fn graph(&self) -> &'a GraphProto {
        self.graph
    }

    /// The version of ONNX's operators.
    pub(crate) fn operator_set(&self) -> Option<i64> {
        let mut sets = self.proto.opset_import.iter();
        sets.find(|set| matches!(set.domain(), "" | "ai.onnx")).map(|set| set.version())
    }

    /// The model, if it can be run.
    pub fn model(&self) -> Option<&Model> {
        self.model.as_ref()
    }

    /// Why the model cannot be run.
    pub fn not_run(&self) -> Option<&Error> {
        self.not_run.as_ref()
    }

    /// The nodes in an order of computation.
    pub fn nodes(&self) -> impl Iterator<Item = &'a NodeProto> + '_ {
        self.order.iter().map(|&index| &self.graph.node[index])
    }

    /// The node that makes a tensor.
    pub fn maker(&self, tensor: &str) -> Option<&'a NodeProto> {
        self.makers.get(tensor).map(|&index| &self.graph.node[index])
    }

    /// True if the file stores the tensor.
    pub fn is_stored(&self, tensor: &str) -> bool {
        self.stored.contains_key(tensor)
    }

    /// True if the tensor is the same for every input.
    pub fn is_constant(&self, tensor: &str) -> bool {
        match &self.model {
            Some(model) => model.constant(tensor).is_some(),
            None => {
                self.is_stored(tensor)
                    || self.maker(tensor).is_some_and(|node| {
                        node.input.iter().all(|name| name.is_empty() || self.is_constant(name))
                    })
            }
        }
    }

    /// The value of a tensor that is the same for every input, as far as it can be computed.
    pub fn constant(&self, tensor: &str) -> Option<Value> {
        if let Some(model) = &self.model {
            return model.constant(tensor).cloned();
        }
        let value = TensorValue::from_proto(self.stored.get(tensor)?).ok()?;
        value_of(value, "a tensor").ok()
    }

    /// The value of a tensor that the file stores.
    pub(crate) fn stored(&self, tensor: &str) -> Option<Value> {
        if self.is_stored(tensor) { self.constant(tensor) } else { None }
    }

    /// The shape of a tensor, if it is known.
    pub fn shape(&self, tensor: &str) -> Option<Vec<usize>> {
        if let Some(value) = self.model.as_ref().and_then(|model| model.constant(tensor)) {
            return Some(value.shape().to_vec());
        }
        if let Some((_, shape)) = self.shapes.get(tensor) {
            return Some(shape.clone());
        }
        let dims = self.stored.get(tensor)?.dims.iter();
        dims.map(|&extent| usize::try_from(extent).ok()).collect()
    }

    /// The element type of a tensor, if it is known.
    pub fn dtype(&self, tensor: &str) -> Option<DType> {
        let constant = self.model.as_ref().and_then(|model| model.constant(tensor));
        constant.map(Value::dtype).or_else(|| self.shapes.get(tensor)?.0)
    }

    /// The number of items that the file computes at once: the first extent of its first input.
    pub fn batch(&self) -> Option<usize> {
        let input = self.graph.input.iter().find(|input| !self.is_stored(input.name()))?;
        self.shape(input.name())?.first().copied()
    }

    /// The numbers that each tensor holds.
    pub fn formats(&self, rules: Rules) -> BTreeMap<String, TensorFormat> {
        inference::infer(self, rules)
    }
}

/// True if the file says all of a tensor's shape.
pub(crate) fn is_static(info: &ValueInfoProto) -> bool {
    declared(info).is_some()
}

/// The type and shape of a tensor, if the file says all of it.
fn declared(info: &ValueInfoProto) -> Option<(Option<DType>, Vec<usize>)> {
    let Some(type_proto::Value::TensorType(tensor)) = info.r#type.as_ref()?.value.as_ref() else {
        return None;
    };
    let extent = |size: &Option<Size>| match size {
        Some(Size::DimValue(extent)) if *extent > 0 => usize::try_from(*extent).ok(),
        _ => None,
    };
    let shape = tensor.shape.as_ref()?.dim.iter().map(|dim| extent(&dim.value));
    let shape = shape.collect::<Option<Vec<usize>>>()?;
    let dtype = crate::ops::data_type(tensor.elem_type.unwrap_or(0).into(), "the element type");
    Some((dtype.ok(), shape))
}

/// Bits of an element as it lies in memory.
pub(crate) fn bits_of(dtype: DType) -> u32 {
    match dtype {
        DType::F64 | DType::I64 | DType::U64 => 64,
        DType::F32 | DType::I32 | DType::U32 => 32,
        DType::I16 | DType::U16 | DType::F16 | DType::Bf16 => 16,
        DType::I4 | DType::U4 | DType::F4E2M1 => 4,
        DType::I2 | DType::U2 => 2,
        DType::F6E2M3 | DType::F6E3M2 => 6,
        _ => 8,
    }
}
