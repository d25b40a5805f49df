//! What a training came to, in plain words and for machines.

use std::fmt::Write as _;
use std::path::PathBuf;

use fewbit_nn::DeviceName;
use fewbit_nn::config::{ActScaling, Architecture, NetworkConfig, Quantization, WeightScaling};
use fewbit_nn::quantizer::Restriction;
use fewbit_train::{Ended, Evaluation, Progress, TrainConfig};
use serde_json::{Value, json};

use super::watch::speed;
use crate::commands::verify::Verified;
use crate::console::{counted, escape, seconds};
use crate::program::{Report, Verdict};
use crate::verification::Findings;

/// What a training came to.
pub struct Summary<'a> {
    /// The settings.
    pub config: &'a TrainConfig,
    /// How far it came.
    pub progress: Progress,
    /// Trainable values.
    pub parameters: u64,
    /// Why it ended.
    pub ended: Ended,
    /// Seconds of this process, evaluation included.
    pub seconds: f64,
    /// Images that this process trained with.
    pub images: u64,
    /// The device that computed.
    pub device: DeviceName,
    /// The best network on the processor, if another device computed: as its file computes.
    pub on_cpu: Option<Evaluation>,
    /// Where the files are; none in a dry run.
    pub folder: Option<PathBuf>,
    /// What the user should know about the training.
    pub warnings: Vec<String>,
    /// What the verification of the exported file found.
    pub proof: Option<Verified>,
    /// The same for the file of standard ONNX.
    pub qcdq_proof: Option<Verified>,
}

impl Summary<'_> {
    /// The end of the command.
    pub fn report(&self) -> Report {
        let mut proofs = self.proof.iter().chain(&self.qcdq_proof);
        let different = proofs.any(|proof| !proof.findings.identical());
        let verdict = if different { Verdict::Different } else { Verdict::Good };
        Report { text: self.text(), json: self.json(), verdict }
    }

    fn text(&self) -> String {
        let mut text = self.trained();
        for warning in &self.warnings {
            let _ = writeln!(text, "Warning: {}", escape(warning));
        }
        text.push('\n');
        text.push_str(&self.proved());
        if let Some(Verified { findings, .. }) = &self.qcdq_proof {
            text.push_str(&told(findings, "a file of standard ONNX"));
        }
        if let Some(folder) = &self.folder {
            text.push('\n');
            text.push_str(&self.files(folder.clone()));
        }
        text
    }

    fn trained(&self) -> String {
        let recipe = &self.config.recipe;
        let mut text = format!(
            "Trained {} ({}, {}) on {} of {}: ",
            recipe.network.name,
            formats(&recipe.network),
            counted(self.parameters, "parameter"),
            counted(self.progress.train_images, "image"),
            recipe.dataset,
        );
        let epochs = counted(self.progress.epochs_finished, "epoch");
        let _ = match (self.images, self.ended) {
            (0, _) => writeln!(text, "all {epochs} were done before."),
            (_, Ended::StoppedEarly) => writeln!(
                text,
                "stopped after {epochs}, because the test accuracy had not risen for {} of them; {}, {}.",
                self.progress.epochs_without_improvement,
                seconds(self.seconds),
                self.images_per_second_text(),
            ),
            (_, Ended::Finished | Ended::Interrupted) => {
                writeln!(
                    text,
                    "{epochs}, {}, {}.",
                    seconds(self.seconds),
                    self.images_per_second_text()
                )
            }
        };
        if let Some(best) = self.progress.best {
            let _ = writeln!(
                text,
                "Best: epoch {}, which classifies {:.2} % of {} correctly (top-5: {:.2} %).",
                best.epoch,
                best.test_top1_percent,
                counted(self.progress.test_images, "test image"),
                best.test_top5_percent,
            );
        }
        if let Some(found) = &self.on_cpu {
            let _ = writeln!(
                text,
                "That is what {} computed. On the CPU, where results are defined to the bit, it classifies \
                 {:.2} % correctly (top-5: {:.2} %).",
                self.device, found.top1_percent, found.top5_percent,
            );
        }
        text
    }

    fn images_per_second_text(&self) -> String {
        format!("{} images/s with the tests", speed(self.images as f64 / self.seconds))
    }

    fn proved(&self) -> String {
        let Some(Verified { findings, .. }) = &self.proof else {
            let run = &self.config.run;
            return match (run.dry_run, run.export_qonnx || run.export_qcdq_onnx) {
                (true, true) => "Nothing was exported or verified, because --dry_run writes no files.\n",
                (_, false) => "Nothing was exported; --export_qonnx exports the best network and verifies the file.\n",
                (false, true) => "",
            }
            .to_owned();
        };
        let quantization = self.config.recipe.network.quantization;
        told(
            findings,
            match quantization {
                Quantization::On => "a QONNX file",
                Quantization::Off => "a plain ONNX file, as it has no quantizers",
            },
        )
    }

    fn files(&self, folder: PathBuf) -> String {
        let mut text = format!("Files in {}:\n", escape(&folder.to_string_lossy()));
        let files = files(self);
        let width = files.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        for (name, contents) in files {
            let _ = writeln!(text, "  {name:<width$}  {contents}");
        }
        text
    }

    fn json(&self) -> Value {
        let (recipe, progress) = (&self.config.recipe, &self.progress);
        let folder = self.folder.as_ref();
        let in_folder = |name: &str| folder.map(|folder| folder.join(name).display().to_string());
        let model = self.proof.as_ref().and_then(|_| in_folder(&model_name(&recipe.network)));
        let qcdq_model =
            self.qcdq_proof.as_ref().and_then(|_| in_folder(&qcdq_name(&recipe.network)));
        json!({
            "network": recipe.network.name,
            "dataset": recipe.dataset.as_str(),
            "train_images": progress.train_images,
            "test_images": progress.test_images,
            "parameters": self.parameters,
            "ended": match self.ended {
                Ended::Finished => "finished",
                Ended::StoppedEarly => "stopped_early",
                Ended::Interrupted => "interrupted",
            },
            "epochs_finished": progress.epochs_finished,
            "steps": progress.steps,
            "best_epoch": progress.best.map(|best| best.epoch),
            "top1_percent": progress.best.map(|best| best.test_top1_percent),
            "top5_percent": progress.best.map(|best| best.test_top5_percent),
            "device": self.device.to_string(),
            "cpu_top1_percent": self.on_cpu.as_ref().map(|found| found.top1_percent),
            "cpu_top5_percent": self.on_cpu.as_ref().map(|found| found.top5_percent),
            "seconds": self.seconds,
            "images_per_second": self.images as f64 / self.seconds,
            "warnings": self.warnings,
            "run_folder": folder.map(|folder| folder.display().to_string()),
            "best_checkpoint": in_folder("checkpoints/best.safetensors"),
            "model": model,
            "report": in_folder("report.html"),
            "verification": self.proof.as_ref().map(|proof| &proof.json),
            "qcdq_model": qcdq_model,
            "qcdq_verification": self.qcdq_proof.as_ref().map(|proof| &proof.json),
        })
    }
}

/// What was exported, and what the comparison found.
fn told(findings: &Findings, file: &str) -> String {
    let proved = if findings.identical() {
        "Proved on these images: the file computes, bit for bit, what was trained.\n".to_owned()
    } else {
        findings.verdict()
    };
    format!("Exported the best network as {file}. {}\n{proved}", findings.sentence())
}

/// `2-bit weights, 2-bit activations`.
fn formats(network: &NetworkConfig) -> String {
    if network.quantization == Quantization::Off {
        return "float32, quantizers off".to_owned();
    }
    let (weights, activations) = (network.weight_bit_width, network.act_bit_width);
    format!("{weights}-bit weights, {activations}-bit activations{}", scales(network))
}

/// `, weights scaled per channel, activations with learned scales`; nothing without scales of minifloats.
fn scales(network: &NetworkConfig) -> String {
    let Architecture::Resnet18 { quantizers, .. } = &network.architecture else {
        return String::new();
    };
    let weights = match quantizers.weight_scaling {
        WeightScaling::Unscaled => "",
        WeightScaling::PerTensor => ", weights scaled per tensor",
        WeightScaling::PerChannel => ", weights scaled per channel",
    };
    let activations = match quantizers.act_scaling {
        ActScaling::Unscaled => "",
        ActScaling::Learned => ", activations with learned scales",
        ActScaling::Statistics => ", activations with measured scales",
    };
    let restriction = match quantizers.scale_restriction {
        Restriction::None => "",
        Restriction::Round | Restriction::Ceil | Restriction::Floor => ", powers of two",
    };
    format!("{weights}{activations}{restriction}")
}

fn model_name(network: &NetworkConfig) -> String {
    format!("{}_qonnx.onnx", network.name)
}

fn qcdq_name(network: &NetworkConfig) -> String {
    format!("{}_qcdq.onnx", network.name)
}

/// The files of a run folder and what is in them.
pub fn files(summary: &Summary<'_>) -> Vec<(String, &'static str)> {
    let mut files =
        vec![("report.html".to_owned(), "curves, layers and proof; open it in a browser")];
    if summary.proof.is_some() {
        files
            .push((model_name(&summary.config.recipe.network), "the best network as a QONNX file"));
        files.push(("verification.json".to_owned(), "what was compared, tensor by tensor"));
    }
    if summary.qcdq_proof.is_some() {
        files.push((qcdq_name(&summary.config.recipe.network), "the same as standard ONNX"));
        files.push(("verification_qcdq.json".to_owned(), "what was compared there"));
    }
    let rest = [
        ("checkpoints/best.safetensors", "the best network"),
        ("checkpoints/last.safetensors", "the state to go on from (--resume)"),
        ("metrics.jsonl", "the measurements of each epoch"),
        ("tensorboard/", "the same for TensorBoard"),
        ("log.txt", "what happened, batch by batch"),
        ("config.toml, env.json", "all settings, the machine and the version"),
    ];
    files.extend(rest.map(|(name, contents)| (name.to_owned(), contents)));
    files
}
