//! From a file to a model that is ready to run.

use std::collections::HashMap;
use std::sync::Mutex;

use fewbit_onnx::proto::{GraphProto, ModelProto, NodeProto, TensorProto};
use fewbit_onnx::tensor::TensorValue;
use fewbit_onnx::{check, functions};

use super::{Model, Place, Step, TensorInfo};
use crate::attributes::Attributes;
use crate::error::{Error, Fault, NodeLabel};
use crate::ops::{self, Context, Inputs};
use crate::options::Options;
use crate::tensor::Tensor;
use crate::value::value_of;

/// Elements that constants may have in all, beside [`GROWTH`] for each that is stored.
const CONSTANTS: usize = 1 << 24;

/// How many elements constants may have for each element that is stored.
const GROWTH: usize = 64;

pub(super) fn build(model: &ModelProto, options: Options) -> Result<Model, Error> {
    // What the file itself says an operator does stands before what is known about it.
    check::validate(model).map_err(Error::onnx)?;
    let model = &*functions::inline(model).map_err(Error::onnx)?;
    let order = check::validate(model).map_err(Error::onnx)?;
    let graph = model.graph.as_ref().ok_or_else(|| Error::malformed("there is no graph"))?;
    if graph.output.is_empty() {
        return Err(Error::malformed("the graph has no output"));
    }
    let mut builder = Builder::new(graph, options)?;
    for index in order {
        let node = &graph.node[index];
        builder.node(index, node, version(model, node.domain()))?;
    }
    builder.finish(graph)
}

/// Refuses a model with calls of its own functions: whoever looks at nodes one by one looks at one where they are replaced.
pub(crate) fn without_calls(model: &ModelProto) -> Result<(), Error> {
    match functions::inline(model).map_err(Error::onnx)? {
        std::borrow::Cow::Borrowed(_) => Ok(()),
        std::borrow::Cow::Owned(_) => {
            let what =
                "a call of one of the model's functions, which `functions::inline` replaces,";
            Err(Error::tensor("the model", Fault::unsupported(what)))
        }
    }
}

/// The version of an operator set: qonnx takes 1 for those that a file does not list, and 11 for ONNX itself.
pub(crate) fn version(model: &ModelProto, domain: &str) -> i64 {
    let domain = canonical(domain);
    let listed = model.opset_import.iter().find(|set| canonical(set.domain()) == domain);
    let default = if domain.is_empty() { ops::DEFAULT_VERSION } else { 1 };
    listed.map_or(default, |set| set.version())
}

/// ONNX's own operators go by two names.
fn canonical(domain: &str) -> &str {
    if domain == "ai.onnx" { "" } else { domain }
}

fn label(index: usize, node: &NodeProto) -> NodeLabel {
    NodeLabel {
        index,
        name: node.name().to_owned(),
        operator: node.op_type().to_owned(),
        domain: node.domain().to_owned(),
    }
}

struct Builder<'a> {
    options: Options,
    stored: HashMap<&'a str, &'a TensorProto>,
    inputs: Vec<TensorInfo>,
    places: HashMap<String, Place>,
    names: Vec<String>,
    constants: Vec<Tensor>,
    /// Elements that constants may still get.
    budget: usize,
    slots: Vec<String>,
    steps: Vec<Step>,
}

impl<'a> Builder<'a> {
    fn new(graph: &'a GraphProto, options: Options) -> Result<Self, Error> {
        let stored = graph.initializer.iter().map(|tensor| (tensor.name(), tensor)).collect();
        let mut builder = Self {
            options,
            stored,
            inputs: Vec::new(),
            places: HashMap::new(),
            names: Vec::new(),
            constants: Vec::new(),
            budget: CONSTANTS,
            slots: Vec::new(),
            steps: Vec::new(),
        };
        for input in &graph.input {
            if !builder.stored.contains_key(input.name()) {
                builder.inputs.push(TensorInfo::new(input)?);
                builder.slot(input.name());
            }
        }
        Ok(builder)
    }

    fn slot(&mut self, name: &str) -> usize {
        let slot = self.slots.len();
        self.slots.push(name.to_owned());
        self.place(name, Place::Slot(slot));
        slot
    }

    fn constant(&mut self, name: &str, tensor: Tensor) {
        self.place(name, Place::Constant(self.constants.len()));
        self.constants.push(tensor);
    }

    fn place(&mut self, name: &str, place: Place) {
        self.names.push(name.to_owned());
        self.places.insert(name.to_owned(), place);
    }

    /// Where a tensor is; a stored one is read when it is first asked for.
    fn find(&mut self, name: &str) -> Result<Place, Error> {
        if let Some(&place) = self.places.get(name) {
            return Ok(place);
        }
        let what = || format!("initializer {name:?}");
        // Sparse ones and those of graphs around are defined, but not here.
        let Some(tensor) = self.stored.get(name) else {
            return Err(Error::tensor(
                what(),
                Fault::unsupported("a tensor that is stored sparsely"),
            ));
        };
        let value = TensorValue::from_proto(tensor).map_err(Error::onnx)?;
        let value = value_of(value, "a tensor").map_err(|fault| Error::tensor(what(), fault))?;
        let growth = value.len().saturating_mul(GROWTH);
        self.budget = self.budget.saturating_add(growth);
        self.constant(name, Tensor::new(value));
        Ok(Place::Constant(self.constants.len() - 1))
    }

    fn node(&mut self, index: usize, node: &NodeProto, version: i64) -> Result<(), Error> {
        let label = label(index, node);
        let operator = ops::build(node.op_type(), node.domain(), Attributes::new(node, version))
            .map_err(|fault| Error::node(&label, fault))?;
        let mut inputs = Vec::with_capacity(node.input.len());
        for name in &node.input {
            inputs.push(if name.is_empty() { None } else { Some(self.find(name)?) });
        }
        let constants: Vec<Option<&Tensor>> = inputs
            .iter()
            .map(|place| match place {
                Some(Place::Constant(index)) => Some(&self.constants[*index]),
                _ => None,
            })
            .collect();
        let fixed = inputs.iter().all(|place| !matches!(place, Some(Place::Slot(_))));
        if fixed {
            let tensors = constants.iter().map(|tensor| tensor.cloned()).collect();
            let constant = vec![true; inputs.len()];
            let context = Context { options: self.options, largest: self.budget, batch: None };
            let results = operator
                .run(&mut Inputs::new(tensors, constant, false), &context)
                .and_then(|results| enough(results, node.output.len()))
                .map_err(|fault| Error::node(&label, fault))?;
            for (name, tensor) in node.output.iter().zip(results) {
                if !name.is_empty() {
                    self.budget = self.budget.saturating_sub(tensor.len());
                    self.constant(name, tensor);
                }
            }
            return Ok(());
        }
        let special = operator.specialize(&constants, self.options);
        let mut given = inputs.clone();
        if special.is_some() {
            given
                .iter_mut()
                .for_each(|place| *place = place.filter(|place| matches!(place, Place::Slot(_))));
        }
        let operator = special.unwrap_or(operator);
        let outputs =
            node.output.iter().map(|name| (!name.is_empty()).then(|| self.slot(name))).collect();
        self.steps.push(Step {
            label,
            operator,
            inputs,
            given,
            outputs,
            last_uses: Vec::new(),
            needed: false,
        });
        Ok(())
    }

    fn finish(mut self, graph: &GraphProto) -> Result<Model, Error> {
        let mut outputs = Vec::with_capacity(graph.output.len());
        let mut output_places = Vec::with_capacity(graph.output.len());
        for output in &graph.output {
            outputs.push(TensorInfo::new(output)?);
            output_places.push(self.find(output.name())?);
        }
        // Stored tensors that no node uses can be asked for as well. Nothing depends on what may be wrong with them.
        for tensor in &graph.initializer {
            let _ = self.find(tensor.name());
        }
        mark_uses(&mut self.steps, self.slots.len(), &output_places);
        Ok(Model {
            options: self.options,
            inputs: self.inputs,
            outputs,
            places: self.places,
            names: self.names,
            constant_elements: self.constants.iter().map(Tensor::len).sum(),
            constants: self.constants,
            slots: self.slots,
            steps: self.steps,
            output_places,
            batching: Mutex::new(None),
            planned: Mutex::new(None),
        })
    }
}

/// The results of a node that has so many outputs.
pub(super) fn enough(results: Vec<Tensor>, outputs: usize) -> Result<Vec<Tensor>, Fault> {
    if results.len() < outputs {
        let found = format!("there are {outputs} outputs, expected at most {}", results.len());
        return Err(Fault::Malformed(found));
    }
    Ok(results)
}

/// Which step uses a tensor last, and which steps the outputs depend on.
fn mark_uses(steps: &mut [Step], slots: usize, outputs: &[Place]) {
    let mut used = vec![false; slots];
    let mut needed = vec![false; slots];
    for output in outputs {
        if let Place::Slot(slot) = *output {
            needed[slot] = true;
        }
    }
    for step in steps.iter_mut().rev() {
        step.needed = step.outputs.iter().flatten().any(|&slot| needed[slot]);
        for place in step.inputs.iter().flatten() {
            let Place::Slot(slot) = *place else { continue };
            needed[slot] |= step.needed;
            if !used[slot] {
                used[slot] = true;
                step.last_uses.push(slot);
            }
        }
    }
}
