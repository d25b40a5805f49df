//! What `--help` says, as snapshots.

use tempfile::TempDir;

use crate::harness::fewbit;

/// The commands, as the first help page lists them.
pub const COMMANDS: [&str; 16] = [
    "train", "recipes", "eval", "export", "verify", "prove", "run", "diff", "inspect", "cost",
    "clean", "convert", "codes", "formats", "networks", "data",
];

#[test]
fn help_pages() {
    let folder = TempDir::new().unwrap();
    insta::assert_snapshot!("help", fewbit(folder.path(), "--help").expect(0).stdout);
    for command in COMMANDS {
        let run = fewbit(folder.path(), &format!("{command} --help")).expect(0);
        assert!(run.stdout.contains("Examples:"), "{command}");
        insta::assert_snapshot!(format!("help_{command}"), run.stdout);
    }
    for action in ["fetch", "check", "list", "save"] {
        let run = fewbit(folder.path(), &format!("data {action} --help")).expect(0);
        insta::assert_snapshot!(format!("help_data_{action}"), run.stdout);
    }
}

#[test]
fn the_first_page_lists_exactly_the_commands() {
    let folder = TempDir::new().unwrap();
    let page = fewbit(folder.path(), "--help").expect(0).stdout;
    let list = page.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let mut named: Vec<&str> = list
        .lines()
        .filter_map(|line| line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let mut commands = COMMANDS.to_vec();
    named.sort_unstable();
    commands.sort_unstable();
    assert_eq!(named, commands);
}

#[test]
fn nothing_typed_shows_the_help_and_fails() {
    let folder = TempDir::new().unwrap();
    let run = fewbit(folder.path(), "").expect(2);
    assert!(run.stdout.is_empty());
    assert!(run.stderr.contains("Commands:"), "{}", run.stderr);
}

#[test]
fn version() {
    let folder = TempDir::new().unwrap();
    let run = fewbit(folder.path(), "--version").expect(0);
    assert_eq!(run.stdout, format!("fewbit {}\n", env!("CARGO_PKG_VERSION")));
}
