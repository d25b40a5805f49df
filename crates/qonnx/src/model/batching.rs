//! Batches that are larger or smaller than the one that a file was written for.
//!
//! Files often fix the batch, also in the targets of reshapes. So the model is run once with the file's batch, to
//! know the shapes; then it is followed through the graph which tensors have the batch in front. Where that holds
//! everywhere, the model runs on any batch; else it runs on one batch of the file after the other.

use std::sync::{Arc, PoisonError};

use rayon::prelude::*;

use super::execute::Run;
use super::info::is_batched;
use super::{Model, Place, Step};
use crate::error::{Error, Fault};
use crate::ops::{BatchChange, Input, Role};
use crate::tensor::Tensor;
use crate::value::{Data, Value};

/// What was found out about a model for inputs of some shapes.
#[derive(Debug)]
pub(super) struct Batching {
    /// The shapes of the inputs with the batch of the file.
    inputs: Vec<(Vec<usize>, Role)>,
    /// For each slot; `None` where the batch is mixed with something else.
    roles: Vec<Option<Role>>,
    /// For each step, whether the first axis of its outputs is the batch.
    steps: Vec<bool>,
    /// How many items are computed together.
    chunk: usize,
}

impl Batching {
    pub(super) fn step_is_batched(&self, step: usize) -> bool {
        self.steps[step]
    }

    /// `count` items from `first` on of the inputs that have the batch in front, and the others whole.
    fn pick(&self, inputs: &[Value], first: usize, count: usize) -> Vec<Value> {
        let pick = |(value, (_, role)): (&Value, &(Vec<usize>, Role))| match role {
            Role::Batched => items(value, first, count),
            Role::Fixed | Role::Sizes => value.clone(),
        };
        inputs.iter().zip(&self.inputs).map(pick).collect()
    }

    /// True if the model can run any batch at once.
    fn at_once(&self) -> bool {
        self.roles.iter().all(Option::is_some)
    }
}

/// Runs a batch of another size than the file's.
pub(super) fn run(
    model: &Model,
    inputs: Vec<Value>,
    wanted: &[Place],
    change: BatchChange,
) -> Result<Vec<Value>, Error> {
    let shapes: Vec<(Vec<usize>, Role)> = model
        .inputs
        .iter()
        .zip(&inputs)
        .map(|(input, value)| {
            let mut shape = value.shape().to_vec();
            if is_batched(input, value, change) {
                shape[0] = change.file;
                (shape, Role::Batched)
            } else {
                (shape, Role::Fixed)
            }
        })
        .collect();
    let batching = known(model, &shapes, &inputs)?;
    if batching.at_once() {
        return in_chunks(model, inputs, wanted, change, &batching);
    }
    one_after_the_other(model, &inputs, wanted, change, &batching)
}

/// Runs some items after the other, so that their tensors stay in the cache, on all threads.
fn in_chunks(
    model: &Model,
    inputs: Vec<Value>,
    wanted: &[Place],
    change: BatchChange,
    batching: &Batching,
) -> Result<Vec<Value>, Error> {
    let sizes = |place: &Place| matches!(place, Place::Slot(slot) if batching.roles[*slot] == Some(Role::Sizes));
    // What is computed from the number of items has to see all of them.
    let chunk = if wanted.iter().any(sizes) { change.run } else { batching.chunk };
    let count = change.run.div_ceil(chunk);
    if count == 1 {
        let mut run = Run::new(model, inputs, Some((batching, change)), wanted);
        run.steps(|_, _| ())?;
        return Ok(run.values(wanted));
    }
    let chunk = change.run.div_ceil(count);
    let starts: Vec<usize> = (0..change.run).step_by(chunk).collect();
    let parts = starts
        .into_par_iter()
        .map(|first| {
            let change = BatchChange { run: chunk.min(change.run - first), ..change };
            let part = batching.pick(&inputs, first, change.run);
            let mut run = Run::new(model, part, Some((batching, change)), wanted);
            run.steps(|_, _| ())?;
            Ok(run.values(wanted))
        })
        .collect::<Result<Vec<Vec<Value>>, Error>>()?;
    let mut tensors: Vec<Vec<Value>> = vec![Vec::with_capacity(parts.len()); wanted.len()];
    for part in parts {
        tensors.iter_mut().zip(part).for_each(|(tensors, value)| tensors.push(value));
    }
    tensors
        .into_iter()
        .zip(wanted)
        .map(|(parts, place)| join(model, parts, *place, change, batching))
        .collect()
}

/// What is known about inputs of these shapes, or is found out now.
fn known(
    model: &Model,
    shapes: &[(Vec<usize>, Role)],
    inputs: &[Value],
) -> Result<Arc<Batching>, Error> {
    let last = model.batching.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some(batching) = last.filter(|batching| batching.inputs == shapes) {
        return Ok(batching);
    }
    let sample = inputs
        .iter()
        .zip(shapes)
        .map(
            |(value, (shape, role))| {
                if *role == Role::Batched { items(value, 0, shape[0]) } else { value.clone() }
            },
        )
        .collect();
    let found = Arc::new(find(model, shapes, sample)?);
    *model.batching.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&found));
    Ok(found)
}

/// Runs a sample with the batch of the file, and follows the batch through the graph.
fn find(
    model: &Model,
    inputs: &[(Vec<usize>, Role)],
    sample: Vec<Value>,
) -> Result<Batching, Error> {
    let mut shapes: Vec<Vec<usize>> = vec![Vec::new(); model.slots.len()];
    for (slot, (shape, _)) in inputs.iter().enumerate() {
        shapes[slot].clone_from(shape);
    }
    let mut run = Run::new(model, sample, None, &[]).everything();
    run.steps(|slot, tensor| shapes[slot] = tensor.shape().to_vec())?;
    let mut roles = vec![None; model.slots.len()];
    for (slot, (_, role)) in inputs.iter().enumerate() {
        roles[slot] = Some(*role);
    }
    let mut steps = Vec::with_capacity(model.steps.len());
    for step in &model.steps {
        let role = role_of(model, step, &roles, &shapes);
        for &slot in step.outputs.iter().flatten() {
            roles[slot] = role;
        }
        steps.push(role == Some(Role::Batched));
    }
    Ok(Batching { inputs: inputs.to_vec(), roles, steps, chunk: chunk(model, &shapes, inputs) })
}

/// How many items are computed together: few enough for their largest tensor to stay in the cache of a core, and enough to be worth
/// going through the constants.
fn chunk(model: &Model, shapes: &[Vec<usize>], inputs: &[(Vec<usize>, Role)]) -> usize {
    let file =
        inputs.iter().find(|(_, role)| *role == Role::Batched).map_or(1, |(shape, _)| shape[0]);
    let sizes = || shapes.iter().map(|shape| shape.iter().product::<usize>());
    let per_item = |elements: usize| (elements / file.max(1)).max(1);
    let (largest, all) = (per_item(sizes().max().unwrap_or(1)), per_item(sizes().sum()));
    let cached = CACHED / largest;
    cached.max(4 * model.constant_elements / all).max(1)
}

/// Elements that stay in the cache of a core.
const CACHED: usize = 1 << 17;

pub(super) fn role_of(
    model: &Model,
    step: &Step,
    roles: &[Option<Role>],
    shapes: &[Vec<usize>],
) -> Option<Role> {
    let mut inputs = Vec::with_capacity(step.inputs.len());
    for place in &step.inputs {
        inputs.push(match *place {
            None => Input { role: Role::Fixed, shape: &[], constant: None },
            Some(Place::Constant(index)) => {
                let tensor: &Tensor = &model.constants[index];
                Input { role: Role::Fixed, shape: tensor.shape(), constant: Some(tensor) }
            }
            Some(Place::Slot(slot)) => {
                Input { role: roles[slot]?, shape: &shapes[slot], constant: None }
            }
        });
    }
    let some = |role: Role| inputs.iter().any(|input| input.role == role);
    let (batched, sizes) = (some(Role::Batched), some(Role::Sizes));
    if !batched && !sizes {
        return Some(Role::Fixed);
    }
    if step.operator.asks_for_sizes() || (!batched && step.operator.computes_sizes()) {
        return Some(Role::Sizes);
    }
    let output = step.outputs.iter().flatten().next().map_or(&[][..], |&slot| &shapes[slot]);
    (batched && step.operator.keeps_batch(&inputs, output)).then_some(Role::Batched)
}

/// Runs one batch of the file after the other, and puts the results behind each other.
fn one_after_the_other(
    model: &Model,
    inputs: &[Value],
    wanted: &[Place],
    change: BatchChange,
    batching: &Batching,
) -> Result<Vec<Value>, Error> {
    let mut parts: Vec<Vec<Value>> = vec![Vec::new(); wanted.len()];
    for first in (0..change.run).step_by(change.file) {
        let batch = batching.pick(inputs, first, change.file);
        let mut run = Run::new(model, batch, None, wanted);
        run.steps(|_, _| ())?;
        for (parts, value) in parts.iter_mut().zip(run.values(wanted)) {
            parts.push(value);
        }
    }
    let join = |(parts, place): (Vec<Value>, &Place)| join(model, parts, *place, change, batching);
    parts.into_iter().zip(wanted).map(join).collect()
}

fn join(
    model: &Model,
    parts: Vec<Value>,
    place: Place,
    change: BatchChange,
    batching: &Batching,
) -> Result<Value, Error> {
    let slot = match place {
        Place::Constant(index) => return Ok(model.constants[index].value().clone()),
        Place::Slot(slot) => slot,
    };
    let name = &model.slots[slot];
    let first = &parts[0];
    if matches!(batching.roles[slot], Some(Role::Fixed)) {
        return Ok(first.clone());
    }
    let mut shape = first.shape().to_vec();
    let mut count = 0;
    for part in &parts {
        match part.shape().split_first() {
            // A chunk may have any number of items, a batch of the file has its own.
            Some((&n, rest)) if *rest == shape[1..] && (batching.at_once() || n == change.file) => {
                count += n
            }
            _ => {
                let reason = format!(
                    "the model mixes the items of a batch, and the first axis of its shape {:?} is not the batch; \
                     run it with batches of {}",
                    part.shape(),
                    change.file
                );
                return Err(Error::unavailable(name, &reason));
            }
        }
    }
    shape[0] = count;
    let data = Data::concat(&parts.iter().map(Value::data).collect::<Vec<_>>());
    let data = data.ok_or_else(|| {
        Error::tensor(
            format_args!("{name:?}"),
            Fault::Malformed("its type changes between runs".to_owned()),
        )
    })?;
    let joined = Value::of(shape, data);
    // The last batch of the file may have been filled up.
    Ok(if count > change.run { items(&joined, 0, change.run) } else { joined })
}

/// `count` items along the first axis from `first` on; the last one again where there are no more.
pub(super) fn items(value: &Value, first: usize, count: usize) -> Value {
    let len = value.shape()[0];
    let size = value.len() / len.max(1);
    let runs = (first..first + count).map(|item| (item.min(len - 1) * size, size));
    let mut shape = value.shape().to_vec();
    shape[0] = count;
    Value::of(shape, value.data().runs(runs))
}
