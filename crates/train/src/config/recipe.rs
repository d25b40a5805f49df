//! What decides every bit of a training's result.

use std::collections::BTreeMap;
use std::path::Path;

use fewbit_data::{Augmentation, DatasetName};
use fewbit_nn::config::{NetworkConfig, Quantization};
use serde::{Deserialize, Serialize};

use super::{Augment, Decayed, Loss, Optim, at_least_one};
use crate::error::{Error, ErrorKind};
use crate::schedule::{Schedule, Scheduler};

/// The settings that decide the result: the same recipe gives the same bits, on any number of
/// threads. Checkpoints contain it.
///
/// # Source
/// training.md 4.1; the fields have the names of the flags.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The data.
    #[serde(with = "super::names::dataset")]
    pub dataset: DatasetName,
    /// Only the first so many images of each part of the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// How training images are altered.
    #[serde(default, skip_serializing_if = "Augment::is_published")]
    pub augment: Augment,
    /// Images per optimizer step.
    pub batch_size: usize,
    /// Ways through the training images.
    pub epochs: u64,
    /// The learning rate that the scheduler starts from.
    pub lr: f64,
    /// The optimizer.
    pub optim: Optim,
    /// Momentum of SGD; Adam has none.
    pub momentum: f64,
    /// Whether the momentum of SGD is Nesterov's.
    #[serde(default, skip_serializing_if = "is_default")]
    pub nesterov: bool,
    /// Times the parameter, added to its gradient; with [`Optim::AdamW`] times the learning rate,
    /// subtracted from the parameter.
    pub weight_decay: f64,
    /// The parameters that decay.
    #[serde(default, skip_serializing_if = "is_default")]
    pub weight_decay_on: Decayed,
    /// The loss.
    pub loss: Loss,
    /// Part of the target of [`Loss::CrossEntropy`] that is spread over all classes while training;
    /// evaluation measures the loss without it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub label_smoothing: f64,
    /// How the learning rate changes.
    pub scheduler: Scheduler,
    /// Epochs after which [`Scheduler::Step`] lowers the learning rate.
    pub milestones: Vec<u64>,
    /// Epochs in which the learning rate rises. Nothing: three tenths of the training with
    /// [`Scheduler::OneCycle`], none with the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warmup_epochs: Option<u64>,
    /// What an optimizer step keeps of the average of the weights so far. With an average, that is the
    /// network which is evaluated, saved as the best and exported; the optimizer goes on with its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ema_decay: Option<f64>,
    /// Decides initial weights, the order of the images and what dropout drops.
    pub random_seed: u64,
    /// Whether to stop when the test accuracy has not improved for `patience` epochs.
    pub early_stopping: bool,
    /// Epochs without improvement after which early stopping stops.
    pub patience: u64,
    /// The network. Last, because TOML wants tables after plain values.
    pub network: NetworkConfig,
}

/// Options came one after the other: one that is off is not written, so that what was written before it was
/// known stays the same.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Recipe {
    /// The defaults of the published example for a network.
    pub fn new(network: NetworkConfig) -> Self {
        let cifar10 = network.image_shape == DatasetName::Cifar10.image_shape();
        Self {
            dataset: if cifar10 { DatasetName::Cifar10 } else { DatasetName::Mnist },
            limit: None,
            augment: Augment::Published,
            batch_size: 100,
            epochs: 1000,
            lr: 0.02,
            optim: Optim::Adam,
            momentum: 0.9,
            nesterov: false,
            weight_decay: 0.0,
            weight_decay_on: Decayed::All,
            loss: Loss::SquareHinge,
            label_smoothing: 0.0,
            scheduler: Scheduler::Fixed,
            milestones: vec![100, 150, 200, 250],
            warmup_epochs: None,
            ema_decay: None,
            random_seed: 1,
            early_stopping: false,
            patience: 100,
            network,
        }
    }

    /// Checks what a recipe may get wrong.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] naming the setting, its value and what would be right.
    pub fn validate(&self) -> Result<(), Error> {
        self.network.validate()?;
        at_least_one("batch_size", self.batch_size as u64)?;
        at_least_one("epochs", self.epochs)?;
        at_least_one("patience", self.patience)?;
        at_least_one("limit", self.limit.map_or(1, |limit| limit as u64))?;
        if !(self.lr > 0.0 && self.lr.is_finite()) {
            return Err(Error::invalid("lr", self.lr, "a number above 0"));
        }
        if !(0.0..1.0).contains(&self.momentum) {
            return Err(Error::invalid("momentum", self.momentum, "from 0 to below 1"));
        }
        if !(self.weight_decay >= 0.0 && self.weight_decay.is_finite()) {
            return Err(Error::invalid("weight_decay", self.weight_decay, "0 or more"));
        }
        if i64::try_from(self.random_seed).is_err() {
            return Err(Error::invalid("random_seed", self.random_seed, "below 2^63"));
        }
        if self.milestones.contains(&0) {
            return Err(Error::invalid("milestones", "0", "epochs, the first of which is 1"));
        }
        self.validate_options()?;
        let (wanted, given) = (self.network.image_shape, self.dataset.image_shape());
        if wanted != given {
            let expected = format!("images of {wanted:?}, as {} wants them", self.network.name);
            return Err(Error::invalid(
                "dataset",
                format!("{} ({given:?})", self.dataset),
                expected,
            ));
        }
        if self.network.classes < self.dataset.classes() {
            let expected =
                format!("at most the {} classes of {}", self.network.classes, self.network.name);
            let value = format!("{} ({} classes)", self.dataset, self.dataset.classes());
            return Err(Error::invalid("dataset", value, expected));
        }
        Ok(())
    }

    /// Checks the options that belong to some optimizer, loss or scheduler.
    fn validate_options(&self) -> Result<(), Error> {
        if self.nesterov && self.optim != Optim::Sgd {
            let expected = format!("false: {} has no such momentum, SGD has", self.optim);
            return Err(Error::invalid("nesterov", true, expected));
        }
        if self.nesterov && self.momentum == 0.0 {
            return Err(Error::invalid("nesterov", true, "false without momentum"));
        }
        if !(0.0..=1.0).contains(&self.label_smoothing) {
            return Err(Error::invalid("label_smoothing", self.label_smoothing, "from 0 to 1"));
        }
        if self.label_smoothing > 0.0 && self.loss != Loss::CrossEntropy {
            let expected = format!("0: {} knows no label smoothing, CrossEntropy does", self.loss);
            return Err(Error::invalid("label_smoothing", self.label_smoothing, expected));
        }
        if let Some(decay) = self.ema_decay
            && !(0.0..1.0).contains(&decay)
        {
            return Err(Error::invalid("ema_decay", decay, "from 0 to below 1"));
        }
        // One-cycle has to come down again.
        let most = match self.scheduler {
            Scheduler::OneCycle => self.epochs.saturating_sub(1),
            Scheduler::Fixed | Scheduler::Step | Scheduler::Cosine => self.epochs,
        };
        if let Some(epochs) = self.warmup_epochs.filter(|&epochs| epochs > most) {
            let expected = format!("at most {most} of {} epochs", self.epochs);
            return Err(Error::invalid("warmup_epochs", epochs, expected));
        }
        let [_, height, width] = self.network.image_shape;
        let Augmentation { crop_padding, cutout, .. } = self.augment.of(self.dataset);
        if crop_padding.max(cutout) > height.min(width) {
            let expected = format!("at most {} pixels, the side of an image", height.min(width));
            return Err(Error::invalid("augment", self.augment, expected));
        }
        Ok(())
    }

    /// The learning rate over time.
    pub fn schedule(&self, steps_per_epoch: u64) -> Schedule {
        Schedule {
            scheduler: self.scheduler,
            base: self.lr,
            milestones: self.milestones.clone(),
            warmup_epochs: self.warmup_epochs,
            epochs: self.epochs,
            steps_per_epoch,
        }
    }

    /// Checks that a run of the recipe `saved` in the checkpoint `file` can go on with this one: only
    /// when it ends may differ (`epochs`, `early_stopping`, `patience`).
    ///
    /// # Errors
    /// [`ErrorKind::OtherNetwork`] or [`ErrorKind::OtherRecipe`] with both values.
    pub fn check_continues(&self, saved: &Self, file: &Path) -> Result<(), Error> {
        self.check_same_network(&saved.network, file)?;
        // All fields are named, so that a new one cannot be forgotten.
        let Self {
            dataset,
            limit,
            augment,
            batch_size,
            epochs: _,
            lr,
            optim,
            momentum,
            nesterov,
            weight_decay,
            weight_decay_on,
            loss,
            label_smoothing,
            scheduler,
            milestones,
            warmup_epochs,
            ema_decay,
            random_seed,
            early_stopping: _,
            patience: _,
            network: _,
        } = self;
        let different = |field, wanted: String, saved: String| {
            if wanted == saved {
                return Ok(());
            }
            Err(Error::from(ErrorKind::OtherRecipe { file: file.to_owned(), field, saved, wanted }))
        };
        fn or_none<T: ToString>(value: &Option<T>) -> String {
            value.as_ref().map_or("none".to_owned(), ToString::to_string)
        }
        different("dataset", dataset.to_string(), saved.dataset.to_string())?;
        different("limit", or_none(limit), or_none(&saved.limit))?;
        // What is done counts, not what it is called.
        let altered = |augment: &Augment| augment.of(*dataset).to_string();
        different("augment", altered(augment), altered(&saved.augment))?;
        different("batch_size", batch_size.to_string(), saved.batch_size.to_string())?;
        different("lr", lr.to_string(), saved.lr.to_string())?;
        different("optim", optim.to_string(), saved.optim.to_string())?;
        different("momentum", momentum.to_string(), saved.momentum.to_string())?;
        different("nesterov", nesterov.to_string(), saved.nesterov.to_string())?;
        different("weight_decay", weight_decay.to_string(), saved.weight_decay.to_string())?;
        let (decayed, saved_decayed) = (weight_decay_on.to_string(), &saved.weight_decay_on);
        different("weight_decay_on", decayed, saved_decayed.to_string())?;
        different("loss", loss.to_string(), saved.loss.to_string())?;
        let (smoothing, saved_smoothing) = (label_smoothing.to_string(), saved.label_smoothing);
        different("label_smoothing", smoothing, saved_smoothing.to_string())?;
        different("scheduler", scheduler.to_string(), saved.scheduler.to_string())?;
        different("milestones", format!("{milestones:?}"), format!("{:?}", saved.milestones))?;
        different("warmup_epochs", or_none(warmup_epochs), or_none(&saved.warmup_epochs))?;
        different("ema_decay", or_none(ema_decay), or_none(&saved.ema_decay))?;
        different("random_seed", random_seed.to_string(), saved.random_seed.to_string())
    }

    /// Checks that the checkpoint `file` of the network `saved` is one of this recipe's network.
    ///
    /// # Errors
    /// [`ErrorKind::OtherNetwork`] with both.
    pub fn check_same_network(&self, saved: &NetworkConfig, file: &Path) -> Result<(), Error> {
        if self.network == *saved {
            return Ok(());
        }
        let (mut wanted, mut was) = (self.network.name.clone(), saved.name.clone());
        if wanted == was {
            // The same name, another description.
            (wanted, was) = match (self.network.quantization, saved.quantization) {
                (Quantization::Off, Quantization::On) => {
                    (format!("{wanted} without quantizers"), format!("{was} with quantizers"))
                }
                (Quantization::On, Quantization::Off) => {
                    (format!("{wanted} with quantizers"), format!("{was} without quantizers"))
                }
                _ => differences(&self.network, saved),
            };
        }
        Err(ErrorKind::OtherNetwork { file: file.to_owned(), saved: was, wanted }.into())
    }
}

/// The first setting that two networks of one name have differently.
fn differences(wanted: &NetworkConfig, saved: &NetworkConfig) -> (String, String) {
    let settings = |network: &NetworkConfig| {
        let mut settings = BTreeMap::new();
        if let Ok(value) = toml::Value::try_from(network) {
            collect("", &value, &mut settings);
        }
        settings
    };
    let (own, other) = (settings(wanted), settings(saved));
    let name = own.keys().chain(other.keys()).find(|name| own.get(*name) != other.get(*name));
    let described = |network: &NetworkConfig, settings: &BTreeMap<String, String>| {
        let Some(name) = name else { return network.name.clone() };
        let key = name.rsplit('.').next().unwrap_or(name);
        match settings.get(name) {
            Some(value) => format!("{} with {key} = {value}", network.name),
            None => format!("{} without {key}", network.name),
        }
    };
    (described(wanted, &own), described(saved, &other))
}

/// All values by the path of their keys.
fn collect(path: &str, value: &toml::Value, into: &mut BTreeMap<String, String>) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                collect(&path, value, into);
            }
        }
        value => {
            into.insert(path.to_owned(), value.to_string());
        }
    }
}
