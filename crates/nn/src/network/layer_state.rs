//! What layers keep: parameters, running statistics, scales. Residual layers have their branches asked
//! instead.

use super::layer::{BatchNorm, Layer, TensorNorm};
use super::parameter::Parameter;
use super::scale_state as scale;
use super::state::{StateData, StateTensor};
use crate::device::Device;
use crate::quantizer::LearnedScale;
use crate::tensor::Tensor;

impl Layer {
    /// The trainable tensors with their names inside of the layer.
    pub(super) fn parameters(&self) -> Vec<(&'static str, &Parameter)> {
        match self {
            Self::Flatten
            | Self::ScaleShift { .. }
            | Self::Normalize { .. }
            | Self::Dropout(_)
            | Self::Relu
            | Self::MaxPool(_)
            | Self::AveragePool(_)
            | Self::TruncatedAveragePool { .. }
            | Self::QuantizeShared(_)
            | Self::Residual(_) => vec![],
            Self::Quantize(quantizer) => {
                quantizer.parameter().map(|scale| (scale::VALUE, scale)).into_iter().collect()
            }
            Self::Linear(linear) => {
                let bias = linear.bias.as_ref().map(|bias| ("bias", &bias.value));
                [("weight", &linear.weight)].into_iter().chain(bias).collect()
            }
            Self::Conv2d(conv) => vec![("weight", &conv.weight)],
            Self::BatchNorm(norm) => vec![("weight", &norm.weight), ("bias", &norm.bias)],
            Self::TensorNorm(norm) => vec![("weight", &norm.weight), ("bias", &norm.bias)],
        }
    }

    pub(super) fn parameters_mut(&mut self) -> Vec<(&'static str, &mut Parameter)> {
        match self {
            Self::Flatten
            | Self::ScaleShift { .. }
            | Self::Normalize { .. }
            | Self::Dropout(_)
            | Self::Relu
            | Self::MaxPool(_)
            | Self::AveragePool(_)
            | Self::TruncatedAveragePool { .. }
            | Self::QuantizeShared(_)
            | Self::Residual(_) => vec![],
            Self::Quantize(quantizer) => {
                let learned = quantizer.learned_mut().map(LearnedScale::parameter_mut);
                learned.map(|scale| (scale::VALUE, scale)).into_iter().collect()
            }
            Self::Linear(linear) => {
                let bias = linear.bias.as_mut().map(|bias| ("bias", &mut bias.value));
                [("weight", &mut linear.weight)].into_iter().chain(bias).collect()
            }
            Self::Conv2d(conv) => vec![("weight", &mut conv.weight)],
            Self::BatchNorm(norm) => vec![("weight", &mut norm.weight), ("bias", &mut norm.bias)],
            Self::TensorNorm(norm) => vec![("weight", &mut norm.weight), ("bias", &mut norm.bias)],
        }
    }

    /// Everything that a checkpoint keeps, with its name inside of the layer.
    pub(super) fn state(&self) -> Vec<(String, StateTensor)> {
        if let Self::Quantize(quantizer) = self {
            return scale::of(quantizer);
        }
        let mut state: Vec<(String, StateTensor)> = self
            .parameters()
            .into_iter()
            .map(|(name, parameter)| {
                let value = parameter.value();
                (name.to_owned(), StateTensor::f32(&value.shape(), value.to_vec()))
            })
            .collect();
        let mut statistic = |name: &str, tensor| state.push((name.to_owned(), tensor));
        match self {
            Self::Flatten
            | Self::ScaleShift { .. }
            | Self::Normalize { .. }
            | Self::Quantize(_)
            | Self::Dropout(_)
            | Self::Linear(_)
            | Self::Conv2d(_)
            | Self::Relu
            | Self::MaxPool(_)
            | Self::AveragePool(_)
            | Self::TruncatedAveragePool { .. }
            | Self::QuantizeShared(_)
            | Self::Residual(_) => {}
            Self::BatchNorm(BatchNorm { running_mean, running_var, batches_tracked, .. }) => {
                let channels = [running_mean.len()];
                statistic("running_mean", StateTensor::f32(&channels, running_mean.clone()));
                statistic("running_var", StateTensor::f32(&channels, running_var.clone()));
                statistic("num_batches_tracked", StateTensor::counter(*batches_tracked));
            }
            Self::TensorNorm(TensorNorm { running_mean, running_var, .. }) => {
                statistic("running_mean", StateTensor::f32(&[1], vec![*running_mean]));
                statistic("running_var", StateTensor::f32(&[1], vec![*running_var]));
            }
        }
        state
    }

    /// What the state may contain although it does not now, or lack although it contains it now.
    pub(super) fn optional_state(&self) -> Vec<(String, StateTensor)> {
        match self {
            Self::Quantize(quantizer) => scale::optional(quantizer),
            Self::Flatten
            | Self::ScaleShift { .. }
            | Self::Normalize { .. }
            | Self::Dropout(_)
            | Self::Linear(_)
            | Self::Conv2d(_)
            | Self::BatchNorm(_)
            | Self::TensorNorm(_)
            | Self::Relu
            | Self::MaxPool(_)
            | Self::AveragePool(_)
            | Self::TruncatedAveragePool { .. }
            | Self::QuantizeShared(_)
            | Self::Residual(_) => vec![],
        }
    }

    /// Replaces what [`Layer::state`] returns by the entries that `entry` finds; their shapes and
    /// types have been checked.
    pub(super) fn load_state<'a>(
        &mut self,
        device: &Device,
        entry: impl Fn(&str) -> Option<&'a StateTensor>,
    ) {
        if let Self::Quantize(quantizer) = self {
            return scale::load(quantizer, device, entry);
        }
        for (name, parameter) in self.parameters_mut() {
            if let Some(tensor) = entry(name) {
                let values = f32_values(tensor).to_vec();
                parameter.update(|_| Tensor::from_vec(values, &tensor.shape, device));
            }
        }
        match self {
            Self::Flatten
            | Self::ScaleShift { .. }
            | Self::Normalize { .. }
            | Self::Quantize(_)
            | Self::Dropout(_)
            | Self::Linear(_)
            | Self::Conv2d(_)
            | Self::Relu
            | Self::MaxPool(_)
            | Self::AveragePool(_)
            | Self::TruncatedAveragePool { .. }
            | Self::QuantizeShared(_)
            | Self::Residual(_) => {}
            Self::BatchNorm(norm) => {
                if let Some(tensor) = entry("running_mean") {
                    norm.running_mean = f32_values(tensor).to_vec();
                }
                if let Some(tensor) = entry("running_var") {
                    norm.running_var = f32_values(tensor).to_vec();
                }
                if let Some(StateTensor { data: StateData::I64(values), .. }) =
                    entry("num_batches_tracked")
                {
                    norm.batches_tracked = values[0];
                }
            }
            Self::TensorNorm(norm) => {
                if let Some(tensor) = entry("running_mean") {
                    norm.running_mean = f32_values(tensor)[0];
                }
                if let Some(tensor) = entry("running_var") {
                    norm.running_var = f32_values(tensor)[0];
                }
            }
        }
    }
}

pub(super) fn f32_values(tensor: &StateTensor) -> &[f32] {
    match &tensor.data {
        StateData::F32(values) => values,
        StateData::I64(_) => unreachable!("the type of an entry is checked before it is loaded"),
    }
}
