//! Finds the checkpoint that a path on the command line means.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::console::Console;
use crate::failure::{Failure, Outcome};

/// A checkpoint, and the run folder around it if there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// The checkpoint's file.
    pub checkpoint: PathBuf,
    /// The folder whose `checkpoints/` it is in.
    pub run_folder: Option<PathBuf>,
}

/// Which checkpoint of a run folder is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The most accurate, for judging and exporting; the last if there is no best yet.
    Best,
    /// The last, for going on.
    Last,
}

/// Finds the checkpoint: `path` is a checkpoint, a run folder, or the parent of run folders, of which
/// the newest is meant (and named on the console).
pub fn locate(path: &Path, choice: Choice, console: &Console) -> Outcome<Located> {
    let hint = "give a .safetensors file, a .tar or .pth file of PyTorch, a run folder (with checkpoints/ in it), \
                or the folder of the runs";
    if path.is_file() && path.extension().is_some_and(|extension| extension == "onnx") {
        let error = Failure::new(format!("{} is a model, not a checkpoint", path.display()));
        return Err(error.or_hint(hint));
    }
    if path.is_file() {
        return Ok(Located { checkpoint: path.to_owned(), run_folder: run_folder_of(path) });
    }
    if !path.is_dir() {
        let reason = match (path.exists(), fs::symlink_metadata(path).is_ok()) {
            (true, _) => "is neither a regular file nor a folder",
            (false, true) => "is a link to nothing",
            (false, false) => "does not exist",
        };
        return Err(Failure::new(format!("{} {reason}", shown(path))).or_hint(hint));
    }
    if is_run_folder(path) {
        return in_run_folder(path, choice);
    }
    let mut runs = runs_in(path);
    let newest = runs.last().cloned().ok_or_else(|| {
        Failure::new(format!("{}: no run folder in it", path.display())).or_hint(hint)
    })?;
    // A run that ended before its first checkpoint hides none of those before it.
    runs.retain(|run| has_checkpoint(run));
    let chosen = runs.last().unwrap_or(&newest);
    let located = in_run_folder(chosen, choice)?;
    if *chosen != newest {
        let newest = crate::console::escape(&newest.to_string_lossy());
        console.say(format!("note: {newest} is newer, but has no checkpoint; it is left out"));
    }
    console.say(format!("using {}", crate::console::escape(&located.checkpoint.to_string_lossy())));
    Ok(located)
}

/// A path in a message, where an empty one would be overlooked.
fn shown(path: &Path) -> String {
    if path.as_os_str().is_empty() { "\"\"".to_owned() } else { path.display().to_string() }
}

/// The run folder that `path` is, or the newest one in it that has a checkpoint, or else the newest.
pub fn run_folder_at(path: &Path) -> Option<PathBuf> {
    if is_run_folder(path) {
        return Some(path.to_owned());
    }
    let mut runs = runs_in(path);
    let newest = runs.pop()?;
    if has_checkpoint(&newest) {
        return Some(newest);
    }
    runs.retain(|run| has_checkpoint(run));
    Some(runs.pop().unwrap_or(newest))
}

/// What Brevitas' examples write.
const PYTORCH: [&str; 2] = ["best.tar", "checkpoint.tar"];

fn in_run_folder(folder: &Path, choice: Choice) -> Outcome<Located> {
    let names = match choice {
        Choice::Best => ["best.safetensors", "last.safetensors"],
        Choice::Last => ["last.safetensors", "best.safetensors"],
    };
    let found =
        names.iter().map(|name| folder.join("checkpoints").join(name)).find(|p| p.is_file());
    let checkpoint = found.ok_or_else(|| {
        let error = Failure::new(format!("{}: no checkpoint in checkpoints/", folder.display()));
        match PYTORCH.map(|name| folder.join("checkpoints").join(name)).iter().find(|p| p.is_file())
        {
            Some(file) => error.or_hint(format!(
                "the run is one of PyTorch: name its file, {}, and the network with --network",
                file.display()
            )),
            None => error.or_hint("the run ended before its first epoch; train again"),
        }
    })?;
    Ok(Located { checkpoint, run_folder: Some(folder.to_owned()) })
}

/// The run folder whose checkpoint `path` is.
fn run_folder_of(path: &Path) -> Option<PathBuf> {
    let absolute = fs::canonicalize(path).ok()?;
    let checkpoints = absolute.parent()?;
    (checkpoints.file_name()? == "checkpoints").then_some(())?;
    // Keep the path as the user gave it where that is possible.
    match path.parent().and_then(Path::parent) {
        Some(folder) if !folder.as_os_str().is_empty() => Some(folder.to_owned()),
        _ => checkpoints.parent().map(Path::to_owned),
    }
}

/// Whether a folder is that of a run.
pub fn is_run_folder(path: &Path) -> bool {
    path.join("checkpoints").is_dir()
}

/// The run folders in a folder, the one that was started last at the end: by the time in its name, then by
/// the time of the folder.
fn runs_in(parent: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten().filter_map(Result::ok);
    let paths = entries.map(|entry| entry.path());
    let mut runs: Vec<PathBuf> =
        paths.filter(|path| is_run_folder(path) && !holds_only_weights(path)).collect();
    runs.sort_by_cached_key(|path| (started(path), path.clone()));
    runs
}

/// Whether a run got as far as a checkpoint, of this program or of PyTorch.
fn has_checkpoint(run: &Path) -> bool {
    let names = ["best.safetensors", "last.safetensors"].into_iter().chain(PYTORCH);
    names.into_iter().any(|name| run.join("checkpoints").join(name).is_file())
}

/// Whether nothing was trained there: `--state_dict_to_pth` alone has written weights.
fn holds_only_weights(path: &Path) -> bool {
    let Ok(files) = fs::read_dir(path.join("checkpoints")) else { return false };
    let names: Vec<PathBuf> = files.filter_map(Result::ok).map(|entry| entry.path()).collect();
    !names.is_empty() && names.iter().all(|name| name.extension().is_some_and(|end| end == "pth"))
}

/// `20250817_223330` at the end of a folder's name, and when the folder changed.
fn started(path: &Path) -> (String, SystemTime) {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let is_time = |text: &str| {
        text.len() == 15
            && text
                .bytes()
                .enumerate()
                .all(|(i, b)| if i == 8 { b == b'_' } else { b.is_ascii_digit() })
    };
    // A second run of the same second has a number behind the time.
    let time =
        (0..name.len()).rev().filter_map(|at| name.get(at..at + 15)).find(|text| is_time(text));
    let changed = fs::metadata(path).and_then(|m| m.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    (time.unwrap_or_default().to_owned(), changed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::Verbosity;

    fn run(parent: &Path, name: &str, checkpoints: &[&str]) -> PathBuf {
        let folder = parent.join(name);
        fs::create_dir_all(folder.join("checkpoints")).unwrap();
        for checkpoint in checkpoints {
            fs::write(folder.join("checkpoints").join(checkpoint), "").unwrap();
        }
        folder
    }

    #[test]
    fn files_folders_and_parents() {
        let parent = tempfile::tempdir().unwrap();
        let quiet = Console::new(Verbosity::Quiet);
        let both = ["best.safetensors", "last.safetensors"];
        // Names sort the other way round than times.
        let newer = run(parent.path(), "A_1W1A_20260102_000000", &both);
        let older = run(parent.path(), "B_1W1A_20260101_235959", &both[1..]);
        let at = |path: &Path, choice| locate(path, choice, &quiet).unwrap();

        let newest = at(parent.path(), Choice::Best);
        assert_eq!(newest.checkpoint, newer.join("checkpoints/best.safetensors"));
        assert_eq!(newest.run_folder, Some(newer.clone()));
        assert_eq!(at(&newer, Choice::Last).checkpoint, newer.join("checkpoints/last.safetensors"));
        assert_eq!(at(&older, Choice::Best).checkpoint, older.join("checkpoints/last.safetensors"));
        let file = newer.join("checkpoints/last.safetensors");
        assert_eq!(
            at(&file, Choice::Best),
            Located { checkpoint: file, run_folder: Some(newer.clone()) }
        );
        let newer_run = newer;
        let dead = run(parent.path(), "D_1W1A_20260103_000000", &[]);
        assert_eq!(at(parent.path(), Choice::Last).run_folder, Some(newer_run.clone()));
        assert_eq!(run_folder_at(parent.path()), Some(newer_run.clone()));
        let alone = run(&parent.path().join("alone"), "E_1W1A_20260103_000000", &[]);
        assert_eq!(run_folder_at(alone.parent().unwrap()), Some(alone.clone()));
        let error = locate(alone.parent().unwrap(), Choice::Best, &quiet).unwrap_err();
        assert!(error.message().contains("no checkpoint"), "{error}");
        assert!(locate(&dead, Choice::Best, &quiet).is_err());

        let weights = run(parent.path(), "W_1W1A_20270101_000000", &["w-01234567.pth"]);
        assert_eq!(at(parent.path(), Choice::Best).run_folder, Some(newer_run));
        let foreign = run(parent.path(), "F_1W1A_20250102_000000", &["best.tar"]);
        let hint = locate(&foreign, Choice::Best, &quiet).unwrap_err();
        assert!(hint.hint().unwrap().contains("best.tar"), "{hint:?}");
        let empty = run(parent.path(), "C_1W1A_20250101_000000", &[]);
        for (path, words) in [
            (empty.clone(), "no checkpoint"),
            (weights, "no checkpoint"),
            (empty.join("checkpoints"), "no run folder"),
            (parent.path().join("nothing"), "does not exist"),
            (PathBuf::new(), "\"\" does not exist"),
        ] {
            let error = locate(&path, Choice::Best, &quiet).unwrap_err();
            assert!(error.message().contains(words), "{error}");
        }
    }
}
