//! The trainer's network against the exported file: values, predictions, and what is stored.

mod comparison;
mod constants;
mod findings;
mod topology;

use std::path::Path;
use std::time::Instant;

use fewbit_data::{Batch, Dataset, Loader, LoaderConfig};
use fewbit_nn::network::Taps;
use fewbit_nn::{Network, Pass, Tensor};
use fewbit_onnx::proto::ModelProto;
use fewbit_qonnx::{Outputs, Value};
use fewbit_train::Hits;

use crate::commands::run::ModeArg;
use crate::console::{Console, grouped, seconds};
use crate::executor::Executor;
use crate::failure::{Failure, Outcome};
use crate::interrupt;
use crate::progress::Progress;
pub use constants::Constants;
pub use findings::Findings;
use findings::{OtherShape, PlanFinding, TensorFinding};
use topology::Renamed;

/// What is compared with what.
pub struct Subjects<'a> {
    /// The trainer's network.
    pub network: &'a mut Network,
    /// What the exporter writes for it.
    pub expected: &'a ModelProto,
    /// The file.
    pub model: &'a Path,
    /// The images.
    pub dataset: &'a Dataset,
}

/// How it is compared.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// How the executor computes.
    pub mode: ModeArg,
    /// Images at a time, at most; changes nothing else.
    pub batch: usize,
}

/// Values of the trainer that are held at a time, at most, beyond those of one image. The file has as many, and as many again on the
/// way to them: about two gigabytes in all.
const VALUES: usize = 1 << 26;

/// Compares network and file on all images.
pub fn verify(subjects: Subjects<'_>, manner: Manner, console: &Console) -> Outcome<Findings> {
    let Subjects { network, expected, model, dataset } = subjects;
    let started = Instant::now();
    let file = match Executor::open(model, manner.mode) {
        Ok(file) => file,
        Err(failure) => {
            return unexecuted(failure, &network.config().name, expected, model, dataset, manner);
        }
    };
    let renamed = Renamed::find(expected, file.proto());
    let constants = Constants::compare(expected, &renamed.restore(file.proto()));
    let mut run = Run {
        renamed,
        tensors: Vec::new(),
        only_in_trainer: Vec::new(),
        trainer_hits: Hits::default(),
        file_hits: Hits::default(),
        predictions_differ: 0,
        plan: None,
    };
    let batch = affordable(network, &file, dataset, manner.batch)?;
    let loader = Loader::new(dataset, LoaderConfig::in_order(batch))?;
    let total = dataset.len() as u64;
    let mut bar = Progress::new(console);
    let mut first_image = 0;
    for batch in loader.epoch(0) {
        if interrupt::requested() {
            return Err(Failure::interrupted("interrupted; nothing was verified"));
        }
        let count = batch.count as u64;
        if let Err(failure) = run.batch(network, &file, batch, dataset.image_shape(), first_image) {
            return unexecuted(failure, &network.config().name, expected, model, dataset, manner);
        }
        first_image += count;
        bar.show(first_image, total, || {
            let spent = started.elapsed().as_secs_f64();
            let left = spent * (total - first_image) as f64 / first_image as f64;
            format!("verifying image {}, {} left", grouped(first_image), seconds(left))
        });
    }
    drop(bar);
    Ok(Findings {
        network: network.config().name.clone(),
        dataset: dataset.name().to_string(),
        mode: manner.mode.name(),
        images: first_image,
        tensors: run.tensors,
        only_in_trainer: run.only_in_trainer,
        trainer_hits: run.trainer_hits,
        file_hits: run.file_hits,
        predictions_differ: run.predictions_differ,
        plan: run.plan,
        constants,
        refused: None,
        seconds: started.elapsed().as_secs_f64(),
    })
}

/// How many images are computed at a time, so that all their tensors fit into memory.
fn affordable(
    network: &mut Network,
    file: &Executor,
    dataset: &Dataset,
    wanted: usize,
) -> Outcome<usize> {
    let Some(first) = Loader::new(dataset, LoaderConfig::in_order(1))?.epoch(0).next() else {
        return Ok(wanted);
    };
    let [channels, height, width] = dataset.image_shape();
    let image = Tensor::from_vec(first.images, &[1, channels, height, width], network.device());
    let mut taps = Taps::all();
    network.forward_tapped(&image, Pass::Evaluation, &mut taps)?;
    let varies = |name: &str| !(file.knows(name) && file.is_constant(name));
    let tensors = taps.into_tensors();
    let values = tensors.iter().filter(|(name, _)| varies(name)).map(|(_, tensor)| tensor.len());
    Ok((VALUES / values.sum::<usize>().max(1)).clamp(1, wanted.max(1)))
}

/// What there is to say of a file that cannot be executed: it differs if something that it stores does. Where
/// all is stored as the exporter does, the fault is none of the file's, and an error.
fn unexecuted(
    failure: Failure,
    network: &str,
    expected: &ModelProto,
    model: &Path,
    dataset: &Dataset,
    manner: Manner,
) -> Outcome<Findings> {
    let file = fewbit_onnx::read_model(model)?;
    let renamed = Renamed::find(expected, &file);
    let constants = Constants::compare(expected, &renamed.restore(&file));
    if constants.constants_differ == 0 {
        return Err(failure);
    }
    Ok(Findings {
        network: network.to_owned(),
        dataset: dataset.name().to_string(),
        mode: manner.mode.name(),
        images: 0,
        tensors: Vec::new(),
        only_in_trainer: Vec::new(),
        trainer_hits: Hits::default(),
        file_hits: Hits::default(),
        predictions_differ: 0,
        plan: None,
        constants,
        refused: Some(failure.message()),
        seconds: 0.0,
    })
}

/// What was found so far.
struct Run {
    renamed: Renamed,
    tensors: Vec<TensorFinding>,
    only_in_trainer: Vec<String>,
    trainer_hits: Hits,
    file_hits: Hits,
    predictions_differ: u64,
    plan: Option<PlanFinding>,
}

impl Run {
    fn batch(
        &mut self,
        network: &mut Network,
        file: &Executor,
        batch: Batch,
        image_shape: [usize; 3],
        first_image: u64,
    ) -> Outcome<()> {
        let [channels, height, width] = image_shape;
        let shape = [batch.count, channels, height, width];
        let images = Tensor::from_vec(batch.images.clone(), &shape, network.device());
        let mut taps = Taps::all();
        let logits = network.forward_tapped(&images, Pass::Evaluation, &mut taps)?;
        let mut trainer = taps.into_tensors();
        // The last tensor is the logits, which the file may call by the name of its output.
        if trainer.last().is_some_and(|(name, _)| !file.knows(name) || name == file.logits()) {
            trainer.pop();
        }
        trainer.push((file.logits().to_owned(), logits.clone()));
        let own: Vec<String> = trainer.iter().map(|(name, _)| name.clone()).collect();
        for (name, _) in &mut trainer {
            if let Some(in_file) = self.renamed.in_file(name) {
                in_file.clone_into(name);
            }
        }
        if first_image == 0 {
            for ((in_file, _), own) in trainer.iter().zip(own) {
                if file.knows(in_file) {
                    self.tensors.push(TensorFinding::new(&own, in_file));
                } else {
                    self.only_in_trainer.push(own);
                }
            }
            trainer.retain(|(name, _)| file.knows(name));
        } else {
            // What the images do not change is compared once.
            trainer.retain(|(name, _)| file.knows(name) && !file.is_constant(name));
        }
        let keep: Vec<&str> = trainer.iter().map(|(name, _)| name.as_str()).collect();
        let (input, images) = file.images(batch.images, &shape)?;
        let computed = file.run(&[(input, images.clone())], &keep)?;
        self.add_plan(file, (input, images), first_image, &computed)?;
        for (name, tensor) in &trainer {
            let extent =
                if file.is_constant(name) { Extent::Once } else { Extent::Images(batch.count) };
            let place = self.tensors.iter_mut().find(|finding| finding.in_file == *name);
            let finding = place.expect("all tensors were entered with the first batch");
            let value = computed.get(name).expect("it was asked for");
            finding.add(first_image, extent, tensor, value);
        }
        let file_logits = computed.first().as_slice::<f32>().unwrap_or_default();
        let classes = logits.shape()[1];
        logits.read(|logits| self.judge(logits, file_logits, &batch.labels, classes));
        Ok(())
    }

    /// The outputs once more, when nothing else is asked for: then they follow the plan, if the file has one.
    fn add_plan(
        &mut self,
        file: &Executor,
        images: (&str, Value),
        first_image: u64,
        steps: &Outputs,
    ) -> Outcome<()> {
        if first_image > 0 && self.plan.is_none() {
            return Ok(());
        }
        let planned = file.run(&[images], &[])?;
        let Some(stages) = file.model().planned_stages() else { return Ok(()) };
        let finding = self.plan.get_or_insert_with(|| PlanFinding::new(stages));
        for output in file.model().outputs() {
            let (steps, plan) = (steps.get(output.name()), planned.get(output.name()));
            let (steps, plan) = steps.zip(plan).expect("both runs give all outputs");
            match steps.as_slice::<f32>().zip(plan.as_slice::<f32>()) {
                Some((values, found)) if steps.shape() == plan.shape() => {
                    let images = steps.shape().first().copied().unwrap_or(1);
                    finding.comparison.add(first_image, images, values, found);
                }
                _ => finding.other_shapes += u64::from(steps != plan),
            }
        }
        Ok(())
    }

    /// Counts right answers and different ones.
    fn judge(&mut self, trainer: &[f32], file: &[f32], labels: &[u8], classes: usize) {
        self.trainer_hits.add(Hits::count(trainer, labels, classes));
        if file.len() != trainer.len() {
            // A file that answers in another shape predicts nothing.
            self.predictions_differ += labels.len() as u64;
            return;
        }
        self.file_hits.add(Hits::count(file, labels, classes));
        let pairs = trainer.chunks_exact(classes).zip(file.chunks_exact(classes));
        let differ = pairs.filter(|(left, right)| prediction(left) != prediction(right)).count();
        self.predictions_differ += differ as u64;
    }
}

/// What a tensor has along its first axis.
#[derive(Clone, Copy)]
enum Extent {
    /// So many images.
    Images(usize),
    /// No images: it is the same for all of them.
    Once,
}

impl TensorFinding {
    fn add(&mut self, first_image: u64, extent: Extent, trainer: &Tensor, file: &Value) {
        let shape = trainer.shape();
        let (images, of_one) = match extent {
            Extent::Images(count) => (count, &shape[1..]),
            Extent::Once => (1, &shape[..]),
        };
        self.shape.get_or_insert_with(|| of_one.to_vec());
        match file.as_slice::<f32>() {
            Some(values) if file.shape() == shape => {
                trainer.read(|trainer| self.comparison.add(first_image, images, trainer, values));
            }
            _ => {
                let file = format!("{} {:?}", file.dtype(), file.shape());
                self.other_shape
                    .get_or_insert(OtherShape { trainer: format!("float32 {shape:?}"), file });
            }
        }
    }
}

/// The class with the largest logit, the first of several; NaN is smaller than every number.
fn prediction(logits: &[f32]) -> Option<usize> {
    let numbers = logits.iter().enumerate().filter(|(_, logit)| !logit.is_nan());
    let best = numbers.reduce(|best, next| if next.1 > best.1 { next } else { best });
    best.map(|(class, _)| class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn predictions_by_hand() {
        assert_eq!(prediction(&[1.0, 3.0, 3.0]), Some(1));
        assert_eq!(prediction(&[f32::NAN, -1.0, f32::NAN]), Some(1));
        assert_eq!(prediction(&[f32::NAN]), None);
    }
}
