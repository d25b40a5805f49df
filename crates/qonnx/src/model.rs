//! A model that is ready to run.

mod batching;
mod build;
mod execute;
mod info;
mod plan;
mod shapes;

pub(crate) use build::{version, without_calls};
pub use info::TensorInfo;
pub(crate) use shapes::shapes;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use fewbit_onnx::proto::ModelProto;

use crate::error::{Error, NodeLabel};
use crate::ops::Operator;
use crate::options::Options;
use crate::outputs::Outputs;
use crate::tensor::Tensor;
use crate::value::Value;

/// A model that is ready to run. Several threads may run it at the same time.
#[derive(Debug)]
pub struct Model {
    options: Options,
    inputs: Vec<TensorInfo>,
    outputs: Vec<TensorInfo>,
    /// Where each tensor is.
    places: HashMap<String, Place>,
    /// Every tensor, in the order of computation: inputs, stored tensors, results of nodes.
    names: Vec<String>,
    constants: Vec<Tensor>,
    constant_elements: usize,
    /// Names of the tensors that a run computes; those of the inputs come first.
    slots: Vec<String>,
    steps: Vec<Step>,
    output_places: Vec<Place>,
    /// What was found out about the batch for the inputs of the last run.
    batching: Mutex<Option<Arc<batching::Batching>>>,
    /// The plan that was made for the inputs of the last run, or that there is none.
    planned: Mutex<Option<Arc<plan::Planned>>>,
}

/// Where a tensor is while the model runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The same in every run.
    Constant(usize),
    Slot(usize),
}

/// One node of a run.
struct Step {
    label: NodeLabel,
    operator: Box<dyn Operator>,
    inputs: Vec<Option<Place>>,
    /// What the operator is given: constants only if it has not taken them in already.
    given: Vec<Option<Place>>,
    /// Slots, `None` for an output that has no name.
    outputs: Vec<Option<usize>>,
    /// Slots that no later step uses.
    last_uses: Vec<usize>,
    /// True if an output of the model depends on it.
    needed: bool,
}

impl std::fmt::Debug for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {:?} -> {:?}", self.label, self.inputs, self.outputs)
    }
}

impl Model {
    /// Reads a file and prepares it.
    ///
    /// Tensors in other files (external data) are refused.
    ///
    /// # Errors
    /// Those of [`Model::from_proto`], and [`ErrorKind::Io`](crate::ErrorKind::Io), with the file's name.
    pub fn load(path: &Path, options: Options) -> Result<Self, Error> {
        let model = fewbit_onnx::read_model(path).map_err(Error::onnx)?;
        Self::from_proto(&model, options).map_err(|error| error.in_file(path))
    }

    /// Prepares a model: checks it, makes its operators, and works out everything that does not depend on the inputs.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`](crate::ErrorKind::Malformed) if the graph contradicts itself,
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for an operator, attribute or type that is not known,
    /// and whatever a node that depends on nothing but constants meets.
    pub fn from_proto(model: &ModelProto, options: Options) -> Result<Self, Error> {
        build::build(model, options)
    }

    /// Returns how the model computes.
    pub fn options(&self) -> Options {
        self.options
    }

    /// Returns what a run has to be given; stored tensors that old files list as inputs are not among it.
    pub fn inputs(&self) -> &[TensorInfo] {
        &self.inputs
    }

    /// Returns what a run gives back in any case.
    pub fn outputs(&self) -> &[TensorInfo] {
        &self.outputs
    }

    /// Goes through the names of all tensors that a run can give back, in the order in which they are computed.
    pub fn tensor_names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// Returns a tensor that is the same in every run: a stored one, or one that depends on such alone.
    pub fn constant(&self, name: &str) -> Option<&Value> {
        match self.places.get(name)? {
            Place::Constant(index) => Some(self.constants[*index].value()),
            Place::Slot(_) => None,
        }
    }

    /// A constant with the grid that it lies on.
    pub(crate) fn constant_tensor(&self, name: &str) -> Option<&Tensor> {
        match self.places.get(name)? {
            Place::Constant(index) => Some(&self.constants[*index]),
            Place::Slot(_) => None,
        }
    }

    /// Returns how many stages the plan has that the last run followed, or nothing if it went step by step because its graph has none.
    pub fn planned_stages(&self) -> Option<usize> {
        plan::stages(self)
    }

    /// Computes the outputs for these inputs, and gives the tensors named in `keep` back, too.
    ///
    /// The first axis of the inputs may be longer or shorter than the file says: then it is the batch, and each item's
    /// result is that of a run of its own.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownName`](crate::ErrorKind::UnknownName), [`ErrorKind::MissingInput`](crate::ErrorKind::MissingInput),
    /// [`ErrorKind::ShapeMismatch`](crate::ErrorKind::ShapeMismatch) or [`ErrorKind::TypeMismatch`](crate::ErrorKind::TypeMismatch)
    /// for the inputs, and whatever a node meets, with its name.
    pub fn run(&self, inputs: &[(&str, Value)], keep: &[&str]) -> Result<Outputs, Error> {
        let values = self.arrange(inputs)?;
        let wanted = self.wanted(keep)?;
        let change = info::batch_change(&self.inputs, &values)?;
        let at_once = if keep.is_empty() { plan::run(self, &values) } else { None };
        let tensors = match change {
            _ if at_once.is_some() => at_once.unwrap_or_default(),
            None => execute::plain(self, values, &wanted)?,
            Some(change) => batching::run(self, values, &wanted, change)?,
        };
        let names = self.outputs.iter().map(TensorInfo::name);
        let kept = keep.iter().enumerate().filter(|(i, name)| {
            !self.outputs.iter().any(|output| output.name() == **name) && !keep[..*i].contains(name)
        });
        let names = names.chain(kept.map(|(_, name)| *name)).map(str::to_owned);
        Ok(Outputs::new(names.zip(tensors).collect()))
    }

    /// The inputs in the model's order, each checked.
    fn arrange(&self, given: &[(&str, Value)]) -> Result<Vec<Value>, Error> {
        for (i, (name, _)) in given.iter().enumerate() {
            if !self.inputs.iter().any(|input| input.name() == *name) {
                let known = self.inputs.iter().map(TensorInfo::name);
                return Err(Error::unknown_name("input", name, known));
            }
            if given[..i].iter().any(|(other, _)| other == name) {
                return Err(Error::malformed(format_args!("input {name:?} was given twice")));
            }
        }
        let mut values = Vec::with_capacity(self.inputs.len());
        for input in &self.inputs {
            let Some((_, value)) = given.iter().find(|(name, _)| *name == input.name()) else {
                let needed = self.inputs.iter().map(|input| input.name().to_owned()).collect();
                return Err(Error::missing_input(input.name(), needed));
            };
            input.check(value)?;
            values.push(value.clone());
        }
        Ok(values)
    }

    /// Where the tensors are that a run gives back: the outputs, then the others, each once.
    fn wanted(&self, keep: &[&str]) -> Result<Vec<Place>, Error> {
        let mut wanted = self.output_places.clone();
        for (i, name) in keep.iter().enumerate() {
            let Some(&place) = self.places.get(*name) else {
                return Err(Error::unknown_name("tensor", name, self.tensor_names()));
            };
            let output = self.outputs.iter().any(|output| output.name() == *name);
            if !output && !keep[..i].contains(name) {
                wanted.push(place);
            }
        }
        Ok(wanted)
    }
}
