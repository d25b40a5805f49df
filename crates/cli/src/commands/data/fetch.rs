//! `fewbit data fetch`: downloads, with a bar.

use std::path::{Path, PathBuf};

use fewbit_data::DatasetName;
use fewbit_data::fetch::{FetchConfig, FetchedFile, Origin, fetch_dataset};
use serde_json::{Value, json};

use crate::console::{Console, escape};
use crate::failure::Outcome;
use crate::program::{Report, Verdict};
use crate::progress::Progress;

/// Makes the files of a dataset be there.
pub fn run(name: DatasetName, datadir: &Path, console: &Console) -> Outcome<Report> {
    if name.is_generated() {
        let text = format!("{name} is generated: there is nothing to fetch\n");
        let json =
            json!({ "dataset": name.as_str(), "generated": true, "folder": null, "files": [] });
        return Ok(Report { text, json, verdict: Verdict::Good });
    }
    let folder = folder(name, datadir);
    let config = FetchConfig { proxy: proxy(), ..FetchConfig::of(name) };
    let mut bar = Progress::new(console);
    let mut announced = String::new();
    let fetched = fetch_dataset(name, &folder, &config, &mut |state| {
        let line = format!("fetching {} from {}", state.file, state.mirror);
        if announced != line {
            bar.clear();
            console.say(&line);
            announced = line;
        }
        let megabytes = |bytes| bytes as f64 / 1e6;
        bar.show(state.received_bytes, state.expected_bytes, || {
            format!(
                "{:.1} of {:.1} MB",
                megabytes(state.received_bytes),
                megabytes(state.expected_bytes)
            )
        });
    })?;
    drop(bar);
    let mut text = String::new();
    for file in &fetched {
        text.push_str(&format!("{}: {}\n", escape(&file.path.to_string_lossy()), words(file)));
    }
    text.push_str(&format!("{name} is complete; checksums are those of the published files\n"));
    let files: Vec<Value> = fetched.iter().map(describe).collect();
    let json = json!({
        "dataset": name.as_str(),
        "generated": false,
        "folder": folder.display().to_string(),
        "files": files,
    });
    Ok(Report { text, json, verdict: Verdict::Good })
}

/// `DIR/mnist`, unless `DIR` is that folder already.
fn folder(name: DatasetName, datadir: &Path) -> PathBuf {
    let is_it = datadir.file_name().is_some_and(|last| last.eq_ignore_ascii_case(name.as_str()));
    if is_it { datadir.to_owned() } else { datadir.join(name.as_str()) }
}

fn words(file: &FetchedFile) -> String {
    match &file.origin {
        Origin::Kept => "was there already".to_owned(),
        Origin::Downloaded { url } => format!("downloaded from {url}"),
    }
}

fn describe(file: &FetchedFile) -> Value {
    let url = match &file.origin {
        Origin::Kept => None,
        Origin::Downloaded { url } => Some(url),
    };
    json!({ "path": file.path.display().to_string(), "downloaded_from": url })
}

/// The proxy that the environment asks for.
pub fn proxy() -> Option<String> {
    let names = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
    names.iter().find_map(|name| std::env::var(name).ok()).filter(|proxy| !proxy.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_named_after_the_dataset_once() {
        for (datadir, expected) in
            [("data", "data/mnist"), ("data/MNIST", "data/MNIST"), (".", "./mnist")]
        {
            assert_eq!(folder(DatasetName::Mnist, datadir.as_ref()), Path::new(expected));
        }
    }
}
