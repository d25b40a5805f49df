//! What tensors between stages are stored as, and the program.

use std::collections::{BTreeMap, HashMap};

use fewbit_kernels::conv2d::Padding;
use fewbit_kernels::program::{
    Element, Form, Pooling, Product, Program, Sink, Source, Stage, Step, Window,
};

use super::Sample;
use super::stages::{Draft, DraftSource, DraftStep};
use crate::ops::PlannedProduct;
use crate::tensor::{Grid, Kind, Scale};

/// What is known about the values that a stage gives.
#[derive(Clone, Copy, Debug)]
struct Known {
    /// The scale of the codes that it gives; 1 if it gives values.
    unit: f32,
    /// Bounds of the codes, if they are integers.
    bounds: Option<(f32, f32)>,
    /// Codes have at most 8 significant bits.
    short: bool,
}

/// The program of some stages.
pub(super) fn program(
    mut drafts: Vec<Draft>,
    sample: &Sample,
    outputs: &[usize],
) -> Option<Program> {
    let mut known: HashMap<usize, Known> = HashMap::new();
    let mut positive: HashMap<usize, bool> = HashMap::new();
    for draft in &mut drafts {
        let is_positive = is_positive(draft, &positive);
        positive.insert(draft.result, is_positive);
        let found = codes(draft, sample.grids[draft.result].as_ref(), is_positive, &known);
        known.insert(draft.result, found);
    }
    let wanted = wanted(&drafts, &known)?;
    let mut forms = Forms::default();
    let mut stages = Vec::with_capacity(drafts.len());
    for (index, draft) in drafts.into_iter().enumerate() {
        forms.free(index);
        let (channels, size, result) = (draft.channels, draft.size, draft.result);
        let source = match draft.source {
            DraftSource::Input => Source::Input,
            DraftSource::Product(x, product) => {
                let element = element(&product, &known[&x])?;
                let form = *forms.places.get(&(x, element))?;
                Source::Product(Product::new(
                    &product.weights,
                    &product.shape,
                    form,
                    &forms.all[form],
                )?)
            }
            DraftSource::Window(x, pooling, windows) => {
                let form = forms.any(x)?;
                let scale =
                    read_scale(&draft.steps, pooling == Pooling::Max, &known[&x], &known[&result]);
                Source::Window(Window::new(form, &forms.all[form], scale, pooling, &windows))
            }
            DraftSource::Tensor(x) => {
                let scale = read_scale(&draft.steps, true, &known[&x], &known[&result]);
                Source::Tensor { form: forms.any(x)?, scale }
            }
        };
        let mut steps = Vec::with_capacity(draft.steps.len());
        for step in draft.steps {
            steps.push(match step {
                DraftStep::Step(step) => step,
                DraftStep::Sum(x) => Step::AddTensor { form: forms.any(x)?, scale: known[&x].unit },
            });
        }
        let mut sinks = Vec::new();
        for want in wanted.iter().filter(|want| want.tensor == result) {
            let form = Form::new(want.element, channels, size, want.zeros);
            sinks.push(Sink::Form(forms.take(result, form, want.last)));
        }
        for (index, _) in outputs.iter().enumerate().filter(|(_, slot)| **slot == result) {
            sinks.push(Sink::Output { index, scale: known[&result].unit });
        }
        stages.push(Stage { source, channels, size, steps, sinks });
    }
    let values = |slot: &usize| sample.shapes[*slot][1..].iter().product();
    let outputs = outputs.iter().map(values).collect();
    Some(Program::new(values(&0), forms.all, stages, outputs))
}

/// True if no value that the stage gives is below 0.
fn is_positive(draft: &Draft, positive: &HashMap<usize, bool>) -> bool {
    let of = |slot: &usize| positive.get(slot).copied().unwrap_or(false);
    let mut so_far = match &draft.source {
        DraftSource::Input | DraftSource::Product(..) => false,
        DraftSource::Window(x, ..) | DraftSource::Tensor(x) => of(x),
    };
    for step in &draft.steps {
        so_far = match step {
            DraftStep::Sum(x) => so_far && of(x),
            DraftStep::Step(Step::Relu) => true,
            DraftStep::Step(Step::Minifloat(q)) => so_far && q.scale() > 0.0,
            DraftStep::Step(Step::Integer(q)) => {
                let signed = q.min < q.zero_point && !(so_far && q.zero_point == 0.0);
                !signed && q.scale > 0.0
            }
            DraftStep::Step(Step::Thresholds(t)) => t.scale > 0.0 && t.bias >= 0.0,
            DraftStep::Step(_) => false,
        };
    }
    so_far
}

/// Makes a stage give the codes of its result, where that has a grid, and tells what is known about them.
fn codes(
    draft: &mut Draft,
    grid: Option<&Grid>,
    positive: bool,
    known: &HashMap<usize, Known>,
) -> Known {
    let Some(&Grid { scale: Scale::PerTensor(unit), kind }) = grid else {
        return Known { unit: 1.0, bounds: None, short: false };
    };
    let limit = match kind {
        Kind::Integer { max_abs } => Some(max_abs as f32),
        Kind::Float(_) => None,
    };
    let short = match kind {
        Kind::Integer { max_abs } => max_abs <= 256,
        Kind::Float(format) => format.significant_bits() <= 8,
    };
    let mut bounds = limit.map(|limit| (if positive && unit > 0.0 { 0.0 } else { -limit }, limit));
    if let (Some(DraftStep::Step(Step::Integer(q))), Some((low, high))) =
        (draft.steps.last(), bounds)
    {
        bounds = Some((low.max(q.min - q.zero_point), high.min(q.max - q.zero_point)));
    }
    let known_now = Known { unit, bounds, short };
    if unit == 1.0 {
        return known_now;
    }
    // Behind the quantizer there may be steps that choose among its values.
    let rectifiers =
        |step: &&mut DraftStep| unit > 0.0 && matches!(step, DraftStep::Step(Step::Relu));
    let last = draft.steps.iter_mut().rev().find(|step| !rectifiers(step));
    let whole = unit > 0.0
        && last.is_none()
        && match &draft.source {
            DraftSource::Window(x, Pooling::Max, _) | DraftSource::Tensor(x) => {
                known.get(x).is_some_and(|known| known.unit == unit)
            }
            _ => false,
        };
    let done = whole
        || match last {
            Some(DraftStep::Step(Step::Minifloat(quantizer))) => {
                // The unit is the scale, or the scale times the format's step, a power of two.
                let factor = quantizer.scale() / unit;
                *quantizer = quantizer.with_factor(factor);
                factor * unit == quantizer.scale()
            }
            Some(DraftStep::Step(Step::Integer(quantizer))) if quantizer.scale == unit => {
                quantizer.factor = 1.0;
                true
            }
            Some(DraftStep::Step(Step::Thresholds(t))) if t.scale == unit && t.bias == 0.0 => {
                t.scale = 1.0;
                true
            }
            Some(DraftStep::Step(Step::Bipolar(lanes))) if lanes.value() == Some(unit) => {
                *lanes = fewbit_kernels::program::Lanes::one(1.0);
                true
            }
            _ => false,
        };
    if !done {
        let grid = Grid { scale: Scale::PerTensor(unit), kind };
        draft.steps.push(DraftStep::Step(Step::Each(std::sync::Arc::new(move |block| {
            let values = block.to_vec();
            block.copy_from_slice(&grid.codes(&values, &[values.len()]).values);
        }))));
    }
    known_now
}

/// The factor with which a stage reads a tensor: none if it hands its codes on.
fn read_scale(steps: &[DraftStep], chooses: bool, from: &Known, to: &Known) -> f32 {
    let chosen = |step: &DraftStep| matches!(step, DraftStep::Step(Step::Relu));
    let hands_on = chooses && steps.iter().all(chosen) && from.unit == to.unit && from.unit > 0.0;
    if hands_on { 1.0 } else { from.unit }
}

/// What a product's left operand is stored as.
fn element(product: &PlannedProduct, x: &Known) -> Option<Element> {
    let weights = product.weights.iter();
    let bounds = weights.fold((0.0f32, 0.0f32), |(low, high), &w| (low.min(w), high.max(w)));
    let shape = &product.shape;
    let terms = shape.c * shape.kh * shape.kw;
    Element::for_product(product.accumulation, x.bounds.unwrap_or_default(), bounds, terms)
}

/// A form in which a tensor is wanted.
struct Want {
    tensor: usize,
    element: Element,
    zeros: Padding,
    /// The last stage that reads it.
    last: usize,
}

/// The forms in which tensors are wanted: by products as they need them, by others in any.
fn wanted(drafts: &[Draft], known: &HashMap<usize, Known>) -> Option<Vec<Want>> {
    let mut wants: Vec<Want> = Vec::new();
    for (last, draft) in drafts.iter().enumerate() {
        let DraftSource::Product(tensor, product) = &draft.source else { continue };
        let element = element(product, &known[tensor])?;
        let pad = product.shape.pad;
        let same = |want: &&mut Want| want.tensor == *tensor && want.element == element;
        if let Some(want) = wants.iter_mut().find(same) {
            let zeros = &mut want.zeros;
            zeros.top = zeros.top.max(pad.top);
            zeros.left = zeros.left.max(pad.left);
            zeros.bottom = zeros.bottom.max(pad.bottom);
            zeros.right = zeros.right.max(pad.right);
            want.last = last;
        } else {
            wants.push(Want { tensor: *tensor, element, zeros: pad, last });
        }
    }
    for (last, draft) in drafts.iter().enumerate() {
        let mut read = |tensor: usize| {
            let known = &known[&tensor];
            // The one that `Forms::any` takes.
            let found = wants.iter_mut().filter(|want| want.tensor == tensor);
            if let Some(want) = found.min_by_key(|want| (want.element.bytes(), want.element)) {
                want.last = want.last.max(last);
                return;
            }
            let element = match known.bounds {
                Some(bounds) => Element::for_integers(bounds).unwrap_or(Element::F32),
                None if known.short => Element::Bf16,
                None => Element::F32,
            };
            wants.push(Want { tensor, element, zeros: Padding::default(), last });
        };
        match draft.source {
            DraftSource::Window(x, ..) | DraftSource::Tensor(x) => read(x),
            DraftSource::Input | DraftSource::Product(..) => {}
        }
        draft.steps.iter().for_each(|step| {
            if let DraftStep::Sum(x) = *step {
                read(x);
            }
        });
    }
    Some(wants)
}

/// The forms of a program; one that no stage reads any more is used again for a tensor that lies in the same way.
#[derive(Default)]
struct Forms {
    all: Vec<Form>,
    /// The last stage that reads what is in a form.
    last: Vec<usize>,
    free: Vec<usize>,
    places: BTreeMap<(usize, Element), usize>,
}

impl Forms {
    /// Frees what no stage from `index` on reads.
    fn free(&mut self, index: usize) {
        for form in 0..self.all.len() {
            if self.last[form] < index && !self.free.contains(&form) {
                self.free.push(form);
            }
        }
    }

    fn take(&mut self, tensor: usize, form: Form, last: usize) -> usize {
        let free = self.free.iter().position(|&free| self.all[free] == form);
        let index = match free {
            Some(place) => self.free.swap_remove(place),
            None => {
                self.all.push(form.clone());
                self.last.push(0);
                self.all.len() - 1
            }
        };
        self.last[index] = last;
        self.places.retain(|_, place| *place != index);
        self.places.insert((tensor, form.element()), index);
        index
    }

    /// The smallest form of a tensor.
    fn any(&self, tensor: usize) -> Option<usize> {
        let of_tensor = self.places.iter().filter(|((of, _), _)| *of == tensor);
        let smallest = of_tensor.min_by_key(|((_, element), _)| (element.bytes(), *element));
        smallest.map(|(_, &form)| form)
    }
}
