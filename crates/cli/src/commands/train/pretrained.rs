//! `--pretrained`: the weights that were published for the network.

use std::path::Path;

use fewbit_data::fetch::{FetchConfig, Weights, fetch_weights};
use fewbit_train::pytorch::Contents;

use crate::commands::data::proxy;
use crate::console::{Console, escape};
use crate::failure::{Failure, Outcome};

/// The folder below the one of the datasets.
const FOLDER: &str = "pretrained";

/// Reads the weights of a network: `<datadir>/pretrained/<NETWORK>.pth` if somebody put it there, else the
/// published file, which is downloaded into the same folder unless it is there.
pub fn read(network: &str, datadir: &Path, console: &Console) -> Outcome<Contents> {
    let folder = datadir.join(FOLDER);
    let own = folder.join(format!("{network}.pth"));
    if own.is_file() {
        return open(&own, console);
    }
    let Some(weights) = Weights::of(network) else {
        let known: Vec<&str> = Weights::networks().collect();
        let error = Failure::new(format!("no weights were published for {network}"));
        return Err(error.or_hint(format!(
            "there are some for {}; weights of your own are read from {}",
            known.join(", "),
            own.display()
        )));
    };
    let config = FetchConfig { proxy: proxy(), ..FetchConfig::weights(weights) };
    let was_there = [datadir, &folder].map(Path::exists);
    let mut announced = false;
    let fetched = fetch_weights(weights, &folder, &config, &mut |state| {
        if !std::mem::replace(&mut announced, true) {
            console.say(format!("fetching {} from {}", state.file, state.mirror));
        }
    });
    let fetched = fetched.map_err(|error| {
        for (folder, was_there) in [(&*folder, was_there[1]), (datadir, was_there[0])] {
            if !was_there {
                // It stays if a part of the file has arrived.
                let _ = std::fs::remove_dir(folder);
            }
        }
        // What the library advises is right for a network that comes and goes only.
        let place = folder.join(weights.file_name());
        Failure::new(Failure::from(error).message()).or_hint(format!(
            "without a network, put {} there yourself: {}",
            weights.url(),
            place.display()
        ))
    })?;
    open(&fetched.path, console)
}

fn open(path: &Path, console: &Console) -> Outcome<Contents> {
    console.say(format!("starting from the weights in {}", escape(&path.to_string_lossy())));
    Ok(Contents::read(path)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::Verbosity;

    #[test]
    fn networks_without_weights_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let quiet = Console::new(Verbosity::Quiet);
        let error = read("TFC_3W3A", folder.path(), &quiet).unwrap_err();
        assert!(error.message().contains("TFC_3W3A"), "{error}");
        let hint = error.hint().unwrap();
        assert!(hint.contains("TFC_2W2A") && hint.contains("TFC_3W3A.pth"), "{hint}");
    }

    #[test]
    fn a_file_of_ones_own_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("pretrained/TFC_2W2A.pth");
        std::fs::create_dir(folder.path().join("pretrained")).unwrap();
        std::fs::write(&own, b"something else").unwrap();
        let quiet = Console::new(Verbosity::Quiet);
        let error = read("TFC_2W2A", folder.path(), &quiet).unwrap_err();
        assert!(error.message().contains("TFC_2W2A.pth"), "{error}");
    }
}
