//! What a checkpoint keeps of a scale that is learned or measured.

use super::layer_state::f32_values;
use super::state::{StateData, StateTensor};
use crate::device::Device;
use crate::quantizer::{ActQuantizer, Collection};
use crate::tensor::Tensor;

/// The threshold that evaluation uses: what has been measured, later the parameter.
///
/// # Source
/// Brevitas' name.
pub const VALUE: &str = "act_quant.fused_activation_quant_proxy.tensor_quant.scaling_impl.value";
/// While it is measured: how often it has been.
pub const PASSES: &str = "act_quant.fused_activation_quant_proxy.tensor_quant.scaling_impl.counter";
/// While it is measured: the parameter, which waits.
pub const PARAMETER: &str =
    "act_quant.fused_activation_quant_proxy.tensor_quant.scaling_impl.waiting";

/// The mean of what a scale that is always measured has met.
///
/// # Source
/// Brevitas' name.
const MEAN: &str =
    "act_quant.fused_activation_quant_proxy.tensor_quant.scaling_impl.runtime_stats.running_stats";
/// How often it has been measured.
const MEASURED: &str =
    "act_quant.fused_activation_quant_proxy.tensor_quant.scaling_impl.runtime_stats.counter";

/// Of a learned scale nothing before the first pass; while the threshold is measured, what it takes to
/// go on.
pub fn of(quantizer: &ActQuantizer) -> Vec<(String, StateTensor)> {
    if let Some(running) = quantizer.measured() {
        let passes = i64::try_from(running.passes()).unwrap_or(i64::MAX);
        let mean = (MEAN.to_owned(), numbers(vec![running.mean()]));
        return vec![mean, (MEASURED.to_owned(), StateTensor::counter(passes))];
    }
    let Some(learned) = quantizer.learned() else { return vec![] };
    let passes = learned.collection().passes;
    if passes == 0 {
        return vec![];
    }
    let mut state = vec![(VALUE.to_owned(), numbers(learned.threshold()))];
    if !learned.is_collected() {
        state.push((PASSES.to_owned(), StateTensor::counter(i64::from(passes))));
        state.push((PARAMETER.to_owned(), numbers(learned.parameter().value().to_vec())));
    }
    state
}

/// All entries that there can be.
pub fn optional(quantizer: &ActQuantizer) -> Vec<(String, StateTensor)> {
    if quantizer.measured().is_some() {
        // The original does not save it.
        return vec![(MEASURED.to_owned(), StateTensor::counter(0))];
    }
    let Some(learned) = quantizer.learned() else { return vec![] };
    let threshold = numbers(learned.threshold());
    vec![
        (VALUE.to_owned(), threshold.clone()),
        (PASSES.to_owned(), StateTensor::counter(0)),
        (PARAMETER.to_owned(), threshold),
    ]
}

/// A single number has no dimensions, as the original's.
fn numbers(values: Vec<f32>) -> StateTensor {
    match values.len() {
        1 => StateTensor::f32(&[], values),
        count => StateTensor::f32(&[count], values),
    }
}

/// Takes over what [`of`] returned. A threshold alone ends the measuring, as in the original.
pub fn load<'a>(
    quantizer: &mut ActQuantizer,
    device: &Device,
    entry: impl Fn(&str) -> Option<&'a StateTensor>,
) {
    if let Some(running) = quantizer.measured_mut() {
        let Some(mean) = entry(MEAN) else { return };
        let passes = match entry(MEASURED).map(|tensor| &tensor.data) {
            Some(StateData::I64(passes)) => u64::try_from(passes[0]).unwrap_or(0),
            // The original counts anew after a restart, and multiplies what it meets first.
            Some(StateData::F32(_)) | None => 1,
        };
        return running.restore(passes, f32_values(mean)[0]);
    }
    let (Some(learned), Some(value)) = (quantizer.learned_mut(), entry(VALUE)) else { return };
    let parameter = |tensor: &StateTensor| {
        let values = f32_values(tensor).to_vec();
        let shape = [values.len()];
        Tensor::from_vec(values, &shape, device)
    };
    match (entry(PASSES).map(|tensor| &tensor.data), entry(PARAMETER)) {
        (Some(StateData::I64(passes)), Some(waiting)) => {
            let passes = u32::try_from(passes[0]).unwrap_or(u32::MAX);
            let buffer = f32_values(value).to_vec();
            learned.restore(parameter(waiting), Collection { passes, buffer });
        }
        _ => learned.finish_with(parameter(value)),
    }
}
