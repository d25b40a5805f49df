//! Checkpoints of PyTorch as the start of a training.

use std::collections::BTreeMap;

use fewbit_nn::network::{StateTensor, Strictness};
use fewbit_nn::{Device, Network, NetworkConfig};

use super::*;
use crate::checkpoint::Moments;
use crate::config::{Decayed, Optim, Recipe};
use crate::pytorch::writer::archive;
use crate::schedule::Scheduler;

fn recipe(name: &str) -> Recipe {
    Recipe::new(NetworkConfig::named(name).unwrap())
}

fn state(seed: u64) -> BTreeMap<String, StateTensor> {
    let config = NetworkConfig::named("TFC_1W1A").unwrap();
    Network::new(&config, seed, &Device::cpu()).unwrap().state()
}

fn file(state: &BTreeMap<String, StateTensor>) -> Contents {
    let tensors: Vec<(&str, &StateTensor)> =
        state.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    read(archive(&tensors).unwrap()).unwrap()
}

#[test]
fn strictness_decides_about_names() {
    let own = state(5);
    let imported = file(&own).checkpoint(&recipe("TFC_1W1A"), Strictness::Strict).unwrap();
    assert_eq!(imported.checkpoint.model, own);
    assert_eq!(imported.checkpoint.file(), Path::new(FILE));
    assert_eq!(imported.report, Default::default());

    let mut other = own.clone();
    other.remove("features.3.bias").unwrap();
    other.insert("module.extra".to_owned(), StateTensor::counter(1));
    let other = file(&other);
    let error = other.checkpoint(&recipe("TFC_1W1A"), Strictness::Strict).unwrap_err().to_string();
    assert!(error.contains("features.3.bias") && error.contains(FILE), "{error}");
    let imported = other.checkpoint(&recipe("TFC_1W1A"), Strictness::Lenient).unwrap();
    assert_eq!(imported.report.missing, ["features.3.bias"]);
    assert_eq!(imported.report.unknown, ["extra"], "without the prefix of data-parallel trainings");
    let initial = state(recipe("TFC_1W1A").random_seed);
    assert_eq!(imported.checkpoint.model["features.3.bias"], initial["features.3.bias"]);
    assert_eq!(imported.checkpoint.model["features.2.weight"], own["features.2.weight"]);
}

#[test]
fn files_of_other_networks_are_refused() {
    let own = file(&state(5));
    let error = own.checkpoint(&recipe("SFC_1W1A"), Strictness::Lenient).unwrap_err().to_string();
    assert!(error.contains("features.") && error.contains("256"), "{error}");
    let foreign = BTreeMap::from([("conv1.weight".to_owned(), StateTensor::counter(1))]);
    let error = file(&foreign)
        .checkpoint(&recipe("TFC_1W1A"), Strictness::Lenient)
        .unwrap_err()
        .to_string();
    assert!(error.contains("conv1.weight") && error.contains("TFC_1W1A"), "{error}");
}

/// A checkpoint with nothing but an epoch and the settings of an optimizer.
fn saved(epoch: i64, settings: impl Fn(Pickle) -> Pickle) -> Contents {
    let pickle = Pickle::new().op(b"}(").text("epoch").int(epoch).text("optim_dict");
    let pickle = pickle.op(b"}").text("param_groups").op(b"]}(");
    let pickle = settings(pickle).op(b"uasu");
    read(Layout::BOTH[0].file(&pickle, &[])).unwrap()
}

fn adam(pickle: Pickle, lr: f64) -> Pickle {
    let pickle = pickle.text("lr").float(lr).text("eps").float(1e-8).text("amsgrad").op(b"\x89");
    pickle.text("betas").float(0.9).float(0.999).op(b"\x86").text("weight_decay").float(0.25)
}

#[test]
fn settings_of_the_file_win() {
    let contents = saved(85, |pickle| adam(pickle, 0.0025));
    let flags = Recipe { lr: 0.7, optim: Optim::Sgd, ..recipe("TFC_1W1A") };
    let found = contents.settings(&flags, 85).unwrap();
    assert_eq!((found.optim, found.lr, found.weight_decay), (Optim::Adam, 0.01, 0.25));
    assert_eq!(found.schedule(10).learning_rate(850), 0.0025, "of the next epoch");
    // Tenths are not exact: the first rate is in the file, if the schedule needs it.
    let stepped = Recipe { scheduler: Scheduler::Step, ..flags.clone() };
    let with_first = saved(120, |pickle| adam(pickle, 0.1 * 0.02).text("initial_lr").float(0.02));
    assert_eq!(with_first.settings(&stepped, 120).unwrap().lr, 0.02);
    assert_eq!(saved(120, |p| adam(p, 0.002)).settings(&stepped, 120).unwrap().lr, 0.002 / 0.1);
    let cosine = Recipe { scheduler: Scheduler::Cosine, ..flags.clone() };
    assert_eq!(contents.settings(&cosine, 85).unwrap().lr, 0.7);

    let sgd = saved(3, |p| p.text("lr").float(0.1).text("momentum").float(0.5));
    let found = sgd.settings(&recipe("TFC_1W1A"), 3).unwrap();
    assert_eq!((found.optim, found.lr, found.momentum), (Optim::Sgd, 0.1, 0.5));
}

#[test]
fn nesterov_and_decoupled_decay_are_taken_over() {
    let flags = Recipe { weight_decay_on: Decayed::Weights, ..recipe("TFC_1W1A") };
    let sgd = |pickle: Pickle| {
        pickle.text("lr").float(0.1).text("momentum").float(0.5).text("nesterov").op(b"\x88")
    };
    let found = saved(3, sgd).settings(&flags, 3).unwrap();
    assert_eq!((found.optim, found.nesterov), (Optim::Sgd, true));
    assert_eq!(found.weight_decay_on, Decayed::All, "one group: all alike");

    let nesterov = Recipe { optim: Optim::Sgd, nesterov: true, ..flags.clone() };
    let found = saved(3, |p| adam(p, 0.1)).settings(&nesterov, 3).unwrap();
    assert_eq!((found.optim, found.nesterov), (Optim::Adam, false), "the file wins");

    let decoupled =
        |on: &'static [u8]| saved(3, |p| adam(p, 0.1).text("decoupled_weight_decay").op(on));
    let adamw = Recipe { optim: Optim::AdamW, ..flags.clone() };
    for (contents, flags, expected) in [
        (decoupled(b"\x88"), &flags, Optim::AdamW),
        (decoupled(b"\x89"), &adamw, Optim::Adam),
        // Old files do not tell.
        (saved(3, |p| adam(p, 0.1)), &flags, Optim::Adam),
        (saved(3, |p| adam(p, 0.1)), &adamw, Optim::AdamW),
    ] {
        assert_eq!(contents.settings(flags, 3).unwrap().optim, expected);
    }
}

#[test]
fn settings_that_we_do_not_have_are_refused() {
    type Spoil = fn(Pickle) -> Pickle;
    let cases: [(&str, Spoil); 4] = [
        ("betas", |p| p.text("betas").float(0.5).float(0.999).op(b"\x86")),
        ("eps", |p| p.text("eps").float(1e-4)),
        ("amsgrad", |p| p.text("amsgrad").op(b"\x88")),
        ("nesterov", |p| p.text("nesterov").float(1.0)),
    ];
    for (field, spoil) in cases {
        let contents = saved(1, |pickle| spoil(pickle.text("lr").float(0.1)));
        let error = contents.settings(&recipe("TFC_1W1A"), 1).unwrap_err().to_string();
        assert!(error.contains(field) && error.contains(FILE), "{error}");
    }
}

#[test]
fn the_number_of_an_epoch_is_told_by_the_steps() {
    let contents = saved(5, |pickle| adam(pickle, 0.1));
    let adam = |steps| {
        let (first, second) = (StateTensor::f32(&[], vec![0.0]), StateTensor::f32(&[], vec![0.0]));
        BTreeMap::from([("w".to_owned(), Moments::Adam { steps, first, second })])
    };
    for (steps, finished) in [(50, 5), (40, 4), (45, 5)] {
        assert_eq!(contents.epochs_finished(&adam(steps), 10), finished, "{steps} steps");
    }
    assert_eq!(contents.epochs_finished(&BTreeMap::new(), 10), 5);
}
