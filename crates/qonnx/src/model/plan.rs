//! The plan of a model: its graph as stages of a program of the kernels, which has the bits of the run step by step.
//!
//! A plan is made when a model first runs. One item goes through the graph step by step, to know shapes and grids; then
//! ([`stages`]) each product, pooling, or sum begins a stage, to which whatever is done to its values alone is added;
//! then ([`forms`]) each tensor between stages gets the words in which its consumers multiply it. A graph that is not
//! understood as a whole has no plan, and a run in which a value turns out not to fit its words is repeated step by step.

mod forms;
mod stages;

use std::sync::{Arc, PoisonError};

use fewbit_kernels::Isa;
use fewbit_kernels::program::Program;

use super::batching::{items, role_of};
use super::execute::Run;
use super::{Model, Place};
use crate::Mode;
use crate::ops::Role;
use crate::tensor::Grid;
use crate::value::{DType, Value};

/// A program and the shapes of what it gives back.
#[derive(Debug)]
struct Plan {
    program: Program,
    /// For each output of the model: the number of the program's output, and the shape, whose first extent is the batch.
    outputs: Vec<(usize, Vec<usize>)>,
    /// Values of each output of the program, for one item.
    lens: Vec<usize>,
}

/// What was found out for inputs of one shape.
#[derive(Debug)]
pub(super) struct Planned {
    /// The shape of an item.
    item: Vec<usize>,
    isa: Isa,
    plan: Option<Plan>,
}

/// What one run step by step tells about the tensors.
struct Sample {
    shapes: Vec<Vec<usize>>,
    grids: Vec<Option<Grid>>,
    floats: Vec<bool>,
    roles: Vec<Option<Role>>,
}

/// Runs the plan, if there is one, and gives back the model's outputs.
pub(super) fn run(model: &Model, inputs: &[Value]) -> Option<Vec<Value>> {
    let ([info], [value]) = (model.inputs.as_slice(), inputs) else { return None };
    let (&batch, item) = value.shape().split_first()?;
    let x = value.as_slice::<f32>()?;
    if batch == 0 || x.is_empty() || model.options.mode != Mode::Canonical {
        return None;
    }
    let known = || model.planned.lock().unwrap_or_else(PoisonError::into_inner);
    let fits = |planned: &Arc<Planned>| planned.item == item && planned.isa == Isa::current();
    let last = known().clone().filter(fits);
    let planned = last.unwrap_or_else(|| {
        // A batch that the file leaves open must not be mistaken for an extent of one.
        let count = info.batch_of_file(batch);
        let plan =
            Sample::new(model, items(value, 0, count)).and_then(|sample| Plan::new(model, &sample));
        let planned = Arc::new(Planned { item: item.to_vec(), isa: Isa::current(), plan });
        *known() = Some(Arc::clone(&planned));
        planned
    });
    planned.plan.as_ref()?.run(x, batch)
}

/// Stages of the plan that was made last.
pub(super) fn stages(model: &Model) -> Option<usize> {
    let planned = model.planned.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
    planned.plan.as_ref().map(|plan| plan.program.stages())
}

impl Sample {
    fn new(model: &Model, value: Value) -> Option<Self> {
        let count = model.slots.len();
        let mut sample = Self {
            shapes: vec![Vec::new(); count],
            grids: vec![None; count],
            floats: vec![false; count],
            roles: vec![None; count],
        };
        sample.shapes[0] = value.shape().to_vec();
        sample.floats[0] = true;
        sample.roles[0] = Some(Role::Batched);
        let mut run = Run::new(model, vec![value], None, &[]);
        run.steps(|slot, tensor| {
            sample.shapes[slot] = tensor.shape().to_vec();
            sample.grids[slot] = tensor.grid().cloned().and_then(Grid::if_per_tensor);
            sample.floats[slot] = tensor.dtype() == DType::F32;
        })
        .ok()?;
        for step in model.steps.iter().filter(|step| step.needed) {
            let role = role_of(model, step, &sample.roles, &sample.shapes)?;
            step.outputs.iter().flatten().for_each(|&slot| sample.roles[slot] = Some(role));
        }
        Some(sample)
    }
}

impl Plan {
    fn new(model: &Model, sample: &Sample) -> Option<Self> {
        let mut outputs = Vec::with_capacity(model.output_places.len());
        let mut slots = Vec::new();
        for place in &model.output_places {
            let Place::Slot(slot) = *place else { return None };
            if sample.roles[slot] != Some(Role::Batched) || !sample.floats[slot] {
                return None;
            }
            let index = slots.iter().position(|&known| known == slot).unwrap_or(slots.len());
            if index == slots.len() {
                slots.push(slot);
            }
            outputs.push((index, sample.shapes[slot].clone()));
        }
        let drafts = stages::draft(model, sample, &slots)?;
        let program = forms::program(drafts, sample, &slots)?;
        let len = |&slot: &usize| sample.shapes[slot][1..].iter().product();
        Some(Self { program, outputs, lens: slots.iter().map(len).collect() })
    }

    fn run(&self, x: &[f32], batch: usize) -> Option<Vec<Value>> {
        let mut results: Vec<Vec<f32>> =
            self.lens.iter().map(|len| vec![0.0; batch * len]).collect();
        if !self.program.run(x, batch, &mut results) {
            return None;
        }
        let results: Vec<Arc<Vec<f32>>> = results.into_iter().map(Arc::new).collect();
        let value = |(index, shape): &(usize, Vec<usize>)| {
            let mut shape = shape.clone();
            shape[0] = batch;
            Value::of(shape, Arc::clone(&results[*index]))
        };
        Some(self.outputs.iter().map(value).collect())
    }
}
