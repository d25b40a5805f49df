//! Trainings learn, stop when they should, and say what is wrong.

use std::ops::ControlFlow;
use std::path::Path;

use fewbit_data::{Dataset, DatasetName, Split};
use fewbit_nn::{Device, Network, NetworkConfig};
use fewbit_train::{
    DeadLayers, DeadStep, Ended, EpochEnd, EpochRecord, ErrorKind, Loss, Observer, Optim, Recipe,
    Scheduler, Silent, TrainBatch, TrainConfig, Trainer, evaluate,
};

use crate::{TestClock, glyphs, plan};

#[derive(Default)]
struct Watch {
    batches: Vec<TrainBatch>,
    records: Vec<EpochRecord>,
    best: Vec<bool>,
}

impl Observer for Watch {
    fn on_batch(&mut self, batch: &TrainBatch) -> ControlFlow<()> {
        self.batches.push(*batch);
        ControlFlow::Continue(())
    }

    fn on_epoch(&mut self, epoch: &EpochEnd<'_>) {
        self.records.push(*epoch.record);
        self.best.push(epoch.is_best);
    }
}

#[test]
fn networks_learn_with_every_optimizer_loss_and_schedule() {
    let [train, test] = glyphs(2000, 500);
    let cases = [
        ("TFC_2W2A", Optim::Adam, Loss::SquareHinge, Scheduler::Fixed, 0.02),
        ("TFC_1W2A", Optim::Adam, Loss::CrossEntropy, Scheduler::OneCycle, 0.02),
        // Not at a rate of 0.1: six epochs of 2,000 digits leave Brevitas near chance as well. Seeds 1 to
        // 3 of its TFC_2W2A with the square hinge loss end at 0.357 to 0.360 (ours, 1 and 2: 0.357 and
        // 0.359), of its TFC_1W1A with cross entropy at 2.304 to 2.311 (ours: 2.288 to 2.306).
        ("TFC_2W2A", Optim::Sgd, Loss::CrossEntropy, Scheduler::Cosine, 1.0),
        ("TFC_4W4A", Optim::Sgd, Loss::SquareHinge, Scheduler::Step, 1.0),
    ];
    for (network, optim, loss, scheduler, lr) in cases {
        let mut config = plan(network, Path::new("."));
        let recipe = &mut config.recipe;
        (recipe.optim, recipe.loss, recipe.scheduler, recipe.lr) = (optim, loss, scheduler, lr);
        recipe.epochs = 6;
        let mut trainer = Trainer::new(&config, &train, &test, &Device::cpu()).unwrap();
        let before = evaluate(trainer.network_mut(), &test, 100, loss).unwrap();
        let mut watch = Watch::default();
        trainer.run(None, &mut watch, &TestClock::default()).unwrap();
        let (first, last) = (watch.records[0], watch.records[5]);
        let story = format!("{network} {optim} {loss} {scheduler}: {before:?} {first:?} {last:?}");
        assert!(last.train_loss < first.train_loss, "{story}");
        // Ten classes: 10 % is chance.
        assert!(before.top1_percent < 30.0 && last.best_test_top1_percent > 50.0, "{story}");
        assert_eq!(watch.batches.len(), 6 * 40);
        assert!(watch.best[0]);
    }
}

#[test]
fn seeds_decide_everything() {
    let [train, test] = glyphs(200, 50);
    let run = |seed| {
        let mut config = plan("TFC_2W2A", Path::new("."));
        config.recipe.random_seed = seed;
        let mut trainer = Trainer::new(&config, &train, &test, &Device::cpu()).unwrap();
        let mut watch = Watch::default();
        trainer.run(None, &mut watch, &TestClock::default()).unwrap();
        watch.batches.iter().map(|batch| batch.loss.last.to_bits()).collect::<Vec<_>>()
    };
    assert_eq!(run(1), run(1));
    let (one, two) = (run(1), run(2));
    assert!(one.iter().zip(&two).all(|(a, b)| a != b), "another seed is another training");
}

#[test]
fn training_stops_when_nothing_improves() {
    let [train, test] = glyphs(100, 200);
    let mut config = plan("TFC_1W1A", Path::new("."));
    let recipe = &mut config.recipe;
    (recipe.epochs, recipe.early_stopping, recipe.patience) = (500, true, 4);
    let mut trainer = Trainer::new(&config, &train, &test, &Device::cpu()).unwrap();
    let mut watch = Watch::default();
    let ended = trainer.run(None, &mut watch, &TestClock::default()).unwrap();
    assert_eq!(ended, Ended::StoppedEarly);
    let mut best = f64::NEG_INFINITY;
    let mut risen = 0;
    for record in &watch.records {
        if record.test_top1_percent > best {
            (best, risen) = (record.test_top1_percent, record.epoch);
        }
    }
    assert_eq!(watch.records.len() as u64, risen + 4);
    assert_eq!(trainer.progress().best.unwrap().test_top1_percent, best);
    assert_eq!(trainer.progress().epochs_without_improvement, 4);
    // Stopped is stopped.
    let again = trainer.run(None, &mut watch, &TestClock::default()).unwrap();
    assert_eq!((again, watch.records.len() as u64), (Ended::StoppedEarly, risen + 4));
}

#[test]
fn a_loss_that_is_not_finite_ends_the_run_with_its_place() {
    let [train, test] = glyphs(200, 50);
    let mut config = plan("TFC_2W2A", Path::new("."));
    config.recipe.lr = 1e38;
    let mut trainer = Trainer::new(&config, &train, &test, &Device::cpu()).unwrap();
    let error = trainer.run(None, &mut Silent, &TestClock::default()).unwrap_err();
    let ErrorKind::NotFinite { epoch, step, learning_rate, place, .. } = error.kind() else {
        unreachable!("{error}")
    };
    assert!((1..=3).contains(epoch) && (1..=4).contains(step) && *learning_rate == 1e38, "{error}");
    assert!(error.to_string().contains(&format!("epoch {epoch}, step {step}")), "{error}");
    assert!(error.hint().unwrap().contains("learning rate"));
    // The last layer scales what is not finite, but a weight of normalization was beyond the numbers before.
    let place = place.as_ref().unwrap();
    assert!(place.contains("features."), "{place}");
    assert!(error.to_string().ends_with(place), "{error}");
    config.run.detect_nan = true;
    let mut trainer = Trainer::new(&config, &train, &test, &Device::cpu()).unwrap();
    assert!(trainer.run(None, &mut Silent, &TestClock::default()).is_err());
}

/// A narrow ResNet18 on a few generated images.
fn narrow(text: &str) -> TrainConfig {
    let network = NetworkConfig::from_file(text, Path::new("narrow.toml")).unwrap().network;
    let mut config = plan("TFC_2W2A", Path::new("."));
    config.recipe = Recipe { epochs: 2, batch_size: 10, lr: 0.001, ..Recipe::new(network) };
    config.recipe.dataset = DatasetName::Shapes;
    config.recipe.loss = Loss::CrossEntropy;
    config
}

fn shapes(images: usize) -> [Dataset; 2] {
    [Split::Train, Split::Test].map(|split| {
        Dataset::open(DatasetName::Shapes, Path::new("."), split, Some(images)).unwrap()
    })
}

#[derive(Default)]
struct Deaths(Vec<(u64, u64, Option<DeadLayers>)>);

impl Observer for Deaths {
    fn on_dead_layers(&mut self, found: &DeadStep<'_>) {
        self.0.push((found.epoch, found.step, found.layers.cloned()));
    }
}

const NARROW: &str = "[architecture]\nwidths = [16, 16, 64, 512]\nblocks = [1, 1, 1, 1]\n";

#[test]
fn networks_that_no_gradient_reaches_are_found_at_the_first_step() {
    let [train, test] = shapes(20);
    // quantizers.md 2.8.3: of e3m1, the last layer is zero at the start, of e2m1 all wide ones.
    let cases = [
        ("RESNET18_5W5A_FLOAT_E3M1", "", Some("linear.weight_quant")),
        ("RESNET18_4W4A_FLOAT_E2M1", "", Some("layer3.0.conv1.weight_quant")),
        ("RESNET18_8W8A_FLOAT_E4M3", "", None),
        (
            "RESNET18_5W5A_FLOAT_E3M1",
            "[architecture.quantizers]\nweight_scaling = \"per_channel\"\nact_scaling = \"learned\"",
            None,
        ),
    ];
    for (base, quantizers, zero) in cases {
        let config = narrow(&format!("base = {base:?}\n{NARROW}{quantizers}"));
        let mut trainer = Trainer::new(&config, &train, &test, &Device::cpu()).unwrap();
        let mut deaths = Deaths::default();
        trainer.run(None, &mut deaths, &TestClock::default()).unwrap();
        let Some(zero) = zero else {
            assert!(deaths.0.is_empty(), "{base} {quantizers}: {:?}", deaths.0);
            continue;
        };
        let (epoch, step, layers) = &deaths.0[0];
        let layers = layers.as_ref().unwrap();
        assert_eq!((*epoch, *step, layers.of), (1, 1, 13), "{base}: {layers}");
        assert_eq!(layers.weights[0], "conv1.weight", "{base}: {layers}");
        assert!(layers.zero.as_deref().unwrap().ends_with("weight_quant"), "{base}: {layers}");
        assert_eq!(layers.zero.as_deref(), Some(zero), "{base}: {layers}");
        // Looking changes nothing.
        let mut again = Trainer::new(&config, &train, &test, &Device::cpu()).unwrap();
        let mut losses = Watch::default();
        again.run(None, &mut losses, &TestClock::default()).unwrap();
        assert_eq!(again.checkpoint().to_bytes(), trainer.checkpoint().to_bytes());
    }
}

#[test]
fn the_first_layer_that_leaves_the_numbers_is_named() {
    let [train, test] = shapes(20);
    let text = format!("base = \"RESNET18_32W32A_FLOAT_E8M23\"\n{NARROW}");
    let config = narrow(&text);
    let mut trainer = Trainer::new(&config, &train, &test, &Device::cpu()).unwrap();
    // A factor of normalization so large that sums behind it overflow.
    let network = trainer.network_mut();
    let mut parameters = network.parameters_mut();
    let name = "layer2.0.bn1.weight";
    let (_, factor) = parameters.iter_mut().find(|(found, _)| found == name).unwrap();
    factor.update(|mut value| {
        value.update(|values| values.fill(3e38));
        value
    });
    drop(parameters);
    let error = trainer.run(None, &mut Silent, &TestClock::default()).unwrap_err();
    let ErrorKind::NotFinite { place: Some(place), epoch: 1, step: 1, .. } = error.kind() else {
        unreachable!("{error}")
    };
    assert_eq!(place, "the first tensor that is not finite is layer2.0.bn1.batch_norm");
    assert!(error.hint().unwrap().contains("--act-scaling learned"));
}

#[test]
fn evaluation_does_not_depend_on_the_batch_size() {
    let [_, test] = glyphs(1, 203);
    for loss in Loss::ALL {
        let mut network =
            Network::new(&NetworkConfig::named("TFC_2W2A").unwrap(), 3, &Device::cpu()).unwrap();
        let whole = evaluate(&mut network, &test, 1000, loss).unwrap();
        assert_eq!(whole.images, 203);
        assert!(whole.loss.is_finite() && whole.top5_percent >= whole.top1_percent);
        for batch_size in [1, 7, 100, 203] {
            assert_eq!(
                evaluate(&mut network, &test, batch_size, loss).unwrap(),
                whole,
                "{batch_size}"
            );
        }
    }
}

#[test]
fn batches_of_one_image_are_refused_at_the_start() {
    for (images, batch_size) in [(101, 50), (100, 1), (1, 50)] {
        let [train, test] = glyphs(images, 50);
        let mut config = plan("TFC_1W1A", Path::new("."));
        config.recipe.batch_size = batch_size;
        let error = Trainer::new(&config, &train, &test, &Device::cpu()).unwrap_err();
        assert!(error.to_string().starts_with("batch_size"), "{error}");
    }
}
