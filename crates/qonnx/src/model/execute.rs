//! One run, step by step.

use super::batching::Batching;
use super::build::enough;
use super::{Model, Place, Step};
use crate::error::Error;
use crate::ops::{BatchChange, Context, Inputs};
use crate::tensor::Tensor;
use crate::value::Value;

/// Elements that the tensors of a run may have in all, beside those in proportion to what goes in.
const RUN: usize = 1 << 24;

/// Elements for each element of an input.
const PER_INPUT: usize = 1024;

/// Elements for each element of a constant.
const PER_CONSTANT: usize = 64;

/// A run with the batch of the file, or with one that the file leaves open.
pub(super) fn plain(
    model: &Model,
    inputs: Vec<Value>,
    wanted: &[Place],
) -> Result<Vec<Value>, Error> {
    let mut run = Run::new(model, inputs, None, wanted);
    run.steps(|_, _| ())?;
    Ok(run.values(wanted))
}

/// The state of a run.
pub(super) struct Run<'a> {
    model: &'a Model,
    batch: Option<(&'a Batching, BatchChange)>,
    slots: Vec<Option<Tensor>>,
    /// Slots that are given back, and so are not freed.
    kept: Vec<bool>,
    /// True if something is asked for that the outputs do not depend on.
    everything: bool,
    /// Elements that are there now, and that there may be.
    live: usize,
    budget: usize,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        model: &'a Model,
        inputs: Vec<Value>,
        batch: Option<(&'a Batching, BatchChange)>,
        wanted: &[Place],
    ) -> Self {
        let given: usize = inputs.iter().map(Value::len).sum();
        let mut slots = Vec::with_capacity(model.slots.len());
        slots.extend(inputs.into_iter().map(|value| Some(Tensor::new(value))));
        slots.resize_with(model.slots.len(), || None);
        let mut kept = vec![false; model.slots.len()];
        for place in wanted {
            if let Place::Slot(slot) = *place {
                kept[slot] = true;
            }
        }
        let budget = RUN
            .saturating_add(given.saturating_mul(PER_INPUT))
            .saturating_add(model.constant_elements.saturating_mul(PER_CONSTANT));
        let everything = wanted.len() > model.output_places.len();
        Self { model, batch, slots, kept, everything, live: given, budget }
    }

    /// Also runs the steps that no output depends on.
    pub(super) fn everything(self) -> Self {
        Self { everything: true, ..self }
    }

    /// Computes everything that is asked for; `observe(slot, tensor)` sees what comes into being.
    pub(super) fn steps(&mut self, mut observe: impl FnMut(usize, &Tensor)) -> Result<(), Error> {
        let model = self.model;
        for (index, step) in model.steps.iter().enumerate() {
            if step.needed || self.everything {
                self.step(index, step, &mut observe)?;
            }
        }
        Ok(())
    }

    fn step(
        &mut self,
        index: usize,
        step: &Step,
        observe: &mut impl FnMut(usize, &Tensor),
    ) -> Result<(), Error> {
        let context = Context {
            options: self.model.options,
            largest: self.budget.saturating_sub(self.live),
            batch: self.batch.map(|(_, change)| change),
        };
        let batched = self.batch.is_some_and(|(batching, _)| batching.step_is_batched(index));
        let mut inputs = self.inputs(step, batched);
        let results = step.operator.run(&mut inputs, &context);
        drop(inputs);
        let results = results
            .and_then(|results| enough(results, step.outputs.len()))
            .map_err(|fault| Error::node(&step.label, fault))?;
        for (slot, tensor) in step.outputs.iter().zip(results) {
            let Some(slot) = *slot else { continue };
            observe(slot, &tensor);
            self.live = self.live.saturating_add(tensor.len());
            self.slots[slot] = Some(tensor);
        }
        Ok(())
    }

    /// The inputs of a step; tensors that nothing needs afterwards are given away.
    fn inputs(&mut self, step: &Step, batched: bool) -> Inputs {
        let count = step.given.len();
        let (mut tensors, mut constant) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for (i, place) in step.given.iter().enumerate() {
            constant.push(!matches!(place, Some(Place::Slot(_))));
            tensors.push(match *place {
                None => None,
                Some(Place::Constant(index)) => Some(self.model.constants[index].clone()),
                Some(Place::Slot(slot)) => {
                    let again = step.given[i + 1..].contains(place);
                    if step.last_uses.contains(&slot) && !self.kept[slot] && !again {
                        let tensor = self.slots[slot].take();
                        self.live -= tensor.as_ref().map_or(0, Tensor::len).min(self.live);
                        tensor
                    } else {
                        self.slots[slot].clone()
                    }
                }
            });
        }
        Inputs::new(tensors, constant, batched)
    }

    /// The tensors that were asked for.
    pub(super) fn values(mut self, wanted: &[Place]) -> Vec<Value> {
        wanted
            .iter()
            .enumerate()
            .map(|(i, place)| {
                let tensor = match *place {
                    Place::Constant(index) => Some(self.model.constants[index].clone()),
                    Place::Slot(slot) if wanted[i + 1..].contains(place) => {
                        self.slots[slot].clone()
                    }
                    Place::Slot(slot) => self.slots[slot].take(),
                };
                tensor.expect("a tensor that is kept was computed").into_value()
            })
            .collect()
    }
}
