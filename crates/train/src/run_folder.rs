//! The folder of a run: what lies where in it.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use fewbit_nn::config::NetworkConfig;
use serde::Serialize;

use crate::atomic;
use crate::clock::Timestamp;
use crate::config::TrainConfig;
use crate::error::{Error, ErrorKind};

/// The folder of a run.
///
/// `<experiments>/<NETWORK>_<W>W<A>A_<date>_<time>/` with `config.toml`, `env.json`, `log.txt`,
/// `metrics.jsonl`, `tensorboard/`, `checkpoints/{last,best}.safetensors`, `<NETWORK>_qonnx.onnx`,
/// `verification.json` and `report.html`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFolder {
    path: PathBuf,
}

/// A run folder that other processes do not train in while this lives.
#[derive(Debug)]
#[must_use = "other processes may train in the folder as soon as it is dropped"]
pub struct FolderClaim(#[allow(dead_code, reason = "the open file is the claim")] Option<File>);

/// Name of the folder of checkpoints.
const CHECKPOINTS: &str = "checkpoints";

/// Bytes of the largest `config.toml` that is read: settings take one or two thousand.
const MAX_CONFIG: u64 = 1 << 20;

/// Reads a file of settings: a page, not whatever there is.
pub(crate) fn settings_text(path: &Path) -> Result<String, Error> {
    let found = fs::metadata(path).map_err(|e| Error::io("read", path, e))?;
    if !found.is_file() || found.len() > MAX_CONFIG {
        let found = format!("{} bytes", found.len());
        return Err(Error::malformed(path, "size", found, "a regular file of at most 1 MiB"));
    }
    fs::read_to_string(path).map_err(|e| Error::io("read", path, e))
}

impl RunFolder {
    /// Creates the folder of a new run, its parents too, and writes `config.toml` into it.
    ///
    /// The name has the time in it; a second run of the same second gets a number behind it.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if something cannot be written.
    pub fn create(config: &TrainConfig, now: Timestamp) -> Result<Self, Error> {
        let text = config.to_toml()?;
        let parent = &config.run.experiments;
        fs::create_dir_all(parent).map_err(|e| Error::io("create", parent, e))?;
        let name = name(&config.recipe.network, now);
        let mut path = parent.join(&name);
        let mut number = 1_u32;
        while let Err(error) = fs::create_dir(&path) {
            if error.kind() != io::ErrorKind::AlreadyExists {
                return Err(Error::io("create", &path, error));
            }
            number += 1;
            path = parent.join(format!("{name}_{number}"));
        }
        let checkpoints = path.join(CHECKPOINTS);
        fs::create_dir(&checkpoints).map_err(|e| Error::io("create", &checkpoints, e))?;
        let folder = Self { path };
        // Last: a folder without it was given up before anything was computed.
        atomic::replace(&folder.config(), text.as_bytes())?;
        Ok(folder)
    }

    /// Opens the folder of an earlier run, to go on with it, to read or to add files. A training may
    /// be running in it.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if there is no such folder.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let folder = Self { path: path.to_owned() };
        let checkpoints = path.join(CHECKPOINTS);
        fs::read_dir(&checkpoints).map_err(|e| Error::io("open", &checkpoints, e))?;
        Ok(folder)
    }

    /// Keeps other processes from training in the folder, until the value is dropped.
    ///
    /// # Errors
    /// [`ErrorKind::FolderInUse`](crate::ErrorKind::FolderInUse) if another process has claimed it.
    pub fn claim(&self) -> Result<FolderClaim, Error> {
        // Some systems do not open folders, some file systems know no locks; the run is the user's to
        // look after there.
        let Ok(file) = File::open(&self.path) else { return Ok(FolderClaim(None)) };
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                Err(ErrorKind::FolderInUse { folder: self.path.clone() }.into())
            }
            Ok(()) | Err(TryLockError::Error(_)) => Ok(FolderClaim(Some(file))),
        }
    }

    /// Removes what a killed run has left half-written. Only for those who hold the log: to all others
    /// it may be what a training is writing just now.
    pub(crate) fn remove_rests(&self) -> Result<(), Error> {
        [self.config(), self.env(), self.last_checkpoint(), self.best_checkpoint()]
            .iter()
            .try_for_each(|file| atomic::remove_rest(file))
    }

    /// The folder around a checkpoint that lies in `checkpoints/`; `None` if it lies elsewhere.
    pub fn of_checkpoint(checkpoint: &Path) -> Option<PathBuf> {
        let absolute = fs::canonicalize(checkpoint).ok()?;
        let checkpoints = absolute.parent()?;
        (checkpoints.file_name()? == CHECKPOINTS)
            .then(|| checkpoints.parent().map(Path::to_owned))?
    }

    /// Reads `config.toml`.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) or
    /// [`ErrorKind::Malformed`](crate::ErrorKind::Malformed) if it cannot be read.
    pub fn read_config(&self) -> Result<TrainConfig, Error> {
        let path = self.config();
        TrainConfig::from_toml(&settings_text(&path)?, &path)
    }

    /// Writes `config.toml` anew, as when a run goes on for more epochs.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if it cannot be written.
    pub fn write_config(&self, config: &TrainConfig) -> Result<(), Error> {
        atomic::replace(&self.config(), config.to_toml()?.as_bytes())
    }

    /// Writes `env.json`: what the caller knows of the machine.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if it cannot be written.
    pub fn write_env(&self, env: &impl Serialize) -> Result<(), Error> {
        let path = self.env();
        let mut json = serde_json::to_vec_pretty(env)
            .map_err(|error| Error::io("write", &path, io::Error::from(error)))?;
        json.push(b'\n');
        atomic::replace(&path, &json)
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The resolved plan.
    pub fn config(&self) -> PathBuf {
        self.path.join("config.toml")
    }

    /// The machine and the program.
    pub fn env(&self) -> PathBuf {
        self.path.join("env.json")
    }

    /// What happened, for people.
    pub fn log(&self) -> PathBuf {
        self.path.join("log.txt")
    }

    /// One line per epoch, for programs.
    pub fn metrics(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    /// The folder of the event file.
    pub fn tensorboard(&self) -> PathBuf {
        self.path.join("tensorboard")
    }

    /// The folder of the checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join(CHECKPOINTS)
    }

    /// The newest state.
    pub fn last_checkpoint(&self) -> PathBuf {
        self.checkpoints().join("last.safetensors")
    }

    /// The state with the best test accuracy.
    pub fn best_checkpoint(&self) -> PathBuf {
        self.checkpoints().join("best.safetensors")
    }

    /// The exported file of a network.
    pub fn model(&self, network: &NetworkConfig) -> PathBuf {
        self.path.join(format!("{}_qonnx.onnx", network.name))
    }

    /// The exported file of standard ONNX.
    pub fn qcdq_model(&self, network: &NetworkConfig) -> PathBuf {
        self.path.join(format!("{}_qcdq.onnx", network.name))
    }

    /// What the comparison of the exported file with the checkpoint found.
    pub fn verification(&self) -> PathBuf {
        self.path.join("verification.json")
    }

    /// What the comparison of the exported file of standard ONNX found.
    pub fn qcdq_verification(&self) -> PathBuf {
        self.path.join("verification_qcdq.json")
    }

    /// The report.
    pub fn report(&self) -> PathBuf {
        self.path.join("report.html")
    }
}

/// `TFC_2W2A_2W2A_20250817_223330`: the bit widths come twice, as in the published example.
fn name(network: &NetworkConfig, now: Timestamp) -> String {
    let NetworkConfig { name, weight_bit_width, act_bit_width, .. } = network;
    format!("{name}_{weight_bit_width}W{act_bit_width}A_{}", now.compact())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: Timestamp =
        Timestamp { unix: Duration::from_secs(1_755_470_010), offset_seconds: 0 };

    fn config(experiments: PathBuf) -> TrainConfig {
        let mut config = TrainConfig::new(NetworkConfig::named("TFC_1W2A").unwrap());
        config.run.experiments = experiments;
        config
    }

    #[test]
    fn folders_are_made_with_parents_and_never_twice() {
        let parent = tempfile::tempdir().unwrap();
        let config = config(parent.path().join("a/b"));
        let names = ["", "_2", "_3"].map(|end| format!("TFC_1W2A_1W2A_20250817_223330{end}"));
        for name in names {
            let folder = RunFolder::create(&config, NOW).unwrap();
            assert_eq!(folder.path(), config.run.experiments.join(name));
            assert_eq!(folder.read_config().unwrap(), config);
            assert_eq!(RunFolder::open(folder.path()).unwrap(), folder);
            fs::write(folder.last_checkpoint(), "").unwrap();
            let of_checkpoint = RunFolder::of_checkpoint(&folder.last_checkpoint()).unwrap();
            assert_eq!(of_checkpoint, fs::canonicalize(folder.path()).unwrap());
            let model = folder.model(&config.recipe.network);
            assert!(model.ends_with("TFC_1W2A_qonnx.onnx"), "{model:?}");
        }
        let elsewhere = parent.path().join("last.safetensors");
        fs::write(&elsewhere, "").unwrap();
        assert_eq!(RunFolder::of_checkpoint(&elsewhere), None);
        assert_eq!(RunFolder::of_checkpoint(&parent.path().join("nothing")), None);
    }

    #[test]
    fn unwritable_parents_are_named() {
        let parent = tempfile::tempdir().unwrap();
        let file = parent.path().join("file");
        fs::write(&file, "contents").unwrap();
        for experiments in [file.clone(), file.join("below"), "/proc/nowhere".into()] {
            let error = RunFolder::create(&config(experiments.clone()), NOW).unwrap_err();
            let message = error.to_string();
            assert!(message.contains(experiments.to_str().unwrap()), "{message}");
        }
        assert_eq!(fs::read(&file).unwrap(), b"contents");
        assert!(RunFolder::open(parent.path()).is_err());
    }

    #[test]
    fn a_folder_is_claimed_once_at_a_time() {
        let parent = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(&config(parent.path().to_owned()), NOW).unwrap();
        let claim = folder.claim().unwrap();
        if claim.0.is_some() {
            let error = folder.claim().unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::FolderInUse { .. }), "{error}");
        }
        drop(claim);
        drop(folder.claim().unwrap());
    }

    #[test]
    fn settings_are_a_regular_file_of_bearable_size() {
        let parent = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(&config(parent.path().to_owned()), NOW).unwrap();
        let file = File::options().write(true).open(folder.config()).unwrap();
        file.set_len(3 << 30).unwrap();
        let error = folder.read_config().unwrap_err().to_string();
        assert!(error.contains("config.toml") && error.contains("1 MiB"), "{error}");
        fs::remove_file(folder.config()).unwrap();
        fs::create_dir(folder.config()).unwrap();
        assert!(folder.read_config().unwrap_err().to_string().contains("regular file"));
    }

    #[test]
    fn rests_of_killed_runs_are_removed() {
        let parent = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(&config(parent.path().to_owned()), NOW).unwrap();
        let rest = folder.path().join("checkpoints/.last.safetensors.tmp");
        fs::write(&rest, "half").unwrap();
        RunFolder::open(folder.path()).unwrap();
        assert!(rest.exists(), "a running training may be writing it");
        folder.remove_rests().unwrap();
        assert!(!rest.exists());
        folder.write_env(&["x86_64", "2 threads"]).unwrap();
        assert_eq!(
            fs::read_to_string(folder.env()).unwrap(),
            "[\n  \"x86_64\",\n  \"2 threads\"\n]\n"
        );
    }
}
