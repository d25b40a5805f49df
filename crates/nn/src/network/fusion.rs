//! Layers that are computed as one: the quantizer of a sum, its normalization, the rectifier and the quantizer behind it.
//!
//! A step then passes over an activation three times instead of ten. The bits stay the same.

use super::layer::{BatchNorm, Layer, NamedLayer, Place, Run};
use crate::error::Error;
use crate::ops::{self, Activation, Quantized, Scales};
use crate::quantizer::{ActQuantizer, Known, Mode};
use crate::tensor::Tensor;

/// How many layers from the first on can be computed as one; 0 if it is no more than one.
pub(super) fn length(layers: &[NamedLayer], x: &Tensor, run: &Run<'_>) -> usize {
    // Who looks at the tensors in between has to get them.
    if run.taps.is_wanted() || !x.device().is_cpu() {
        return 0;
    }
    let shape = x.shape();
    if shape.len() < 3 || shape[2..].iter().product::<usize>() < 2 {
        return 0;
    }
    let kind = |i: usize| layers.get(i).map(|named| &named.layer);
    let mode = Mode::from(run.pass);
    let can_join = |i: usize| match kind(i) {
        Some(Layer::Quantize(quantizer)) => quantizer.scale_is_known(mode),
        Some(Layer::QuantizeShared(number)) => run.shared[*number].scale_is_known(mode),
        _ => false,
    };
    let mut length = 0;
    if matches!(kind(1), Some(Layer::BatchNorm(_))) && can_join(0) {
        length += 1;
    }
    for part in [
        |layer: &Layer| matches!(layer, Layer::BatchNorm(_)),
        |layer: &Layer| matches!(layer, Layer::Relu),
    ] {
        length += usize::from(kind(length).is_some_and(part));
    }
    length += usize::from(length > 0 && can_join(length));
    if length < 2 { 0 } else { length }
}

/// Computes layers that [`length`] has counted.
pub(super) fn forward(
    layers: &mut [NamedLayer],
    x: Quantized,
    run: &mut Run<'_>,
) -> Result<Quantized, Error> {
    let (pass, formula) = (run.pass, run.batch_norm);
    let mode = Mode::from(pass);
    let mut activation = Activation::default();
    let nothing = Tensor::full(1.0, &[1], &x.value.device());
    let mut scales = Scales { before: nothing.clone(), after: nothing };
    let mut norm: Option<(Place<'_>, &mut BatchNorm)> = None;
    let mut result = None;
    let last = layers.len() - 1;
    for (i, NamedLayer { name, layer }) in layers.iter_mut().enumerate() {
        let place = Place { name, pass, batch_norm: formula };
        let quantizer: &mut ActQuantizer = match layer {
            Layer::BatchNorm(batch_norm) => {
                norm = Some((place, batch_norm));
                continue;
            }
            Layer::Relu => {
                activation.rectify = true;
                continue;
            }
            Layer::Quantize(quantizer) => quantizer,
            Layer::QuantizeShared(number) => &mut run.shared[*number],
            _ => unreachable!("no layer that is computed with others"),
        };
        let Some(Known { rule, scale, grid, is_constant }) = quantizer.known(&x.value, mode)?
        else {
            continue;
        };
        if i == last {
            (activation.after, scales.after) = (Some(rule), scale.clone());
            result = Some((grid, (!is_constant).then_some(scale)));
        } else {
            (activation.before, scales.before) = (Some(rule), scale);
        }
    }
    let value = match norm {
        Some((place, norm)) => norm.activate(x.value, place, scales, activation)?,
        None => ops::activate_training(x.value, None, scales, activation)?.0,
    };
    Ok(match result {
        Some((grid, scale)) => Quantized { value, grid, scale },
        None => Quantized::plain(value),
    })
}
