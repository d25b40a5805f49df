//! After a training: the best network as a QONNX file, and the proof that the file computes the same.

use std::fs;

use fewbit_data::Dataset;
use fewbit_nn::Device;
use fewbit_train::{Checkpoint, Clock, LogFile, RunFolder, TrainConfig};

use crate::clock::SystemClock;
use crate::commands::export::{Dialect, model_of};
use crate::commands::run::ModeArg;
use crate::commands::verify::{self, Verified};
use crate::console::{Console, escape};
use crate::failure::{Hint, Outcome};
use crate::files;
use crate::program::{Report, Verdict};
use crate::verification::Manner;

/// Images at a time.
const BATCH: usize = 250;

/// Exports the checkpoint into the run folder and compares the file with it on all test images.
pub fn prove(
    best: &Checkpoint,
    folder: &RunFolder,
    dialect: Dialect,
    test: &Dataset,
    clock: &SystemClock,
    console: &Console,
) -> Outcome<Verified> {
    let (network, name) = (&best.recipe.network, dialect.name());
    let (path, report) = match dialect {
        Dialect::Qonnx => (folder.model(network), folder.verification()),
        Dialect::Qcdq => (folder.qcdq_model(network), folder.qcdq_verification()),
    };
    let mut log = LogFile::open(&folder.log())?;
    log.line(clock.now(), format_args!("Exporting {name} to {}", path.display()))?;
    log.flush()?;
    console.say(format!("exporting to {}", escape(&path.to_string_lossy())));
    let model = model_of(best, &best.network(&Device::cpu())?, dialect)?;
    files::write(&path, &fewbit_onnx::encode(&model))?;

    console.say("verifying the file on the test images");
    let manner = Manner { mode: ModeArg::Canonical, batch: BATCH };
    let verified = verify::compare(best, &path, test, manner, console)?;
    verify::write(&report, &verified.json).map_err(|failure| {
        // What was found is told all the same.
        let identical = verified.findings.identical();
        let verdict = if identical { Verdict::Good } else { Verdict::Different };
        failure.after(Report {
            text: verified.findings.text(),
            json: verified.json.clone(),
            verdict,
        })
    })?;
    let outcome = if verified.findings.identical() { "identical" } else { "different" };
    log.line(clock.now(), format_args!("Verified the {name} file: {outcome}"))?;
    log.flush()?;
    Ok(verified)
}

/// Removes what a run that was killed while it wrote its results has left half-written.
pub fn remove_rests(folder: &RunFolder, config: &TrainConfig) -> Outcome<()> {
    let network = &config.recipe.network;
    let results = [
        folder.model(network),
        folder.qcdq_model(network),
        folder.verification(),
        folder.qcdq_verification(),
        folder.report(),
    ];
    let entries = fs::read_dir(folder.path()).context(folder.path().display())?;
    for entry in entries.filter_map(Result::ok) {
        if results.iter().any(|result| files::is_rest_of(&entry.path(), result)) {
            fs::remove_file(entry.path()).context(entry.path().display())?;
        }
    }
    Ok(())
}
