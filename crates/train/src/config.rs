//! What a training is: the settings that decide its result, and those that only say where and how
//! it runs. Nothing is optional here; what the user left out has been filled in.

mod augment;
mod names;
mod recipe;

use std::path::{Path, PathBuf};

use fewbit_nn::config::NetworkConfig;
use serde::{Deserialize, Serialize};

pub use augment::Augment;
pub use names::{Decayed, Loss, Optim};
pub use recipe::Recipe;

use crate::error::Error;

/// A resolved plan, as a run folder keeps it in `config.toml`.
///
/// # Examples
/// ```
/// use fewbit_nn::config::NetworkConfig;
/// use fewbit_train::TrainConfig;
/// let config = TrainConfig::new(NetworkConfig::named("LFC_1W1A")?);
/// assert_eq!((config.recipe.epochs, config.recipe.lr, config.run.log_freq), (1000, 0.02, 10));
/// assert_eq!(TrainConfig::from_toml(&config.to_toml()?, "config.toml".as_ref())?, config);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// What decides every bit of the result.
    pub recipe: Recipe,
    /// Where and how it runs.
    pub run: RunOptions,
}

/// The settings that do not change the result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunOptions {
    /// Folder of the dataset's files, or its parent.
    pub datadir: PathBuf,
    /// Parent of the run folders.
    pub experiments: PathBuf,
    /// Whether no files are written.
    pub dry_run: bool,
    /// Every so many batches are logged.
    pub log_freq: u64,
    /// Whether gradients are checked too; a loss that is not finite always ends the run.
    pub detect_nan: bool,
    /// Threads that prepare batches.
    pub num_workers: usize,
    /// Whether the best checkpoint is exported at the end.
    pub export_qonnx: bool,
    /// Whether it is exported as standard ONNX, too.
    #[serde(default)]
    pub export_qcdq_onnx: bool,
    /// Seconds after which a checkpoint is written in the middle of an epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_seconds: Option<u64>,
    /// Optimizer steps after which a checkpoint is written in the middle of an epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_steps: Option<u64>,
}

impl TrainConfig {
    /// The defaults of the published example for a network.
    pub fn new(network: NetworkConfig) -> Self {
        Self { recipe: Recipe::new(network), run: RunOptions::default() }
    }

    /// Checks everything that can be wrong before a training starts.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] naming the setting, its value and what would be right.
    pub fn validate(&self) -> Result<(), Error> {
        self.recipe.validate()?;
        let run = &self.run;
        at_least_one("log_freq", run.log_freq)?;
        at_least_one("checkpoint_seconds", run.checkpoint_seconds.unwrap_or(1))?;
        at_least_one("checkpoint_steps", run.checkpoint_steps.unwrap_or(1))?;
        if run.num_workers > MAX_WORKERS {
            return Err(Error::invalid(
                "num_workers",
                run.num_workers,
                format!("at most {MAX_WORKERS}"),
            ));
        }
        Ok(())
    }

    /// The text of a `config.toml`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] if a path is no Unicode or a number has no place in TOML.
    pub fn to_toml(&self) -> Result<String, Error> {
        toml::to_string(self).map_err(|error| {
            let found = format!("no TOML ({error})");
            Error::invalid("a setting", found, "Unicode paths and numbers below 2^63")
        })
    }

    /// Reads the text of a `config.toml`; `file` is named in errors.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] with line and column, or [`ErrorKind::InvalidConfig`].
    pub fn from_toml(text: &str, file: &Path) -> Result<Self, Error> {
        let config: Self = toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let place = format!("line {}", before.matches('\n').count() + 1);
            Error::malformed(file, place, error.message(), "the settings of a training")
        })?;
        config.validate()?;
        Ok(config)
    }
}

/// What the loader allows.
const MAX_WORKERS: usize = 1024;

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            datadir: "./data".into(),
            experiments: "./experiments".into(),
            dry_run: false,
            log_freq: 10,
            detect_nan: false,
            num_workers: 4,
            export_qonnx: false,
            export_qcdq_onnx: false,
            checkpoint_seconds: None,
            checkpoint_steps: None,
        }
    }
}

fn at_least_one(field: &'static str, value: u64) -> Result<(), Error> {
    if value == 0 { Err(Error::invalid(field, value, "1 or more")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use fewbit_data::DatasetName;
    use fewbit_nn::config::Quantization;

    use super::*;
    use crate::schedule::Scheduler;

    /// A name that the message must contain, and what makes the case.
    type Case<T> = (&'static str, fn(&mut T));

    fn config() -> TrainConfig {
        TrainConfig::new(NetworkConfig::named("TFC_2W2A").unwrap())
    }

    #[test]
    fn defaults_are_the_published_ones() {
        let TrainConfig { recipe, run } = config();
        assert_eq!(
            (recipe.dataset, recipe.batch_size, recipe.epochs),
            (DatasetName::Mnist, 100, 1000)
        );
        assert_eq!((recipe.lr, recipe.momentum, recipe.weight_decay), (0.02, 0.9, 0.0));
        assert_eq!((recipe.optim, recipe.loss), (Optim::Adam, Loss::SquareHinge));
        assert_eq!((recipe.scheduler, recipe.random_seed), (Scheduler::Fixed, 1));
        assert_eq!(recipe.milestones, [100, 150, 200, 250]);
        assert_eq!((recipe.early_stopping, recipe.patience), (false, 100));
        assert_eq!(
            (run.log_freq, run.num_workers, run.detect_nan, run.dry_run),
            (10, 4, false, false)
        );
        config().validate().unwrap();
    }

    #[test]
    fn files_round_trip() {
        let mut config = config();
        config.recipe.lr = 0.1 + 0.2;
        config.recipe.limit = Some(1000);
        config.recipe.optim = Optim::Sgd;
        config.recipe.random_seed = (1 << 63) - 1;
        config.run.checkpoint_seconds = Some(60);
        let text = config.to_toml().unwrap();
        assert!(
            text.contains("\noptim = \"SGD\"\n") && text.contains("\ndataset = \"mnist\"\n"),
            "{text}"
        );
        assert_eq!(TrainConfig::from_toml(&text, Path::new("c.toml")).unwrap(), config);
    }

    /// Files of earlier versions know nothing of later options: what is not used is not written, so that
    /// they, and checksums over them, stay what they were.
    #[test]
    fn options_that_are_off_leave_no_trace() {
        let text = config().to_toml().unwrap();
        let options =
            ["augment", "warmup_epochs", "nesterov", "weight_decay_on", "label_smoothing", "ema"];
        for option in options {
            assert!(!text.contains(option), "{option}: {text}");
        }
        let mut config = config();
        let recipe = &mut config.recipe;
        recipe.augment = "crop=2,cutout=8".parse().unwrap();
        (recipe.optim, recipe.nesterov) = (Optim::Sgd, true);
        (recipe.loss, recipe.label_smoothing) = (Loss::CrossEntropy, 0.1);
        (recipe.warmup_epochs, recipe.ema_decay) = (Some(5), Some(0.999));
        recipe.weight_decay_on = Decayed::Weights;
        let text = config.to_toml().unwrap();
        for line in ["augment = \"crop=2,cutout=8\"", "weight_decay_on = \"weights\""] {
            assert!(text.contains(line), "{text}");
        }
        assert_eq!(TrainConfig::from_toml(&text, Path::new("c.toml")).unwrap(), config);
    }

    #[test]
    fn damaged_files_are_refused_with_the_line() {
        let text = config().to_toml().unwrap();
        let cases = [
            ("lr = 0.02", "lr = fast", "line "),
            ("lr = 0.02", "lr = 0.02\nlearning_rate = 1.0", "learning_rate"),
            ("lr = 0.02", "", "lr"),
            ("\"FIXED\"", "\"FIXD\"", "FIXD"),
            ("\"mnist\"", "\"cifar100\"", "cifar100"),
            ("epochs = 1000", "epochs = -1", "-1"),
        ];
        for (old, new, words) in cases {
            assert!(text.contains(old), "{old}");
            let error =
                TrainConfig::from_toml(&text.replace(old, new), Path::new("c.toml")).unwrap_err();
            let message = error.to_string();
            assert!(message.contains("c.toml") && message.contains(words), "{message}");
        }
        for cut in 0..text.len() - 1 {
            TrainConfig::from_toml(&text[..cut], Path::new("c.toml")).map_or_else(drop, drop);
        }
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let cases: [Case<TrainConfig>; 25] = [
            ("batch_size", |c| c.recipe.batch_size = 0),
            ("epochs", |c| c.recipe.epochs = 0),
            ("patience", |c| c.recipe.patience = 0),
            ("limit", |c| c.recipe.limit = Some(0)),
            ("lr", |c| c.recipe.lr = 0.0),
            ("lr", |c| c.recipe.lr = f64::NAN),
            ("momentum", |c| c.recipe.momentum = 1.0),
            ("weight_decay", |c| c.recipe.weight_decay = -1.0),
            ("nesterov", |c| c.recipe.nesterov = true),
            ("nesterov", |c| {
                (c.recipe.nesterov, c.recipe.optim, c.recipe.momentum) = (true, Optim::Sgd, 0.0);
            }),
            ("label_smoothing", |c| c.recipe.label_smoothing = 0.1),
            ("label_smoothing", |c| {
                (c.recipe.loss, c.recipe.label_smoothing) = (Loss::CrossEntropy, 1.5);
            }),
            ("ema_decay", |c| c.recipe.ema_decay = Some(1.0)),
            ("ema_decay", |c| c.recipe.ema_decay = Some(-0.1)),
            ("warmup_epochs", |c| c.recipe.warmup_epochs = Some(1001)),
            ("warmup_epochs", |c| {
                (c.recipe.scheduler, c.recipe.warmup_epochs) = (Scheduler::OneCycle, Some(1000));
            }),
            ("augment", |c| c.recipe.augment = "crop=29".parse().unwrap()),
            ("augment", |c| c.recipe.augment = "cutout=29".parse().unwrap()),
            ("random_seed", |c| c.recipe.random_seed = 1 << 63),
            ("milestones", |c| c.recipe.milestones = vec![0]),
            ("dataset", |c| c.recipe.network.image_shape = [3, 32, 32]),
            ("dataset", |c| c.recipe.network.classes = 9),
            ("log_freq", |c| c.run.log_freq = 0),
            ("checkpoint_seconds", |c| c.run.checkpoint_seconds = Some(0)),
            ("num_workers", |c| c.run.num_workers = 1025),
        ];
        for (field, spoil) in cases {
            let mut config = config();
            spoil(&mut config);
            let message = config.validate().unwrap_err().to_string();
            assert!(message.starts_with(field), "{field}: {message}");
        }
    }

    #[test]
    fn quantizers_are_part_of_a_network() {
        let saved = config().recipe;
        let mut off = saved.clone();
        off.network.quantization = Quantization::Off;
        for (wanted, saved, words) in [
            (&off, &saved, "of TFC_2W2A with quantizers, not of TFC_2W2A without quantizers"),
            (&saved, &off, "of TFC_2W2A without quantizers, not of TFC_2W2A with quantizers"),
        ] {
            let file = Path::new("last.safetensors");
            let error = wanted.check_same_network(&saved.network, file).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
            assert!(error.hint().unwrap().contains("--disable_quant"));
        }
    }

    #[test]
    fn runs_go_on_with_their_own_recipe_only() {
        let saved = config().recipe;
        let file = Path::new("last.safetensors");
        let longer = Recipe { epochs: 2000, early_stopping: true, patience: 5, ..saved.clone() };
        longer.check_continues(&saved, file).unwrap();
        let cases: [Case<Recipe>; 16] = [
            ("limit", |r| r.limit = Some(10)),
            ("dataset", |r| r.dataset = DatasetName::Glyphs),
            ("batch_size", |r| r.batch_size = 50),
            ("lr", |r| r.lr = 0.01),
            ("optim", |r| r.optim = Optim::Sgd),
            ("loss", |r| r.loss = Loss::CrossEntropy),
            ("scheduler", |r| r.scheduler = Scheduler::Step),
            ("milestones", |r| r.milestones = vec![]),
            ("random_seed", |r| r.random_seed = 2),
            ("augment", |r| r.augment = "crop".parse().unwrap()),
            ("nesterov", |r| r.nesterov = true),
            ("weight_decay_on", |r| r.weight_decay_on = Decayed::Weights),
            ("label_smoothing", |r| r.label_smoothing = 0.1),
            ("warmup_epochs", |r| r.warmup_epochs = Some(1)),
            ("ema_decay", |r| r.ema_decay = Some(0.9)),
            ("SFC_1W1A", |r| r.network = NetworkConfig::named("SFC_1W1A").unwrap()),
        ];
        for (words, change) in cases {
            let mut other = saved.clone();
            change(&mut other);
            let message = other.check_continues(&saved, file).unwrap_err().to_string();
            assert!(message.contains(words) && message.contains("last.safetensors"), "{message}");
        }
    }
}
