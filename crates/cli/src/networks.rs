//! `--network`: a name, or a file with a description.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use fewbit_nn::config::NetworkConfig;

use crate::console::{Console, escape};
use crate::failure::{Failure, Hint, Outcome};
use crate::nearest::suggestion;

/// How the names of files with descriptions end.
const EXTENSIONS: [&str; 3] = ["toml", "ini", "cfg"];

/// Bytes of the longest description that is read.
const MAX_BYTES: u64 = 1 << 20;

/// Whether `--network` means a file.
pub fn is_file(network: &str) -> bool {
    let extension = Path::new(network).extension().unwrap_or_default();
    EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known))
}

/// Looks a network up, or reads its description; a mistyped name gets a suggestion.
pub fn network(name: &str, console: &Console) -> Outcome<NetworkConfig> {
    if is_file(name) {
        return read(Path::new(name), console);
    }
    NetworkConfig::named(name).hint_with(|_| {
        if name.contains(['/', '\\']) {
            return Some(
                "descriptions of networks are files that end in .toml, .ini or .cfg".into(),
            );
        }
        let known = NetworkConfig::shipped_names();
        let meant = suggestion(name, known.iter().map(String::as_str));
        let meant = meant.map(|meant| format!("{meant} ")).unwrap_or_default();
        Some(format!("{meant}`fewbit networks` lists the named networks"))
    })
}

fn read(file: &Path, console: &Console) -> Outcome<NetworkConfig> {
    let shown = file.display();
    let mut bytes = vec![];
    let opened = File::open(file).context(format_args!("cannot open {shown}"));
    let opened = opened.hint("`fewbit networks NAME` prints the description of a named network")?;
    // A description from a pipe or a device is not read to its end, which may not come.
    opened
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .context(format_args!("cannot read {shown}"))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Failure::new(format!("{shown} is longer than {MAX_BYTES} bytes"))
            .or_hint("is it the description of a network?"));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        Failure::new(format!("{shown} is no UTF-8 text (byte {valid})"))
    })?;
    let described = NetworkConfig::from_file(&text, file).hint_with(|failure| {
        let message = failure.message();
        if message.contains("unknown key \"recipe\"") {
            Some(format!("this is a recipe: `fewbit train --recipe {shown}`"))
        } else if message.contains("no TOML") && text.contains("[MODEL]") {
            Some("this looks like INI: name the file .ini or .cfg".to_owned())
        } else if message.contains("stands before the first section") {
            Some("this looks like TOML: name the file .toml".to_owned())
        } else {
            None
        }
    })?;
    for warning in described.warnings {
        console.say(format!("warning: {}", escape(&warning)));
    }
    Ok(described.network)
}
