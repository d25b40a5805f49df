//! Reads checkpoints: those of this program, and those of PyTorch, which do not say which network they are of.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use clap::Args;
use fewbit_nn::network::{LoadReport, Strictness};
use fewbit_train::pytorch::{self, Contents};
use fewbit_train::{Checkpoint, Recipe};

use crate::console::{Console, counted};
use crate::failure::{Failure, Outcome};
use crate::networks;

/// The network of a checkpoint.
#[derive(Args, Clone, Debug)]
pub struct NetworkArg {
    /// Network of a PyTorch file (best.tar, .pth), which does not say it: a name, or a file that describes it
    #[arg(long, value_name = "NAME|FILE")]
    pub network: Option<String>,
}

/// Reads a checkpoint to evaluate or export it: all of the network has to be in it.
pub fn read(
    path: &Path,
    NetworkArg { network: name }: &NetworkArg,
    console: &Console,
) -> Outcome<Checkpoint> {
    let wanted = name.as_deref().map(|name| networks::network(name, console)).transpose()?;
    if is_pytorch(path) {
        let recipe = Recipe::new(wanted.ok_or_else(|| nameless(path))?);
        let contents = Contents::read(path)?;
        return Ok(contents.checkpoint(&recipe, Strictness::Strict)?.checkpoint);
    }
    let checkpoint = Checkpoint::read(path)?;
    let saved = &checkpoint.recipe.network;
    // The same name may have another description, such as quantizers that are off; a file says all.
    let by_name = name.as_deref().is_some_and(|name| !networks::is_file(name));
    if let Some(wanted) = wanted.filter(|wanted| !by_name || wanted.name != saved.name) {
        Recipe::new(wanted).check_same_network(saved, path)?;
    }
    Ok(checkpoint)
}

/// Whether a file begins like one of `torch.save`; what cannot be read does not.
pub fn is_pytorch(path: &Path) -> bool {
    // A pipe is not even opened: that waits for who writes to it.
    if !path.is_file() {
        return false;
    }
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(HEAD).read_to_end(&mut head));
    read.is_ok() && pytorch::recognizes(&head)
}

/// What it takes to recognize a file.
const HEAD: u64 = 32;

/// A file of PyTorch without a network's name.
pub fn nameless(path: &Path) -> Failure {
    let shown = path.display();
    Failure::new(format!("{shown} is a PyTorch file, which does not say which network it is of"))
        .or_hint("add --network NAME, such as --network TFC_2W2A, or --network FILE.toml")
}

/// Says what did not fit.
pub fn say_report(report: &LoadReport, path: &Path, console: &Console) {
    let file = crate::console::escape(&path.to_string_lossy());
    for (names, what) in [
        (&report.missing, "not in the file, start anew"),
        (&report.unknown, "of the file unknown to the network, left out"),
    ] {
        if let Some(first) = names.first() {
            let count = counted(names.len() as u64, "tensor");
            let first = crate::console::escape(first);
            console.say(format!(
                "warning: {file}: {count} {what}, such as {first} (--strict refuses)"
            ));
        }
    }
}
