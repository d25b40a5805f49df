//! BatchNormalization.

use fewbit_kernels::batch_norm::{self, ChannelShape, Formula};
use fewbit_kernels::program::{Lanes, Step};

use crate::attributes::Attributes;
use crate::error::Fault;
use crate::ops::planned::step;
use crate::ops::{Context, Input, Inputs, Operator, Planned, Site, one, only_first_batched};
use crate::tensor::Tensor;
use crate::{BatchNorm, Options};

#[derive(Debug)]
struct BatchNormalization {
    epsilon: f32,
    /// Scale, offset, mean and variance, if all are constant.
    prepared: Option<[Tensor; 4]>,
}

const NAMES: [&str; 4] = ["scale", "B", "mean", "var"];

pub(crate) fn new(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    let momentum = f64::from(attributes.float("momentum")?.unwrap_or(0.9));
    let epsilon = attributes.float("epsilon")?.unwrap_or(1e-5);
    if attributes.version() >= 14 && attributes.flag("training_mode", false)? {
        return Ok(Box::new(Training { epsilon, momentum }));
    }
    if attributes.version() < 9 {
        attributes.only_int("spatial", 1)?;
    }
    if attributes.version() < 7 {
        attributes.ignore("consumed_inputs");
        attributes.only_int("is_test", 1)?;
    }
    if attributes.output_count() > 1 {
        return Err(Fault::unsupported("an output for statistics"));
    }
    Ok(Box::new(BatchNormalization { epsilon, prepared: None }))
}

/// The values of scale, offset, mean and variance.
fn slices(parameters: &[Tensor; 4]) -> Result<[&[f32]; 4], Fault> {
    let [a, b, c, d] = parameters;
    let slice = |tensor| Tensor::slice::<f32>(tensor, "a parameter");
    Ok([slice(a)?, slice(b)?, slice(c)?, slice(d)?])
}

fn formula(options: Options) -> Formula {
    match options.batch_norm {
        BatchNorm::TwoRoundings => Formula::TwoRoundings,
        BatchNorm::Fused => Formula::Fused,
    }
}

impl Operator for BatchNormalization {
    fn run(&self, inputs: &mut Inputs, context: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(5)?;
        let x = inputs.take(0, "X")?;
        let shape = x.shape().to_vec();
        if shape.len() < 2 {
            return Err(Fault::shape("input 0 (X)", &shape, "two axes or more"));
        }
        let channels =
            ChannelShape { n: shape[0], c: shape[1], inner: shape[2..].iter().product() };
        let given;
        let parameters = match &self.prepared {
            Some(parameters) => parameters,
            None => {
                let mut take = |i: usize| inputs.take(i + 1, NAMES[i]);
                given = [take(0)?, take(1)?, take(2)?, take(3)?];
                &given
            }
        };
        for (i, (tensor, name)) in parameters.iter().zip(NAMES).enumerate() {
            if tensor.shape() != [channels.c] {
                let what = format!("input {} ({name})", i + 1);
                return Err(Fault::shape(&what, tensor.shape(), format!("[{}]", channels.c)));
            }
        }
        let [scale, offset, mean, variance] = slices(parameters)?;
        let values = x.slice::<f32>("input 0 (X)")?;
        let mut y = vec![0.0; values.len()];
        let formula = formula(context.options);
        batch_norm::inference(
            values,
            &mut y,
            channels,
            scale,
            offset,
            mean,
            variance,
            self.epsilon,
            formula,
        );
        Ok(one(shape, y))
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], _: &[usize]) -> bool {
        only_first_batched(inputs)
    }

    fn planned(&self, site: &Site<'_>) -> Option<Planned> {
        let parameters = self.prepared.as_ref().filter(|_| site.only_first())?;
        let channels = *site.shape.get(1)?;
        if parameters.iter().any(|tensor| tensor.shape() != [channels]) {
            return None;
        }
        let [scale, offset, mean, variance] = slices(parameters).ok()?;
        let formula = formula(site.options);
        let (a, b) = batch_norm::inference_coefficients(
            scale,
            offset,
            mean,
            variance,
            self.epsilon,
            formula,
        );
        let (a, b) = (Lanes::many(&a), Lanes::many(&b));
        step(match formula {
            Formula::TwoRoundings => Step::ScaleShift(a, b),
            Formula::Fused => Step::FusedScaleShift(a, b),
        })
    }

    fn specialize(&self, constants: &[Option<&Tensor>], _: Options) -> Option<Box<dyn Operator>> {
        let &[_, Some(scale), Some(offset), Some(mean), Some(var)] = constants else { return None };
        let prepared = Some([scale, offset, mean, var].map(Tensor::clone));
        Some(Box::new(BatchNormalization { epsilon: self.epsilon, prepared }))
    }
}

/// With the statistics of the batch itself, in f64; they are averaged with the running ones.
#[derive(Debug)]
struct Training {
    epsilon: f32,
    momentum: f64,
}

impl Operator for Training {
    fn run(&self, inputs: &mut Inputs, _: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(5)?;
        let x = inputs.take(0, "X")?;
        let &[n, c, ref rest @ ..] = x.shape() else {
            return Err(Fault::shape("input 0 (X)", x.shape(), "two axes or more"));
        };
        let mut take = |i: usize| inputs.take(i + 1, NAMES[i]);
        let parameters = [take(0)?, take(1)?, take(2)?, take(3)?];
        for (i, tensor) in parameters.iter().enumerate() {
            if tensor.shape() != [c] {
                let what = format!("input {} ({})", i + 1, NAMES[i]);
                return Err(Fault::shape(&what, tensor.shape(), format!("[{c}]")));
            }
        }
        let [scale, offset, mut means, mut variances] = slices(&parameters)?.map(<[f32]>::to_vec);
        let values = x.slice::<f32>("input 0 (X)")?;
        let inner: usize = rest.iter().product();
        let mut y = vec![0.0; values.len()];
        for channel in 0..c {
            let places = || {
                (0..n).flat_map(|item| (0..inner).map(move |i| (item * c + channel) * inner + i))
            };
            let count = (n * inner) as f64;
            let mean = places().map(|i| f64::from(values[i])).sum::<f64>() / count;
            let square = |i: usize| (f64::from(values[i]) - mean) * (f64::from(values[i]) - mean);
            let variance = places().map(square).sum::<f64>() / count;
            let factor = f64::from(scale[channel]) / (variance + f64::from(self.epsilon)).sqrt();
            for i in places() {
                let scaled = (f64::from(values[i]) - mean) * factor;
                y[i] = (scaled + f64::from(offset[channel])) as f32;
            }
            let average = |old: &mut f32, new: f64| {
                *old = (f64::from(*old) * self.momentum + new * (1.0 - self.momentum)) as f32;
            };
            average(&mut means[channel], mean);
            average(&mut variances[channel], variance);
        }
        Ok(vec![
            Tensor::of(x.shape().to_vec(), y),
            Tensor::of(vec![c], means),
            Tensor::of(vec![c], variances),
        ])
    }

    fn keeps_batch(&self, _: &[Input<'_>], _: &[usize]) -> bool {
        false
    }
}
