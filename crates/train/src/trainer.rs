//! The training loop.

mod outputs;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use fewbit_data::{Batch, Dataset, Loader, LoaderConfig};
use fewbit_nn::network::{LoadReport, StateData, StateTensor, Strictness};
use fewbit_nn::{Device, Network, Tensor};

use crate::accuracy::Meter;
use crate::checkpoint::Checkpoint;
use crate::clock::Clock;
use crate::config::{Recipe, TrainConfig};
use crate::danger::moment;
use crate::divergence::{self, DeadLayers, LayerCheck};
use crate::error::{Error, ErrorKind};
use crate::evaluation::{Evaluation, evaluate, evaluate_timed};
use crate::log_file::TrainLine;
use crate::metrics::EpochRecord;
use crate::observer::{DeadStep, EpochEnd, Observer, Start, TestBatch, TrainBatch};
use crate::optimizer::{GradientCheck, Optimizer};
use crate::progress::{Progress, Running, Verdict};
use crate::pytorch::{Contents, Imported};
use crate::run_folder::RunFolder;
use crate::schedule::Schedule;
use crate::step::{Examples, StepError, StepResult, StepSettings, train_step};
use outputs::Outputs;

/// A training: a network, its optimizer, its data, and how far it has come.
///
/// The same recipe and data give the same bits, on any number of threads, and however often the
/// training was interrupted.
#[derive(Debug)]
pub struct Trainer {
    config: TrainConfig,
    schedule: Schedule,
    network: Network,
    /// With weight averaging, the state of the average: nothing before the first step.
    average: Option<BTreeMap<String, StateTensor>>,
    optimizer: Optimizer,
    progress: Progress,
    train: Loader,
    test: Dataset,
    /// Layers that did not learn when they were last looked for.
    dead: Option<DeadLayers>,
}

/// How a training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All epochs are done.
    Finished,
    /// The test accuracy has not improved for a long time.
    StoppedEarly,
    /// The observer asked to stop; the last checkpoint is up to date.
    Interrupted,
}

impl Trainer {
    /// Prepares a training from the start: seeds, then builds the network.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] if the plan cannot be or the data is not what it says.
    pub fn new(
        config: &TrainConfig,
        train: &Dataset,
        test: &Dataset,
        device: &Device,
    ) -> Result<Self, Error> {
        config.validate()?;
        let recipe = &config.recipe;
        check_data(recipe, train)?;
        check_data(recipe, test)?;
        let seed = recipe.random_seed;
        let order = LoaderConfig {
            workers: config.run.num_workers,
            augmentation: recipe.augment.of(recipe.dataset),
            ..LoaderConfig::shuffled(recipe.batch_size, seed)
        };
        let train = Loader::new(train, order)?;
        check_batches(train.dataset().len(), recipe.batch_size)?;
        let progress = Progress {
            train_images: train.dataset().len() as u64,
            test_images: test.len() as u64,
            ..Progress::default()
        };
        Ok(Self {
            schedule: recipe.schedule(train.batches() as u64),
            network: Network::new(&recipe.network, seed, device)?,
            average: None,
            optimizer: Optimizer::new(recipe),
            config: config.clone(),
            progress,
            train,
            test: test.clone(),
            dead: None,
        })
    }

    /// Goes on where a checkpoint was written; the recipe may differ in when it ends.
    ///
    /// # Errors
    /// [`ErrorKind::OtherNetwork`], [`ErrorKind::OtherRecipe`] if the checkpoint is of something else,
    /// [`ErrorKind::Malformed`] if its tensors are not those of the network.
    pub fn resume(
        config: &TrainConfig,
        checkpoint: &Checkpoint,
        train: &Dataset,
        test: &Dataset,
        device: &Device,
    ) -> Result<Self, Error> {
        let file = checkpoint.file();
        config.recipe.check_continues(&checkpoint.recipe, file)?;
        let mut trainer = Self::new(config, train, test, device)?;
        let (saved, own) = (&checkpoint.progress, trainer.progress);
        for (field, saved, wanted) in [
            ("a training set of images", saved.train_images, own.train_images),
            ("a test set of images", saved.test_images, own.test_images),
        ] {
            if saved != wanted {
                let (saved, wanted) = (saved.to_string(), wanted.to_string());
                let file = file.to_owned();
                return Err(ErrorKind::OtherRecipe { file, field, saved, wanted }.into());
            }
        }
        let batches = trainer.train.batches() as u64;
        let steps = saved
            .epochs_finished
            .checked_mul(batches)
            .and_then(|n| n.checked_add(saved.steps_in_epoch));
        if saved.steps_in_epoch > batches || steps != Some(saved.steps) {
            let found =
                format!("{} steps, {} of them in the epoch", saved.steps, saved.steps_in_epoch);
            let expected = format!("{batches} steps in each of {} epochs", saved.epochs_finished);
            return Err(Error::malformed(file, "progress", found, expected));
        }
        trainer.network = checkpoint.network(device)?;
        if let Some(training) = &checkpoint.training {
            trainer.average = Some(trainer.network.state());
            trainer
                .network
                .load_state(training, Strictness::Strict)
                .map_err(|error| named(error, file, "training."))?;
        }
        trainer.optimizer =
            Optimizer::restore(&config.recipe, &mut trainer.network, &checkpoint.optimizer, file)?;
        trainer.progress = *saved;
        Ok(trainer)
    }

    /// Goes on where a training of PyTorch was saved: with its network, its optimizer's state and
    /// settings, and after its last epoch. What the file does not tell, `config` does.
    ///
    /// A network that was trained is evaluated: it is the best so far.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] if the file is not one of this network, or of an optimizer with settings
    /// that ours does not have.
    pub fn import(
        config: &TrainConfig,
        contents: &Contents,
        strictness: Strictness,
        train: &Dataset,
        test: &Dataset,
        device: &Device,
    ) -> Result<(Self, LoadReport), Error> {
        let imported = contents.checkpoint(&config.recipe, strictness)?;
        let mut moments = contents.optimizer()?.unwrap_or_default();
        imported.keep_known(&mut moments);
        let batches = train.len().div_ceil(config.recipe.batch_size.max(1)) as u64;
        let epochs_finished = contents.epochs_finished(&moments, batches);
        let recipe = contents.settings(&imported.checkpoint.recipe, epochs_finished)?;
        let config = TrainConfig { recipe, run: config.run.clone() };
        let mut trainer = Self::new(&config, train, test, device)?;
        let Imported { checkpoint, report } = imported;
        trainer.network = checkpoint.network(device)?;
        let file = contents.file();
        trainer.optimizer =
            Optimizer::restore(&config.recipe, &mut trainer.network, &moments, file)?;
        let steps = epochs_finished.checked_mul(batches).ok_or_else(|| {
            Error::malformed(file, "epoch", epochs_finished, "a number of epochs")
        })?;
        trainer.progress = Progress { epochs_finished, steps, ..trainer.progress };
        if epochs_finished > 0 {
            let Recipe { batch_size, loss, .. } = config.recipe;
            let found = evaluate(&mut trainer.network, test, batch_size, loss)?;
            trainer.progress.judge(found.hits);
        }
        Ok((trainer, report))
    }

    /// Trains until it is done, or until the observer breaks off.
    ///
    /// With a folder, writes its log, metrics and checkpoints; what is in them from a run that came
    /// further than this training's start is cut off.
    ///
    /// # Errors
    /// [`ErrorKind::NotFinite`] if the training leaves the numbers, [`ErrorKind::Io`] if something
    /// cannot be written, [`ErrorKind::FolderInUse`] if another process writes there.
    pub fn run(
        &mut self,
        folder: Option<&RunFolder>,
        observer: &mut dyn Observer,
        clock: &dyn Clock,
    ) -> Result<Ended, Error> {
        let mut outputs = Outputs::open(folder, &self.progress, clock)?;
        observer.on_start(&Start {
            config: &self.config,
            progress: &self.progress,
            batches_per_epoch: self.train.batches() as u64,
            parameters: self.network.parameter_count(),
        });
        while !self.progress.is_done(&self.config.recipe) {
            let started = clock.elapsed();
            let training = match self.train_epoch(&mut outputs, observer, clock)? {
                ControlFlow::Continue(images_per_second) => images_per_second,
                ControlFlow::Break(()) => {
                    outputs.write_last(&self.checkpoint().to_bytes(), observer, clock)?;
                    return Ok(Ended::Interrupted);
                }
            };
            self.finish_epoch(started, training, &mut outputs, observer, clock)?;
        }
        let recipe = &self.config.recipe;
        let early = self.progress.epochs_finished < recipe.epochs;
        Ok(if early { Ended::StoppedEarly } else { Ended::Finished })
    }

    /// The rest of the epoch: its images per second, or a break.
    fn train_epoch(
        &mut self,
        outputs: &mut Outputs<'_>,
        observer: &mut dyn Observer,
        clock: &dyn Clock,
    ) -> Result<ControlFlow<(), f64>, Error> {
        let epoch = self.progress.epochs_finished + 1;
        let batches = self.train.batches() as u64;
        let done = usize::try_from(self.progress.steps_in_epoch).unwrap_or(usize::MAX);
        let mut loader = self.train.epoch(epoch).skip_batches(done);
        let (mut time, mut data) = (Meter::default(), Meter::default());
        let (epoch_started, mut images) = (clock.elapsed(), 0);
        let mut checkpointed = epoch_started;
        let mut images_per_second = f64::NAN;
        loop {
            let started = clock.elapsed();
            let Some(batch) = loader.next() else { break };
            data.add_time(clock.elapsed().saturating_sub(started));
            let (index, count) = (self.progress.steps_in_epoch, batch.count as u64);
            let (StepResult { loss, hits, dead, .. }, learning_rate) = self.step(batch, epoch)?;
            moment();
            let step = index + 1;
            if step == batches || self.progress.steps == 0 {
                self.judge_layers(dead, [epoch, step], outputs, observer, clock)?;
            }
            let running = &mut self.progress.running;
            running.loss.add(f64::from(loss), count as f64);
            running.hits.add(hits);
            self.progress.steps_in_epoch += 1;
            self.progress.steps += 1;
            let now = clock.elapsed();
            time.add_time(now.saturating_sub(started));
            images += count;
            images_per_second = rate(images, now.saturating_sub(epoch_started));
            let running = self.progress.running;
            let top1 = Meter::of(hits.top1_percent(), running.hits.top1_percent());
            let top5 = Meter::of(hits.top5_percent(), running.hits.top5_percent());
            if index % self.config.run.log_freq == 0 || index + 1 == batches {
                let loss = running.loss;
                let line = TrainLine { epoch, batch: index, batches, time, data, loss, top1, top5 };
                outputs.log(&line, clock)?;
            }
            let answer = observer.on_batch(&TrainBatch {
                epoch,
                epochs: self.config.recipe.epochs,
                batch: index + 1,
                batches,
                images: count,
                steps: self.progress.steps,
                learning_rate,
                loss: running.loss,
                top1_percent: top1,
                images_per_second,
            });
            if answer.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            if outputs.is_some() && self.checkpoint_is_due(now.saturating_sub(checkpointed)) {
                outputs.write_last(&self.checkpoint().to_bytes(), observer, clock)?;
                checkpointed = clock.elapsed();
            }
        }
        Ok(ControlFlow::Continue(images_per_second))
    }

    /// Tells of layers that do not learn, if that is news.
    fn judge_layers(
        &mut self,
        dead: Option<DeadLayers>,
        [epoch, step]: [u64; 2],
        outputs: &mut Outputs<'_>,
        observer: &mut dyn Observer,
        clock: &dyn Clock,
    ) -> Result<(), Error> {
        if dead == self.dead {
            return Ok(());
        }
        let found = DeadStep { epoch, step, layers: dead.as_ref() };
        let kind = if dead.is_some() { "Warning" } else { "Note" };
        outputs.log(&format_args!("{kind}: {found}"), clock)?;
        observer.on_dead_layers(&found);
        self.dead = dead;
        Ok(())
    }

    /// Whether the plan wants a checkpoint here, in the middle of an epoch.
    fn checkpoint_is_due(&self, since: Duration) -> bool {
        let run = &self.config.run;
        let by_steps = run.checkpoint_steps.is_some_and(|n| self.progress.steps.is_multiple_of(n));
        let by_time =
            run.checkpoint_seconds.is_some_and(|every| since >= Duration::from_secs(every));
        by_steps || by_time
    }

    /// One optimizer step, and its learning rate.
    fn step(&mut self, batch: Batch, epoch: u64) -> Result<(StepResult, f64), Error> {
        let [channels, height, width] = self.train.dataset().image_shape();
        let learning_rate = self.schedule.learning_rate(self.progress.steps);
        let shape = [batch.count, channels, height, width];
        let images = Tensor::from_vec(batch.images, &shape, self.network.device());
        let examples = Examples { images: images.clone(), labels: &batch.labels };
        // At the start of the training and at the end of each epoch.
        let layers = match self.progress.steps {
            0 => LayerCheck::On,
            _ if self.progress.steps_in_epoch + 1 == self.train.batches() as u64 => LayerCheck::On,
            _ => LayerCheck::Off,
        };
        let settings = StepSettings {
            layers,
            loss: self.config.recipe.loss,
            label_smoothing: self.config.recipe.label_smoothing,
            learning_rate,
            step: self.progress.steps,
            check: if self.config.run.detect_nan { GradientCheck::On } else { GradientCheck::Off },
        };
        let taken = train_step(&mut self.network, &mut self.optimizer, examples, &settings);
        let step = self.progress.steps_in_epoch + 1;
        let not_finite = |what, value, place| {
            Error::from(ErrorKind::NotFinite { what, value, epoch, step, learning_rate, place })
        };
        match taken {
            Ok(result) => {
                self.average();
                Ok((result, learning_rate))
            }
            Err(StepError::Loss(value)) => {
                let steps = self.progress.steps;
                let place = divergence::first_not_finite(&mut self.network, &images, steps);
                Err(not_finite("the loss".to_owned(), value, place))
            }
            Err(StepError::Gradient(bad)) => {
                Err(not_finite(format!("a gradient of {}", bad.parameter), bad.value, None))
            }
            Err(StepError::Refused(error)) => Err(error),
        }
    }

    /// Moves the average, if there is to be one, towards the network after a step.
    fn average(&mut self) {
        let Some(decay) = self.config.recipe.ema_decay else { return };
        match &mut self.average {
            None => self.average = Some(self.network.state()),
            Some(average) => self.network.average_into(average, decay),
        }
    }

    /// Evaluates, judges, records and saves a trained epoch.
    fn finish_epoch(
        &mut self,
        started: Duration,
        images_per_second: f64,
        outputs: &mut Outputs<'_>,
        observer: &mut dyn Observer,
        clock: &dyn Clock,
    ) -> Result<(), Error> {
        let evaluation = self.evaluate_logged(outputs, observer, clock)?;
        let Running { hits, loss } = self.progress.running;
        let first_step = self.progress.steps - self.progress.steps_in_epoch;
        self.progress.epochs_finished += 1;
        self.progress.steps_in_epoch = 0;
        self.progress.running = Running::default();
        let verdict = self.progress.judge(evaluation.hits);
        let record = EpochRecord {
            epoch: self.progress.epochs_finished,
            steps: self.progress.steps,
            learning_rate: self.schedule.learning_rate(first_step),
            train_loss: loss.average(),
            train_top1_percent: hits.top1_percent(),
            train_top5_percent: hits.top5_percent(),
            test_loss: evaluation.loss,
            test_top1_percent: evaluation.top1_percent,
            test_top5_percent: evaluation.top5_percent,
            best_test_top1_percent: self.progress.best.map_or(f64::NAN, |b| b.test_top1_percent),
            images_per_second,
            seconds: clock.elapsed().saturating_sub(started).as_secs_f64(),
        };
        outputs.record(&record, clock)?;
        let is_best = verdict == Verdict::Best;
        observer.on_epoch(&EpochEnd { record: &record, progress: &self.progress, is_best });
        if outputs.is_some() {
            let bytes = self.checkpoint().to_bytes();
            if is_best {
                outputs.write_best(&bytes, observer, clock)?;
            }
            outputs.write_last(&bytes, observer, clock)?;
        }
        Ok(())
    }

    fn evaluate_logged(
        &mut self,
        outputs: &mut Outputs<'_>,
        observer: &mut dyn Observer,
        clock: &dyn Clock,
    ) -> Result<Evaluation, Error> {
        let Recipe { batch_size, loss, .. } = self.config.recipe;
        let mut averaged = self.averaged()?;
        let network = averaged.as_mut().unwrap_or(&mut self.network);
        let evaluation =
            evaluate_timed(network, &self.test, batch_size, loss, clock, &mut |line| {
                observer.on_test_batch(&TestBatch {
                    batch: line.batch + 1,
                    batches: line.batches,
                    top1_percent: line.top1.average(),
                });
                outputs.log(line, clock)
            })?;
        outputs.flush()?;
        Ok(evaluation)
    }

    /// The network with the averaged weights, if there are any.
    fn averaged(&self) -> Result<Option<Network>, Error> {
        let Some(state) = &self.average else { return Ok(None) };
        let Recipe { network, random_seed, .. } = &self.config.recipe;
        let mut averaged = Network::new(network, *random_seed, self.network.device())?;
        averaged.load_state(state, Strictness::Strict)?;
        Ok(Some(averaged))
    }

    /// The state between two steps.
    pub fn checkpoint(&self) -> Checkpoint {
        let recipe = self.config.recipe.clone();
        let (own, optimizer) = (self.network.state(), self.optimizer.state());
        match &self.average {
            None => Checkpoint::new(recipe, self.progress, own, optimizer),
            Some(average) => Checkpoint::new(recipe, self.progress, average.clone(), optimizer)
                .with_training(own),
        }
    }

    /// The settings.
    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// How far the training has come.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The network that is trained, as it is now.
    pub fn network_mut(&mut self) -> &mut Network {
        &mut self.network
    }
}

impl Checkpoint {
    /// Builds the network and gives it the tensors of the checkpoint.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] if they are not those of the network.
    pub fn network(&self, device: &Device) -> Result<Network, Error> {
        let described = &self.recipe.network;
        // Before anything large is built: a description of a few bytes can ask for all the memory there
        // is. A small network is built, and the tensor that is missing is named then.
        let values: u64 = self.model.values().map(value_count).sum();
        if described.weight_count() > values.max(SMALL_NETWORK) {
            let expected = format!("the {} weights of {described}", described.weight_count());
            let found = format!("{values} values");
            return Err(Error::malformed(self.file(), "tensors of the model", found, expected));
        }
        let mut network = Network::new(described, self.recipe.random_seed, device)?;
        network
            .load_state(&self.model, Strictness::Strict)
            .map_err(|error| named(error, self.file(), "model."))?;
        Ok(network)
    }
}

/// Weights that are worth no thought: 16 MiB of them.
const SMALL_NETWORK: u64 = 1 << 22;

/// The number of a tensor's values.
fn value_count(tensor: &StateTensor) -> u64 {
    match &tensor.data {
        StateData::F32(values) => values.len() as u64,
        StateData::I64(values) => values.len() as u64,
    }
}

/// Says in which file the tensor is that the network does not accept, and what it is called there:
/// `prefix` and the network's name for it.
pub(crate) fn named(error: fewbit_nn::Error, file: &Path, prefix: &str) -> Error {
    use fewbit_nn::ErrorKind::{MissingState, StateMismatch, UnknownState};

    let place = |name: &str| format!("tensor \"{prefix}{name}\"");
    match error.kind() {
        StateMismatch { name, got, expected } => Error::malformed(file, place(name), got, expected),
        MissingState { name } => Error::malformed(file, place(name), "nothing", "a tensor"),
        UnknownState { name } => Error::malformed(file, place(name), "a tensor", "nothing"),
        _ => error.into(),
    }
}

fn check_data(recipe: &Recipe, data: &Dataset) -> Result<(), Error> {
    if data.name() != recipe.dataset {
        return Err(Error::invalid("dataset", data.name(), recipe.dataset.to_string()));
    }
    if data.image_shape() != recipe.network.image_shape || data.classes() > recipe.network.classes {
        let found = format!("images of {:?} in {} classes", data.image_shape(), data.classes());
        let expected =
            format!("{:?} in at most {}", recipe.network.image_shape, recipe.network.classes);
        return Err(Error::invalid("dataset", found, expected));
    }
    Ok(())
}

/// A batch of one image has no variance that batch normalization could divide by.
fn check_batches(images: usize, batch_size: usize) -> Result<(), Error> {
    if batch_size > 1 && images % batch_size != 1 {
        return Ok(());
    }
    let value = format!("{batch_size}, which leaves one of {images} images to a batch");
    Err(Error::invalid("batch_size", value, "batches of at least 2 images"))
}

fn rate(images: u64, time: Duration) -> f64 {
    images as f64 / time.as_secs_f64()
}

#[cfg(test)]
mod tests;
