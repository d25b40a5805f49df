//! What cannot be proved for every input, tried on images.

use super::certificate::{Disagreement, Layer, Verdict};
use super::function::PLACES;
use super::graph::Node;
use super::set::{LIMIT, power};
use super::walk::SHOWN;
use super::{InputValues, Proof};
use crate::error::{Error, Fault};
use crate::ops::{Context, Inputs, Operator};
use crate::tensor::Tensor;
use crate::{Options, Value};

/// Sums that may become too large.
pub(super) struct PendingSum {
    /// Place among the layers.
    pub(super) layer: usize,
    pub(super) node: usize,
    /// What goes into the layer.
    pub(super) tensor: String,
    /// Where the channels of the result are.
    pub(super) axis: usize,
    /// False for the mean of windows.
    pub(super) weighted: bool,
    /// The unit of the result in each channel, or in all.
    pub(super) exponents: Vec<i32>,
    /// The largest bound of a sum over the images, in units, and where it was met.
    pub(super) largest: Option<Largest>,
}

/// The largest bound over the images.
#[derive(Clone, Copy)]
pub(super) struct Largest {
    units: f64,
    channel: usize,
    image: usize,
    /// Sums above the limit.
    above: u64,
}

/// Values for which engines part.
pub(super) struct Watch {
    /// Place among the layers.
    pub(super) layer: usize,
    pub(super) tensor: String,
    pub(super) axis: usize,
    pub(super) places: Vec<Disagreement>,
    /// How many places there are, those that are not kept included.
    pub(super) total: u64,
    /// How often each occurs.
    pub(super) seen: Vec<u64>,
    /// The first image with one, and the place.
    pub(super) first: Option<(usize, usize)>,
}

/// Tries a batch.
pub(super) fn check(proof: &mut Proof<'_>, inputs: &[(&str, Value)]) -> Result<(), Error> {
    for (name, value) in inputs {
        covered(&proof.inputs, name, value)?;
    }
    let mut keep: Vec<&str> = Vec::new();
    for tensor in proof
        .pending
        .iter()
        .map(|sum| &sum.tensor)
        .chain(proof.watches.iter().map(|watch| &watch.tensor))
    {
        if !keep.contains(&tensor.as_str()) && !inputs.iter().any(|(name, _)| name == tensor) {
            keep.push(tensor);
        }
    }
    let outputs = proof.graph.model.run(inputs, &keep)?;
    let tensor = |name: &str| {
        let given = inputs.iter().find(|(input, _)| *input == name).map(|(_, value)| value);
        outputs.get(name).or(given).cloned().expect("a tensor that was kept")
    };
    for sum in &mut proof.pending {
        let node = &proof.graph.nodes[sum.node];
        sum.measure(node, tensor(&sum.tensor), proof.images)
            .map_err(|fault| Error::tensor(format_args!("node {:?}", node.name), fault))?;
    }
    for watch in &mut proof.watches {
        watch.look(&tensor(&watch.tensor), proof.images);
    }
    proof.images +=
        inputs.first().and_then(|(_, value)| value.shape().first()).copied().unwrap_or(1);
    Ok(())
}

/// Refuses values that the proof for every input left out: what it says about later layers need not hold for them.
fn covered(values: &InputValues, name: &str, value: &Value) -> Result<(), Error> {
    let Some(elements) = value.as_slice::<f32>() else { return Ok(()) };
    let pixel = |v: f32| {
        let k = (v * 255.0).round_ties_even();
        (0.0..=255.0).contains(&k) && k / 255.0 == v
    };
    let fits = |v: f32| match values {
        InputValues::Any => v.is_finite(),
        InputValues::Pixels => pixel(v),
        InputValues::Values(values) => values.contains(&v),
        InputValues::Range(lowest, highest) => (*lowest..=*highest).contains(&v),
    };
    match elements.iter().find(|v| !fits(**v)) {
        None => Ok(()),
        Some(v) => {
            Err(Error::tensor(format_args!("input {name:?}"), Fault::value("a value", v, values)))
        }
    }
}

impl PendingSum {
    /// Bounds the sums of a batch by those of magnitudes.
    ///
    /// Sums of numbers above zero are exact as long as they are below the limit, in whatever order they are computed, and
    /// once above it they stay above: so an ordinary convolution tells on which side a sum is.
    fn measure(&mut self, node: &Node<'_>, x: Value, images: usize) -> Result<(), Fault> {
        let layer = Magnitudes { node, w: node.constant(1).filter(|_| self.weighted) };
        let sums = layer.run(&x, f32::abs, f32::abs)?;
        let above = self.note(&sums, images, None);
        let mut found = above;
        if found.above > 0 {
            // Only what adds up in one direction at a time counts.
            let (up, down) = (above_zero as fn(f32) -> f32, below_zero as fn(f32) -> f32);
            let [a, b] = [layer.run(&x, up, up)?, layer.run(&x, down, down)?];
            found = self.note(&a, images, Some(&b));
            let [a, b] = [layer.run(&x, up, down)?, layer.run(&x, down, up)?];
            let other = self.note(&a, images, Some(&b));
            found = Largest {
                above: found.above + other.above,
                ..if other.units > found.units { other } else { found }
            };
        }
        self.largest = Some(match self.largest {
            Some(largest) if largest.units >= found.units => {
                Largest { above: largest.above + found.above, ..largest }
            }
            largest => {
                Largest { above: found.above + largest.map_or(0, |largest| largest.above), ..found }
            }
        });
        Ok(())
    }

    /// The largest of some sums, to each of which another one may be added.
    fn note(&self, sums: &Value, images: usize, more: Option<&Value>) -> Largest {
        let mut largest = Largest { units: 0.0, channel: 0, image: images, above: 0 };
        let values = sums.as_slice::<f32>().unwrap_or(&[]);
        let more = more.and_then(|more| more.as_slice::<f32>());
        let shape = sums.shape();
        let inner: usize = shape[self.axis + 1..].iter().product();
        let item: usize = shape[1..].iter().product();
        for (i, &v) in values.iter().enumerate() {
            let channel = i / inner.max(1) % self.exponents.len();
            let sum = more.map_or(v, |more| v + more[i]);
            let units = f64::from(sum) / power(self.exponents[channel]);
            // At the limit itself the sum may have been rounded down to it.
            largest.above += u64::from(units >= LIMIT as f64);
            if units > largest.units {
                largest = Largest { units, channel, image: images + i / item.max(1), ..largest };
            }
        }
        largest
    }

    /// What the images say about the layer.
    pub(super) fn decide(&self, layer: &mut Layer, images: usize) {
        let Some(largest) = self.largest else { return };
        if let Some(sum) = &mut layer.sum {
            sum.bound_units_of_images = Some(largest.units);
        }
        if largest.above == 0 {
            layer.verdict = Verdict::ProvedForTheseImages;
            return;
        }
        let Largest { units, channel, image, above } = largest;
        layer.reason = Some(format!(
            "in image {image} (of {images}, the first is 0) a sum of channel {channel} may reach {units:.0} units of 2^{}, more than {LIMIT}; \
             so may {above} sums in all",
            self.exponents[channel]
        ));
    }
}

fn above_zero(v: f32) -> f32 {
    v.max(0.0)
}

fn below_zero(v: f32) -> f32 {
    (-v).max(0.0)
}

/// A layer with the magnitudes of its weights and inputs.
struct Magnitudes<'n> {
    node: &'n Node<'n>,
    w: Option<&'n Tensor>,
}

impl Magnitudes<'_> {
    /// The layer without its bias, of `f(x)` and `g(w)`.
    fn run(&self, x: &Value, f: fn(f32) -> f32, g: fn(f32) -> f32) -> Result<Value, Fault> {
        let mapped = |value: &Value, f: fn(f32) -> f32| {
            let values =
                value.as_slice::<f32>().unwrap_or(&[]).iter().map(|&v| f(v)).collect::<Vec<_>>();
            Tensor::of(value.shape().to_vec(), values)
        };
        let (x, w) = (mapped(x, f), self.w.map(|w| mapped(w.value(), g)));
        let options = Options::default();
        let special = self.node.operator.specialize(&[None, w.as_ref()], options);
        let operator: &dyn Operator = special.as_deref().unwrap_or(&*self.node.operator);
        let context = Context { options, largest: usize::MAX, batch: None };
        // Without a bias.
        let (mut given, mut constant) = (vec![Some(x)], vec![false]);
        if w.is_some() {
            given.push(w);
            constant.push(true);
        }
        let mut results = operator.run(&mut Inputs::new(given, constant, true), &context)?;
        Ok(results.swap_remove(0).into_value())
    }
}

impl Watch {
    pub(super) fn new(
        layer: usize,
        tensor: &str,
        axis: usize,
        places: Vec<Disagreement>,
        total: u64,
    ) -> Self {
        let seen = vec![0; places.len()];
        Self { layer, tensor: tensor.to_owned(), axis, places, total, seen, first: None }
    }

    fn look(&mut self, tensor: &Value, images: usize) {
        let shape = tensor.shape();
        let inner: usize = shape[self.axis + 1..].iter().product();
        let item: usize = shape[1..].iter().product();
        let values = tensor.as_slice::<f32>().unwrap_or(&[]);
        for (i, &v) in values.iter().enumerate() {
            let channel = i / inner.max(1) % shape[self.axis];
            for (place, seen) in self.places.iter().zip(&mut self.seen) {
                // A function that is the same for all channels has one channel.
                if place.value == v
                    && (place.channel == channel || place.channel == 0 && self.axis == 0)
                {
                    *seen += 1;
                }
            }
            if self.first.is_none()
                && let Some(place) = self.seen.iter().position(|&seen| seen > 0)
            {
                self.first = Some((images + i / item.max(1), place));
            }
        }
    }

    /// What the images say about the layer.
    pub(super) fn decide(&self, layer: &mut Layer, images: usize) {
        for (disagreement, &seen) in layer.disagreements.iter_mut().zip(&self.seen).take(SHOWN) {
            disagreement.seen_in_images = Some(seen);
        }
        match self.first {
            None if self.total <= PLACES as u64 => layer.verdict = Verdict::ProvedForTheseImages,
            None => {}
            Some((image, place)) => {
                let Disagreement { channel, value, onnxruntime, pytorch, .. } = &self.places[place];
                layer.reason = Some(format!(
                    "image {image} (of {images}, the first is 0) has the value {value} in channel {channel}: onnxruntime and fewbit give \
                     {onnxruntime}, PyTorch gives {pytorch}"
                ));
            }
        }
    }
}
