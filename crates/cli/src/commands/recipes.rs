//! `fewbit recipes`: what `train --recipe` knows by name.

use std::path::PathBuf;

use clap::Args;
use fewbit_train::recipes::BuiltIn;
use fewbit_train::{Error, ErrorKind, TrainConfig};
use serde_json::json;

use crate::command_line::Example;
use crate::console::table;
use crate::failure::{Failure, Hint, Outcome};
use crate::nearest::suggestion;
use crate::program::{Report, Verdict};

/// Examples of `--help`.
pub const EXAMPLES: &[Example] = &[
    Example { purpose: "all recipes", lines: "fewbit recipes" },
    Example {
        purpose: "a recipe of one's own: print one, change it, train with it",
        lines: "fewbit recipes tfc-2w2a-modern > mine.toml\n\
                fewbit train --recipe mine.toml --dataset glyphs --limit 500 --epochs 2",
    },
];

/// The end of `--help`.
pub const NOTES: &str = "\
A recipe is a config.toml, as in run folders, in which only the network has to be said: what it leaves \
out is the default. `train --recipe` takes a name or a file; flags of `train` go over it.
";

/// Flags of `recipes`.
#[derive(Args, Clone, Debug)]
pub struct RecipesArgs {
    /// Print this recipe; without it, lists all
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
}

/// Runs the command.
pub fn run(args: &RecipesArgs) -> Outcome<Report> {
    let Some(name) = &args.name else { return Ok(list()) };
    let recipe = named(name)?;
    let BuiltIn { name, text } = recipe;
    let json = json!({
        "name": name,
        "purpose": recipe.purpose(),
        "text": text,
        "config": recipe.config(),
    });
    Ok(Report { text: text.to_owned(), json, verdict: Verdict::Good })
}

fn list() -> Report {
    let rows: Vec<Vec<String>> = BuiltIn::ALL
        .iter()
        .map(|recipe| vec![recipe.name.to_owned(), recipe.purpose().to_owned()])
        .collect();
    let text = format!(
        "{}\n`fewbit recipes NAME` prints one, `fewbit train --recipe NAME` trains with it.\n",
        table(&["recipe", "trains"], &rows)
    );
    let described = |recipe: &BuiltIn| {
        let config = recipe.config().recipe;
        json!({
            "name": recipe.name,
            "purpose": recipe.purpose(),
            "network": config.network.name,
            "dataset": config.dataset.as_str(),
            "epochs": config.epochs,
        })
    };
    let json = json!({ "recipes": BuiltIn::ALL.iter().map(described).collect::<Vec<_>>() });
    Report { text, json, verdict: Verdict::Good }
}

/// Reads the recipe of a name, or of a file.
pub fn read(name_or_file: &str) -> Outcome<TrainConfig> {
    let path = PathBuf::from(name_or_file);
    let is_file = path.extension().is_some_and(|extension| extension == "toml")
        || path.components().count() > 1;
    if !is_file {
        return Ok(named(name_or_file)?.config());
    }
    let advised = |failure: Failure| match failure.message() {
        _ if !path.exists() => {
            failure.or_hint("`fewbit recipes NAME` prints a recipe to start from")
        }
        text if text.contains("recipe.network: found nothing") => {
            failure.or_hint("the description of a network belongs to --network")
        }
        _ => failure,
    };
    TrainConfig::read_recipe(&path).map_err(explained).map_err(advised).or_else(|failure| {
        // An unknown network does not say where it was named.
        if failure.message().contains(name_or_file) {
            return Err(failure);
        }
        Err(failure).context(path.display())
    })
}

fn named(name: &str) -> Outcome<BuiltIn> {
    BuiltIn::named(name).map_err(Failure::from).map_err(|failure| {
        let names = BuiltIn::ALL.iter().map(|recipe| recipe.name);
        match suggestion(name, names) {
            Some(hint) => failure.or_hint(hint),
            None => failure.or_hint(
                "`fewbit recipes` lists them; a file of your own goes to `fewbit train --recipe`",
            ),
        }
    })
}

/// Adds what the user may have meant.
fn explained(error: Error) -> Failure {
    let hint = match error.kind() {
        ErrorKind::UnknownKey { key, known, .. } => {
            suggestion(key, known.iter().map(String::as_str))
        }
        ErrorKind::Network(cause) => match cause.kind() {
            fewbit_nn::ErrorKind::UnknownNetwork { name, known } => {
                suggestion(name, known.iter().map(String::as_str))
            }
            _ => None,
        },
        _ => None,
    };
    let failure = Failure::from(error);
    match hint {
        Some(hint) => failure.or_hint(hint),
        None => failure,
    }
}
