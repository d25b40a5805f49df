//! The graph as a list of stages.

use std::collections::HashMap;

use fewbit_kernels::program::{Pooling, Step, Windows};

use super::Sample;
use crate::model::{Model, Place, Step as Node};
use crate::ops::{Planned, PlannedProduct, Role, Site};
use crate::tensor::Tensor;

/// A stage that is being put together.
pub(super) struct Draft {
    pub(super) source: DraftSource,
    pub(super) channels: usize,
    pub(super) size: (usize, usize),
    pub(super) steps: Vec<DraftStep>,
    /// The tensor that it gives.
    pub(super) result: usize,
}

/// Where a stage begins; tensors are slots of the model.
pub(super) enum DraftSource {
    Input,
    Product(usize, PlannedProduct),
    Window(usize, Pooling, Windows),
    Tensor(usize),
}

pub(super) enum DraftStep {
    Step(Step),
    /// Adds a tensor.
    Sum(usize),
}

struct Builder<'a> {
    model: &'a Model,
    sample: &'a Sample,
    /// How often each tensor is used.
    uses: Vec<usize>,
    drafts: Vec<Draft>,
    /// Which stage computes a tensor.
    producers: Vec<Option<usize>>,
    /// Tensors that are others with their channels and pixels in one axis.
    flat: HashMap<usize, usize>,
}

/// The stages that give the outputs, in order; `None` if a node is not understood.
pub(super) fn draft(model: &Model, sample: &Sample, outputs: &[usize]) -> Option<Vec<Draft>> {
    let mut uses = vec![0; model.slots.len()];
    outputs.iter().for_each(|&slot| uses[slot] += 1);
    let values = |step: &&Node| {
        step.needed
            && step.outputs.iter().flatten().any(|&slot| sample.roles[slot] == Some(Role::Batched))
    };
    for step in model.steps.iter().filter(values) {
        for place in step.inputs.iter().flatten() {
            if let Place::Slot(slot) = *place {
                uses[slot] += 1;
            }
        }
    }
    let producers = vec![None; model.slots.len()];
    let mut builder =
        Builder { model, sample, uses, drafts: Vec::new(), producers, flat: HashMap::new() };
    builder.stage(0, DraftSource::Input)?;
    for step in model.steps.iter().filter(values) {
        builder.node(step)?;
    }
    // A flattened tensor lies in another order than an output of the model.
    outputs.iter().all(|&slot| builder.producers[slot].is_some()).then_some(builder.drafts)
}

impl Builder<'_> {
    fn stage(&mut self, result: usize, source: DraftSource) -> Option<()> {
        let (channels, size) = dimensions(&self.sample.shapes[result])?;
        self.producers[result] = Some(self.drafts.len());
        self.drafts.push(Draft { source, channels, size, steps: Vec::new(), result });
        Some(())
    }

    fn node(&mut self, step: &Node) -> Option<()> {
        let &[Some(result)] = step.outputs.as_slice() else { return None };
        if !self.sample.floats[result] {
            return None;
        }
        let slot = |place: &Option<Place>| match place {
            Some(Place::Slot(slot)) if self.sample.roles[*slot] != Some(Role::Sizes) => Some(*slot),
            _ => None,
        };
        let inputs: Vec<(usize, usize)> = step
            .inputs
            .iter()
            .enumerate()
            .filter_map(|(i, place)| slot(place).map(|slot| (i, slot)))
            .collect();
        let &(input, x) = inputs.first()?;
        let constants: Vec<Option<&Tensor>> = step
            .inputs
            .iter()
            .map(|place| match *place {
                Some(Place::Constant(index)) => Some(&self.model.constants[index]),
                _ => None,
            })
            .collect();
        let site = Site {
            shape: &self.sample.shapes[x],
            grid: self.sample.grids[x].as_ref(),
            input,
            variable: inputs.len(),
            constants: &constants,
            options: self.model.options,
        };
        let planned = step.operator.planned(&site)?;
        let same_shape = self.sample.shapes[x] == self.sample.shapes[result];
        match planned {
            Planned::Steps(steps) if same_shape => {
                let steps = steps.into_iter().map(DraftStep::Step).collect();
                self.append(x, result, steps)
            }
            Planned::Sum if same_shape => {
                let other = inputs.get(1)?.1;
                if self.sample.shapes[other] != self.sample.shapes[result] {
                    return None;
                }
                self.sum(x, other, result)
            }
            Planned::Product(product) => self.product(x, result, product),
            Planned::Window(pooling, windows) => {
                self.producers[x]?;
                self.stage(result, DraftSource::Window(x, pooling, windows))
            }
            Planned::Reshape => self.reshape(x, result),
            Planned::Steps(_) | Planned::Sum => None,
        }
    }

    /// The stage that gives `x`, if nothing else uses it.
    fn open(&self, x: usize) -> Option<usize> {
        self.producers[x].filter(|_| self.uses[x] == 1)
    }

    /// Adds steps to the stage that gives `x`, or to a new one that begins with it.
    fn append(&mut self, x: usize, result: usize, steps: Vec<DraftStep>) -> Option<()> {
        self.producers[x]?;
        let index = match self.open(x) {
            Some(index) => index,
            None => {
                self.stage(result, DraftSource::Tensor(x))?;
                self.drafts.len() - 1
            }
        };
        self.drafts[index].steps.extend(steps);
        self.drafts[index].result = result;
        self.producers[result] = Some(index);
        Some(())
    }

    /// Adds two tensors: at the end of the stage that comes later, if it is free.
    fn sum(&mut self, a: usize, b: usize, result: usize) -> Option<()> {
        let (of_a, of_b) = (self.producers[a]?, self.producers[b]?);
        let (late, early) = if of_a >= of_b { (a, b) } else { (b, a) };
        let hosts = self.open(late).is_some_and(|index| {
            of_a != of_b && !matches!(self.drafts[index].source, DraftSource::Input)
        });
        if hosts {
            return self.append(late, result, vec![DraftStep::Sum(early)]);
        }
        self.stage(result, DraftSource::Tensor(late))?;
        let last = self.drafts.len() - 1;
        self.drafts[last].steps.push(DraftStep::Sum(early));
        Some(())
    }

    fn product(&mut self, x: usize, result: usize, mut product: PlannedProduct) -> Option<()> {
        let mut from = x;
        if let Some(&whole) = self.flat.get(&x) {
            // A linear layer over all channels and pixels is a convolution with a kernel as large as the image. It adds up in another
            // order, which only sums of integers do not show.
            let (channels, size) = dimensions(&self.sample.shapes[whole])?;
            let exact =
                matches!(product.accumulation, fewbit_kernels::Accumulation::Integer { .. });
            if !exact {
                return None;
            }
            from = whole;
            product.shape.c = channels;
            (product.shape.h, product.shape.w) = size;
            (product.shape.kh, product.shape.kw) = size;
        }
        self.producers[from]?;
        let steps = std::mem::take(&mut product.steps);
        self.stage(result, DraftSource::Product(from, product))?;
        let last = self.drafts.len() - 1;
        self.drafts[last].steps.extend(steps.into_iter().map(DraftStep::Step));
        Some(())
    }

    fn reshape(&mut self, x: usize, result: usize) -> Option<()> {
        let (from, to) = (&self.sample.shapes[x], &self.sample.shapes[result]);
        let (dims, new) = (dimensions(from)?, dimensions(to)?);
        if dims == new {
            return self.append(x, result, Vec::new());
        }
        // What is done to each value alone does not care how values are arranged.
        let index = self.open(x);
        let arranged = |draft: &Draft| {
            let uniform =
                |step: &DraftStep| matches!(step, DraftStep::Step(step) if step.is_uniform());
            matches!(draft.source, DraftSource::Input) && draft.steps.iter().all(uniform)
        };
        if let Some(index) = index.filter(|&index| arranged(&self.drafts[index])) {
            let draft = &mut self.drafts[index];
            (draft.channels, draft.size, draft.result) = (new.0, new.1, result);
            self.producers[result] = Some(index);
            return Some(());
        }
        let flattens = to.len() == 2 && self.producers[x].is_some();
        flattens.then(|| self.flat.insert(result, x)).map(|_| ())
    }
}

/// Channels, and height and width, of an item of a tensor with the batch in front.
pub(super) fn dimensions(shape: &[usize]) -> Option<(usize, (usize, usize))> {
    let found = match *shape {
        [_, c] => (c, (1, 1)),
        [_, c, w] => (c, (1, w)),
        [_, c, h, w] => (c, (h, w)),
        _ => return None,
    };
    (found.0 * found.1.0 * found.1.1 > 0).then_some(found)
}
