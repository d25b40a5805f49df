//! `--state_dict_to_pth`: the network's state alone, as a file that PyTorch loads.

use std::path::PathBuf;

use fewbit_nn::Network;
use fewbit_train::{Clock, RunFolder, TrainConfig, pytorch};
use serde_json::json;

use crate::clock::SystemClock;
use crate::console::{counted, escape};
use crate::failure::Outcome;
use crate::files;
use crate::program::{Report, Verdict};

/// Writes `<network>-<beginning of the SHA-256>.pth` into the checkpoints of `run_folder`, or of a new one.
pub fn write(
    config: &TrainConfig,
    network: &Network,
    run_folder: Option<PathBuf>,
) -> Outcome<Report> {
    let bytes = pytorch::state_dict_bytes(network)?;
    let hash = files::sha256_of(&bytes);
    let folder = match run_folder {
        Some(folder) => RunFolder::open(&folder)?,
        None => RunFolder::create(config, SystemClock::start().now())?,
    };
    let name = &network.config().name;
    let path = folder.checkpoints().join(format!("{}-{}.pth", name.to_lowercase(), &hash[..8]));
    files::write(&path, &bytes)?;
    let path = path.display().to_string();
    let tensors = network.state().len() as u64;
    let text = format!(
        "{}: the state of {name} for PyTorch, {} and {}\n",
        escape(&path),
        counted(tensors, "tensor"),
        counted(bytes.len() as u64, "byte"),
    );
    let json = json!({
        "network": name,
        "state_dict": path,
        "sha256": hash,
        "tensors": tensors,
        "bytes": bytes.len(),
    });
    Ok(Report { text, json, verdict: Verdict::Good })
}
