use std::collections::BTreeSet;
use std::fs;

use fewbit_data::DatasetName;
use fewbit_nn::config::{ActScaling, Architecture, Quantization, WeightScaling};

use super::*;
use crate::config::{Augment, Loss, Optim, Recipe, RunOptions};
use crate::schedule::Scheduler;

fn read(text: &str) -> Result<TrainConfig, Error> {
    TrainConfig::from_recipe(text, Path::new("mine.toml"))
}

#[test]
fn the_folder_is_the_list() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes");
    let files: BTreeSet<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let listed: BTreeSet<String> =
        BuiltIn::ALL.iter().map(|recipe| format!("{}.toml", recipe.name)).collect();
    assert_eq!(files, listed);
    assert_eq!(BuiltIn::ALL.len(), listed.len());
}

#[test]
fn every_row_has_two_recipes_that_can_be_trained() {
    for recipe in BuiltIn::ALL {
        let config = recipe.config();
        config.validate().unwrap();
        let has_quantizers = config.recipe.network.quantization == Quantization::On;
        assert_eq!(config.run.export_qonnx, has_quantizers, "{}", recipe.name);
        assert!(recipe.purpose().ends_with('.') || recipe.purpose().contains("published"));
        assert!(recipe.purpose().len() < 100, "{}", recipe.name);
        let other = match recipe.name.strip_suffix("-modern") {
            Some(published) => published.to_owned(),
            None => format!("{}-modern", recipe.name),
        };
        let other = BuiltIn::named(&other).unwrap().config();
        assert_eq!(other.recipe.network.name, config.recipe.network.name, "the same row");
        let RunOptions { log_freq, .. } = config.run;
        let rest = RunOptions { export_qonnx: has_quantizers, log_freq, ..RunOptions::default() };
        assert_eq!(config.run, rest, "{}: the user decides where and how", recipe.name);
    }
}

/// Every shipped network that has a published accuracy, with the settings of the published trainer.
#[test]
fn published_recipes_are_the_published_commands() {
    let mut published = 0;
    for recipe in BuiltIn::ALL.iter().filter(|recipe| !recipe.name.ends_with("-modern")) {
        let Recipe { network, .. } = recipe.config().recipe;
        let mut expected = Recipe::new(NetworkConfig::named(&network.name).unwrap());
        match recipe.name {
            "e3m1" => {
                // --epochs 10000 --early_stopping --patience 100 --lr 0.001 --loss CrossEntropy
                // --scheduler STEP
                expected.epochs = 10_000;
                (expected.early_stopping, expected.patience) = (true, 100);
                (expected.lr, expected.loss) = (0.001, Loss::CrossEntropy);
                expected.scheduler = Scheduler::Step;
                assert_eq!(recipe.config().run.log_freq, 20);
                assert_eq!(network.name, "RESNET18_5W5A_FLOAT_E3M1");
            }
            // Batch 100, Adam, 0.02, square hinge, 200 epochs.
            "e4m3" => {
                expected.epochs = 200;
                assert_eq!(network.name, "RESNET18_8W8A_FLOAT_E4M3");
            }
            "fp32" => {
                expected.epochs = 200;
                assert_eq!(network.name, "RESNET18_32W32A_FLOAT_E8M23");
            }
            name => assert_eq!(network.name.replace('_', "-").to_lowercase(), name),
        }
        assert_eq!(recipe.config().recipe, expected, "{}", recipe.name);
        published += 1;
    }
    assert_eq!(published, 15);
}

#[test]
fn modern_recipes_need_fewer_epochs() {
    for recipe in BuiltIn::ALL.iter().filter(|recipe| recipe.name.ends_with("-modern")) {
        let published = BuiltIn::named(recipe.name.trim_end_matches("-modern")).unwrap();
        let (modern, published) = (recipe.config().recipe, published.config().recipe);
        assert!(modern.epochs * 2 < published.epochs, "{}", recipe.name);
        assert_eq!(modern.dataset, published.dataset);
    }
    let e3m1 = BuiltIn::named("E3M1_Modern").unwrap().config().recipe;
    let Architecture::Resnet18 { quantizers, widths, .. } = e3m1.network.architecture else {
        panic!("a ResNet18")
    };
    assert_eq!(widths, [64, 128, 256, 512]);
    assert_eq!(quantizers.weight_scaling, WeightScaling::PerChannel);
    assert_eq!(quantizers.act_scaling, ActScaling::Learned);
}

#[test]
fn a_file_says_what_it_changes() {
    let config = read(
        "[recipe]\nnetwork = \"cnv_1w1a\"\nlr = 1\naugment = \"crop=2\"\noptim = \"SGD\"\nnesterov = true\n\
         [run]\nlog_freq = 3",
    )
    .unwrap();
    let mut expected = TrainConfig::new(NetworkConfig::named("CNV_1W1A").unwrap());
    let recipe = &mut expected.recipe;
    (recipe.lr, recipe.optim, recipe.nesterov) = (1.0, Optim::Sgd, true);
    recipe.augment = "crop=2".parse::<Augment>().unwrap();
    expected.run.log_freq = 3;
    assert_eq!(config, expected);
    assert_eq!(config.recipe.dataset, DatasetName::Cifar10);
}

/// The plan of a run is a recipe, also that of a network that has no name of the known pattern.
#[test]
fn plans_of_runs_are_recipes() {
    let mut config = TrainConfig::new(NetworkConfig::named("SFC_1W1A").unwrap());
    assert_eq!(read(&config.to_toml().unwrap()).unwrap(), config);
    config.recipe.network.name = "MINE".to_owned();
    let Architecture::Fc { hidden, .. } = &mut config.recipe.network.architecture else {
        panic!("fully connected")
    };
    *hidden = vec![7, 9];
    config.run.datadir = "elsewhere".into();
    assert_eq!(read(&config.to_toml().unwrap()).unwrap(), config);
    // Another family under a known name is all that the file says.
    let cnv = NetworkConfig::named("CNV_1W1A").unwrap();
    config.recipe = Recipe::new(NetworkConfig { name: "SFC_1W1A".to_owned(), ..cnv });
    assert_eq!(read(&config.to_toml().unwrap()).unwrap(), config);
}

#[test]
fn what_means_nothing_is_named() {
    let with = |line: &str| format!("[recipe]\nnetwork = \"TFC_2W2A\"\n{line}\n");
    let cases: [(String, &[&str]); 13] = [
        (with("learning_rate = 0.1"), &["mine.toml", "line 3", "learning_rate", "`lr`"]),
        (
            "[recipe.network]\nname = \"TFC_2W2A\"\narchitecture.hiden = [3]".to_owned(),
            &["mine.toml", "hiden", "`hidden`"],
        ),
        (with("[rnu]\nlog_freq = 3"), &["line 3", "rnu", "`run`"]),
        (with("[run]\nlogfreq = 3"), &["line 4", "logfreq", "`log_freq`"]),
        (with("lr = \"fast\""), &["mine.toml", "recipe.lr", "fast"]),
        (with("loss = \"Hinge\""), &["recipe.loss", "Hinge", "SqrHinge"]),
        (with("dataset = \"cifar100\""), &["recipe.dataset", "cifar100"]),
        (with("dataset = \"cifar10\""), &["dataset", "TFC_2W2A"]),
        (with("augment = \"rotate\""), &["recipe.augment", "rotate", "cutout"]),
        (with("lr = = 1"), &["mine.toml", "line 3"]),
        ("[recipe]\nnetwork = \"TFC_22\"".to_owned(), &["TFC_22", "TFC_2W2A"]),
        ("[recipe]\nlr = 1".to_owned(), &["recipe.network", "nothing", "TFC_2W2A"]),
        ("recipe = 3".to_owned(), &["recipe.network"]),
    ];
    for (text, words) in cases {
        let message = read(&text).unwrap_err().to_string();
        for word in words {
            assert!(message.contains(word), "{text}: {message}");
        }
    }
    let error = BuiltIn::named("e3m2").unwrap_err().to_string();
    assert!(error.contains("e3m2") && error.contains("e3m1-modern"), "{error}");
    let text = with("");
    for cut in 0..text.len() {
        read(&text[..cut]).map_or_else(drop, drop);
    }
}
