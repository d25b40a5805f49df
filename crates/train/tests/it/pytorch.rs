//! Checkpoints that PyTorch wrote, against the values that NumPy stored beside them.

use std::collections::BTreeMap;
use std::path::Path;

use fewbit_data::npz::NpzArchive;
use fewbit_nn::config::OutputNorm;
use fewbit_nn::network::{LoadReport, StateData, StateTensor, Strictness};
use fewbit_nn::{Device, Network, NetworkConfig, Pass, Tensor};
use fewbit_train::pytorch::{Contents, recognizes};
use fewbit_train::{Moments, Optim, Optimizer, Recipe, Silent, TrainConfig, Trainer, evaluate};

use crate::{TestClock, glyphs, plan, shared};

/// The arrays of an archive whose names begin with `prefix`, without it.
fn arrays(path: &Path, prefix: &str) -> BTreeMap<String, StateTensor> {
    let archive = NpzArchive::open(path).unwrap();
    let names = archive.names().filter_map(|name| Some((name, name.strip_prefix(prefix)?)));
    let tensor = |(name, own): (&str, &str)| {
        let array = archive.read(name).unwrap();
        let data = match (array.as_slice::<f32>(), array.as_slice::<i64>()) {
            (Some(values), _) => StateData::F32(values.to_vec()),
            (_, Some(values)) => StateData::I64(values.to_vec()),
            _ => return None,
        };
        Some((own.to_owned(), StateTensor { shape: array.shape().to_vec(), data }))
    };
    names.filter_map(tensor).collect()
}

fn bits(tensor: &StateTensor) -> Vec<u64> {
    match &tensor.data {
        StateData::F32(values) => values.iter().map(|value| value.to_bits().into()).collect(),
        StateData::I64(values) => values.iter().map(|value| value.cast_unsigned()).collect(),
    }
}

#[track_caller]
fn assert_same(got: &BTreeMap<String, StateTensor>, expected: &BTreeMap<String, StateTensor>) {
    assert_eq!(got.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (name, tensor) in expected {
        assert_eq!(got[name].shape, tensor.shape, "{name}");
        assert_eq!(bits(&got[name]), bits(tensor), "{name}");
    }
}

/// The layout of five pickles, trained on a GPU: every value that PyTorch itself reads.
#[test]
fn legacy_checkpoints() {
    let Some(shared) = shared() else { return };
    let folder = shared.join("models/brevitas_checkpoints");
    for (network, steps, learning_rate, epoch, best) in [
        ("TFC_1W1A", 502_200, 1.907_348_632_812_5e-8, 838, 93.17),
        ("TFC_2W2A", 554_400, 2.384_185_791_015_625e-9, 925, 96.6),
    ] {
        let contents = Contents::read(&folder.join(format!("{network}_best.tar"))).unwrap();
        let model = contents.model().unwrap();
        assert_eq!(model.len(), 24);
        assert_same(&model, &arrays(&folder.join(format!("{network}_best_state_dict.npz")), ""));
        let optimizer = contents.optimizer().unwrap().unwrap();
        assert_eq!(optimizer.len(), 12);
        for (name, moments) in &optimizer {
            let Moments::Adam { steps: own, first, second } = moments else { panic!("{name}") };
            assert_eq!(
                (*own, &first.shape, &second.shape),
                (steps, &model[name].shape, &model[name].shape)
            );
        }
        assert_eq!(contents.epoch(), Some(epoch));
        assert_eq!(contents.best_val_acc(), Some(best));
        assert_eq!(contents.learning_rate().unwrap(), Some(learning_rate));
    }
}

/// The end states of the stored trajectories: zip archives.
#[test]
fn trajectories_end_in_their_checkpoints() {
    let Some(shared) = shared() else { return };
    let networks = ["4w4a", "cnv_1w1a", "cnv_2w2a", "e3m1", "e4m3", "e4m3_hinge_lr0.02"]
        .map(|own| format!("e_traj_tiny_{own}"));
    for network in networks {
        let golden = shared.join("golden");
        let contents = Contents::read(&golden.join(format!("{network}.end.tar"))).unwrap();
        let mut expected = arrays(&golden.join(format!("{network}.npz")), "end.");
        expected.remove("eval_out0").unwrap();
        assert_same(&contents.model().unwrap(), &expected);
        assert_eq!((contents.epoch(), contents.best_val_acc()), (Some(2), Some(12.5)));
        assert_eq!(contents.optimizer().unwrap(), None);
    }
}

/// A checkpoint with its optimizer: parameters get their own moments.
#[test]
fn optimizers_are_matched_to_parameters() {
    let Some(shared) = shared() else { return };
    let golden = shared.join("golden");
    for (file, tensors, steps, epoch, best) in [
        ("f_ckpt_tfc_2w2a_best.tar", 23, 60, 2, 100.0),
        ("nets/cnv_2w2a_best.tar", 53, 80, 1, 36.0),
    ] {
        let contents = Contents::read(&golden.join(file)).unwrap();
        let model = contents.model().unwrap();
        assert_eq!(model.len(), tensors);
        let is_buffer =
            |name: &str| name.contains("running_") || name.ends_with("num_batches_tracked");
        let parameters: Vec<&String> = model.keys().filter(|name| !is_buffer(name)).collect();
        let optimizer = contents.optimizer().unwrap().unwrap();
        assert_eq!(optimizer.keys().collect::<Vec<_>>(), parameters);
        for (name, moments) in &optimizer {
            let Moments::Adam { steps: own, first, second } = moments else { panic!("{name}") };
            assert_eq!(
                (*own, &first.shape, &second.shape),
                (steps, &model[name].shape, &model[name].shape)
            );
            let StateData::F32(second) = &second.data else { panic!("{name}") };
            assert!(second.iter().all(|&value| value >= 0.0), "{name}: squares");
        }
        assert_eq!((contents.epoch(), contents.best_val_acc()), (Some(epoch), Some(best)));
        assert_eq!(contents.learning_rate().unwrap(), Some(0.02));
    }
}

/// Bare state dicts (`.pth`).
#[test]
fn state_dicts_alone() {
    let Some(shared) = shared() else { return };
    let mut files = 0;
    for network in ["sfc_1w1a", "sfc_1w2a", "sfc_2w2a", "tfc_1w1a", "tfc_1w2a", "tfc_2w2a"] {
        let path = shared.join(format!("golden/d_nets/{network}.state_dict.pth"));
        let contents = Contents::read(&path).unwrap();
        let model = contents.model().unwrap();
        assert_eq!(model.len(), 23);
        let width = if network.starts_with("sfc") { 256 } else { 64 };
        assert_eq!(model["features.2.weight"].shape, [width, 784]);
        assert_eq!((contents.epoch(), contents.best_val_acc()), (None, None));
        assert!(contents.optimizer().unwrap().is_none());
        files += 1;
    }
    assert_eq!(files, 6);
}

/// A checkpoint with an optimizer: the network computes the stored logits, and the moments find their parameters.
#[test]
fn an_imported_checkpoint_is_whole() {
    let Some(shared) = shared() else { return };
    let golden = shared.join("golden");
    let contents = Contents::read(&golden.join("f_ckpt_tfc_2w2a_best.tar")).unwrap();
    let config = NetworkConfig::named("TFC_2W2A").unwrap();
    let device = Device::cpu();
    let mut network = Network::new(&config, 1, &device).unwrap();
    network.load_state(&contents.model().unwrap(), Strictness::Strict).unwrap();
    let stored = arrays(&golden.join("f_ckpt_tfc_2w2a_best_check.npz"), "");
    let values = |name: &str| match &stored[name].data {
        StateData::F32(values) => values.clone(),
        StateData::I64(_) => panic!("{name}"),
    };
    let images = Tensor::from_vec(values("x8"), &stored["x8"].shape, &device);
    let logits = network.forward(&images, Pass::Evaluation).unwrap().to_vec();
    assert_eq!(logits, values("torch_out8"));
    let moments = contents.optimizer().unwrap().unwrap();
    let recipe = Recipe::new(config);
    let optimizer = Optimizer::restore(&recipe, &mut network, &moments, contents.file()).unwrap();
    assert_eq!(optimizer.state(), moments);
}

/// A training of PyTorch goes on here: network, optimizer, epoch and settings are those of the file.
#[test]
fn trainings_go_on() {
    let Some(shared) = shared() else { return };
    let contents = Contents::read(&shared.join("golden/f_ckpt_tfc_2w2a_best.tar")).unwrap();
    let [train, test] = glyphs(3000, 200);
    let mut config = plan("TFC_2W2A", Path::new("."));
    // 60 steps in 2 epochs of 30.
    (config.recipe.batch_size, config.recipe.epochs) = (100, 3);
    (config.recipe.optim, config.recipe.lr) = (Optim::Sgd, 0.5);
    let device = Device::cpu();
    let (mut trainer, report) =
        Trainer::import(&config, &contents, Strictness::Strict, &train, &test, &device).unwrap();
    assert_eq!(report, LoadReport::default());
    let recipe = &trainer.config().recipe;
    assert_eq!((recipe.optim, recipe.lr, recipe.weight_decay), (Optim::Adam, 0.02, 0.0));
    let start = trainer.checkpoint();
    assert_same(&start.model, &contents.model().unwrap());
    assert_eq!(start.optimizer, contents.optimizer().unwrap().unwrap());
    assert_eq!((start.progress.epochs_finished, start.progress.steps), (2, 60));
    let best = start.progress.best.unwrap();
    let loss = recipe.loss;
    let found = evaluate(trainer.network_mut(), &test, 100, loss).unwrap();
    assert_eq!((best.epoch, best.test_top1_percent), (2, found.top1_percent));

    trainer.run(None, &mut Silent, &TestClock::default()).unwrap();
    assert_eq!((trainer.progress().epochs_finished, trainer.progress().steps), (3, 90));
    let moments = trainer.checkpoint().optimizer;
    assert!(moments.values().all(|m| matches!(m, Moments::Adam { steps: 90, .. })));
    assert_ne!(trainer.checkpoint().model, start.model);

    // What was imported is a checkpoint like others.
    let resumed = Trainer::resume(
        &TrainConfig { recipe: start.recipe.clone(), ..config },
        &start,
        &train,
        &test,
        &device,
    );
    let mut resumed = resumed.unwrap();
    resumed.run(None, &mut Silent, &TestClock::default()).unwrap();
    assert_eq!(resumed.checkpoint().to_bytes(), trainer.checkpoint().to_bytes());
}

/// The first releases of Brevitas normalize the logits by class: that is seen from the tensors.
#[test]
fn releases_that_end_in_another_layer() {
    let Some(shared) = shared() else { return };
    for name in ["TFC_1W1A", "TFC_2W2A"] {
        let folder = shared.join("models/brevitas_checkpoints");
        let contents = Contents::read(&folder.join(format!("{name}_best.tar"))).unwrap();
        let recipe = Recipe::new(NetworkConfig::named(name).unwrap());
        let imported = contents.checkpoint(&recipe, Strictness::Strict).unwrap();
        assert_eq!(imported.report, LoadReport::default());
        let checkpoint = imported.checkpoint;
        let mut described = recipe.network.clone();
        *described.architecture.output_norm_mut().unwrap() = OutputNorm::BatchNorm;
        assert_eq!(checkpoint.recipe, Recipe { network: described, ..recipe.clone() });
        let stored = arrays(&folder.join(format!("{name}_best_state_dict.npz")), "");
        assert_same(&checkpoint.model, &stored);
        assert_same(&checkpoint.network(&Device::cpu()).unwrap().state(), &stored);

        // A network that was built otherwise says so, and stays as it is.
        let mut network = Network::new(&recipe.network, 1, &Device::cpu()).unwrap();
        let before = network.state();
        let error = network.load_state(&stored, Strictness::Lenient).unwrap_err().to_string();
        assert!(
            error.contains("features.15") && error.contains("[10]") && error.contains("[1]"),
            "{error}"
        );
        assert_eq!(network.state(), before);
    }
}

/// Other files are told by their beginning.
#[test]
fn other_files_are_refused() {
    let Some(shared) = shared() else { return };
    for file in ["golden/README.md", "golden/f_ckpt_info.json", "golden/a_float_mx.npz", "golden"] {
        let error = Contents::read(&shared.join(file)).unwrap_err().to_string();
        let expected =
            if file.ends_with("npz") { "one folder around all entries" } else { "torch.save" };
        assert!(error.contains(file) && error.contains(expected), "{error}");
    }
    assert!(!recognizes(b"{}") && !recognizes(&[]));
}
