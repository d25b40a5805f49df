//! House rules that compiler and clippy do not know.

mod code;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Files that may be longer than [`LONGEST`], each with its reason.
const LONG_FILES: [(&str, &str); 0] = [];

/// Lines of a source file without its tests.
const LONGEST: usize = 600;

/// File names that say nothing.
const EMPTY_NAMES: [&str; 8] =
    ["base", "utils", "util", "common", "helpers", "helper", "misc", "mod"];

/// Starts of paths that exist on one machine only. In pieces, so that this file does not break its own rule.
const MACHINE_PATHS: [&str; 5] = [
    concat!("/wo", "rk/"),
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
    concat!("/ro", "ot/"),
    concat!("/tmp/few", "bit"),
];

/// The crate that may be unsafe.
const UNSAFE: &str = "crates/kernels/";

/// Prints each broken rule; returns whether there was none.
pub fn run() -> Result<bool> {
    let root =
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in the project")?;
    let files = files(root)?;
    let mut findings = Vec::new();
    let mut sources = BTreeMap::new();
    for path in &files {
        let Ok(text) = std::fs::read_to_string(root.join(path)) else {
            continue; // Removed but not yet committed, or no text.
        };
        findings.extend(check(path, &text));
        if path.ends_with(".rs") {
            sources.insert(path.clone(), code::without_comments_and_strings(&text));
        }
    }
    findings.extend(unused_files(&sources));
    let sources = sources.len();
    if sources < 10 {
        bail!("only {sources} source files below {}: nothing was checked", root.display());
    }
    for finding in &findings {
        eprintln!("{finding}");
    }
    println!("tidy: {} files, {sources} of them Rust, {} findings", files.len(), findings.len());
    Ok(findings.is_empty())
}

/// The files that git knows or would add, by their paths from the root.
fn files(root: &Path) -> Result<Vec<String>> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "--deduplicate", "-z"])
        .current_dir(root)
        .output()
        .context("running git ls-files")?;
    if !output.status.success() {
        bail!("git ls-files: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let names = String::from_utf8(output.stdout).context("file names")?;
    Ok(names.split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

/// Source files that no module declares: the compiler never reads them.
fn unused_files(sources: &BTreeMap<String, String>) -> Vec<String> {
    let is_unused = |path: &&String| {
        let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
        let name = file.trim_end_matches(".rs");
        // Cargo finds these by itself: roots of crates, and files of `tests` and `benches`.
        let is_root = ["lib", "main", "build"].contains(&name)
            || ["tests", "benches", "examples", "bin"].iter().any(|kind| folder.ends_with(kind));
        let parents = ["lib.rs", "main.rs"].map(|root| format!("{folder}/{root}"));
        let declares = |parent: &String| {
            let code = sources.get(parent).into_iter();
            let words: Vec<&str> =
                code.flat_map(|code| code::words(code)).filter(|word| !word.is_empty()).collect();
            words.windows(2).any(|pair| pair == ["mod", name])
        };
        !is_root && !parents.iter().chain([&format!("{folder}.rs")]).any(declares)
    };
    let finding = |path: &String| format!("{path}:1: no module declares this file");
    sources.keys().filter(is_unused).map(finding).collect()
}

/// What is wrong with a file, each as `path:line: words`.
fn check(path: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        for start in MACHINE_PATHS {
            if line.contains(start) {
                findings.push(format!("{path}:{number}: path of one machine: {start}"));
            }
        }
    }
    let Some(stem) = path.strip_suffix(".rs") else { return findings };
    let name = stem.rsplit('/').next().unwrap_or(stem);
    if EMPTY_NAMES.contains(&name) {
        findings.push(format!("{path}:1: a file name that says nothing: {name}"));
    }
    let code = code::without_comments_and_strings(text);
    let tests = path.contains("/tests/") || path.contains("/benches/") || name == "tests";
    let lines = code::lines_before_tests(&code);
    let listed = LONG_FILES.iter().any(|(long, _)| *long == path);
    if !tests && lines > LONGEST && !listed {
        findings.push(format!("{path}:1: {lines} lines without tests, at most {LONGEST}"));
    }
    if listed && lines <= LONGEST {
        findings.push(format!("{path}:1: listed as long, but has only {lines} lines"));
    }
    if !path.starts_with(UNSAFE) {
        for (number, line) in (1..).zip(code.lines()) {
            if code::words(line).any(|word| word == "unsafe") {
                findings.push(format!("{path}:{number}: unsafe outside of {UNSAFE}"));
            }
        }
        let root = ["/src/lib.rs", "/src/main.rs"].iter().any(|root| path.ends_with(root));
        if root && !code.contains("#![forbid(unsafe_code)]") {
            findings.push(format!("{path}:1: #![forbid(unsafe_code)] is missing"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clean_file_has_no_findings() {
        let text = "//! A crate without unsafe code.\n\n#![forbid(unsafe_code)]\n\nconst A: &str = \"unsafe\";\n";
        assert_eq!(check("crates/a/src/lib.rs", text), [] as [&str; 0]);
    }

    #[test]
    fn broken_rules_are_found() {
        let long = "const A: u8 = 1;\n".repeat(601);
        let table: [(&str, &str, &str); 8] = [
            ("crates/a/src/x/mod.rs", "", "mod.rs:1: a file name that says nothing"),
            ("crates/a/src/utils.rs", "", "a file name that says nothing: utils"),
            ("crates/a/tests/it/common.rs", "", "a file name that says nothing: common"),
            ("crates/a/src/x.rs", &long, "601 lines without tests, at most 600"),
            ("crates/a/src/x.rs", "\nfn a() { unsafe { b() } }\n", "x.rs:2: unsafe outside"),
            ("crates/a/src/main.rs", "fn main() {}\n", "forbid(unsafe_code)] is missing"),
            ("README.md", concat!("one\nsee /wo", "rk/data\n"), "README.md:2: path of one machine"),
            ("crates/a/src/x.rs", concat!("// /ho", "me/me/data\n"), "x.rs:1: path of one machine"),
        ];
        for (path, text, expected) in table {
            let findings = check(path, text);
            assert_eq!(findings.len(), 1, "{path}: {findings:?}");
            assert!(findings[0].contains(expected), "{findings:?}");
        }
    }

    #[test]
    fn what_is_allowed_where() {
        let long = "const A: u8 = 1;\n".repeat(601);
        assert!(check("crates/a/tests/it/x.rs", &long).is_empty());
        assert!(check("crates/a/src/x/tests.rs", &long).is_empty());
        let tested = format!("fn a() {{}}\n\n#[cfg(test)]\nmod tests {{\n{long}}}\n");
        assert!(check("crates/a/src/x.rs", &tested).is_empty());
        assert!(check("crates/kernels/src/lib.rs", "fn a() { unsafe { b() } }\n").is_empty());
    }

    #[test]
    fn files_that_no_module_declares() {
        let table = [
            ("crates/a/src/lib.rs", "pub mod x; mod  kind;"),
            ("crates/a/src/x.rs", "mod y;"),
            ("crates/a/src/x/y.rs", ""),
            ("crates/a/src/x/z.rs", ""),
            ("crates/a/src/kind.rs", ""),
            ("crates/a/tests/it/main.rs", "mod w;"),
            ("crates/a/tests/it/w.rs", ""),
            ("crates/a/tests/it/y.rs", ""),
            ("crates/a/benches/speed.rs", ""),
        ];
        let sources = table.map(|(path, code)| (path.to_owned(), code.to_owned())).into();
        let expected = ["crates/a/src/x/z.rs", "crates/a/tests/it/y.rs"]
            .map(|path| format!("{path}:1: no module declares this file"));
        assert_eq!(unused_files(&sources), expected);
    }

    #[test]
    fn the_project_is_listed() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        assert!(files(root).unwrap().iter().any(|file| file == "xtask/src/main.rs"));
    }
}
