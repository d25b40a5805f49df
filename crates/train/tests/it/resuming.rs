//! Checkpoints are taken for what they are, or refused.

use std::fs;
use std::path::Path;

use fewbit_nn::network::StateTensor;
use fewbit_nn::{Device, NetworkConfig};
use fewbit_train::{Checkpoint, Moments, Optim, Silent, TrainConfig, Trainer, evaluate};

use crate::{TestClock, glyphs, plan};

/// A training of one epoch, and the file it left.
fn trained(config: &TrainConfig) -> Checkpoint {
    let [train, test] = glyphs(120, 60);
    let mut config = config.clone();
    config.recipe.epochs = 1;
    let mut trainer = Trainer::new(&config, &train, &test, &Device::cpu()).unwrap();
    trainer.run(None, &mut Silent, &TestClock::default()).unwrap();
    reread(&trainer.checkpoint())
}

fn reread(checkpoint: &Checkpoint) -> Checkpoint {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("last.safetensors");
    checkpoint.write(&path).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    Checkpoint::read(&path).unwrap()
}

fn resume(config: &TrainConfig, checkpoint: &Checkpoint, images: usize) -> Result<Trainer, String> {
    let [train, test] = glyphs(images, 60);
    Trainer::resume(config, checkpoint, &train, &test, &Device::cpu()).map_err(|e| e.to_string())
}

#[test]
fn networks_come_back_from_files() {
    for name in ["TFC_1W1A", "TFC_1W2A", "TFC_2W2A"] {
        for optim in Optim::ALL {
            let mut config = plan(name, Path::new("."));
            config.recipe.optim = optim;
            let checkpoint = trained(&config);
            let trainer = resume(&config, &checkpoint, 120).unwrap();
            assert_eq!(trainer.checkpoint().to_bytes(), {
                let mut longer = checkpoint.clone();
                longer.recipe.epochs = 3;
                longer.to_bytes()
            });
            let [_, test] = glyphs(1, 60);
            let mut network = checkpoint.network(&Device::cpu()).unwrap();
            let loss = checkpoint.recipe.loss;
            let evaluation = evaluate(&mut network, &test, 7, loss).unwrap();
            let best = checkpoint.progress.best.unwrap();
            assert_eq!(evaluation.top1_percent, best.test_top1_percent, "{name} {optim}");
            assert_eq!(evaluation.images, 60);
        }
    }
}

#[test]
fn checkpoints_of_something_else_are_refused() {
    let config = plan("TFC_2W2A", Path::new("."));
    let checkpoint = trained(&config);
    let mut other = config.clone();
    other.recipe.network = NetworkConfig::named("SFC_2W2A").unwrap();
    let message = resume(&other, &checkpoint, 120).unwrap_err();
    assert!(
        ["last.safetensors", "TFC_2W2A", "SFC_2W2A"].iter().all(|w| message.contains(w)),
        "{message}"
    );
    let mut other = config.clone();
    other.recipe.lr = 0.5;
    let message = resume(&other, &checkpoint, 120).unwrap_err();
    assert!(["lr", "0.02", "0.5"].iter().all(|words| message.contains(words)), "{message}");
    let message = resume(&config, &checkpoint, 130).unwrap_err();
    assert!(["120", "130"].iter().all(|words| message.contains(words)), "{message}");
}

/// Words of the message, and what makes the case.
type Case = (&'static [&'static str], fn(&mut Checkpoint));

#[test]
fn tensors_of_something_else_are_refused_by_name() {
    let config = plan("TFC_2W2A", Path::new("."));
    let good = trained(&config);
    let weight = "features.2.weight";
    let cases: [Case; 9] = [
        (&["model.features.2.weight", "[64, 784]", "[3]"], |c| {
            c.model.insert("features.2.weight".to_owned(), StateTensor::f32(&[3], vec![0.0; 3]));
        }),
        (&["model.features.2.weight", "i64"], |c| {
            c.model.insert("features.2.weight".to_owned(), StateTensor::counter(1));
        }),
        (&["model.features.2.weight", "nothing"], |c| {
            c.model.remove("features.2.weight");
        }),
        (&["model.features.3.num_batches_tracked", "f32"], |c| {
            let name = "features.3.num_batches_tracked".to_owned();
            c.model.insert(name, StateTensor::f32(&[], vec![0.0]));
        }),
        (&["model.layer1", "nothing"], |c| {
            c.model.insert("layer1".to_owned(), StateTensor::counter(1));
        }),
        (&["optimizer.second_moment.features.2.weight", "[64, 784]", "[2, 1]"], |c| {
            let Some(Moments::Adam { second, .. }) = c.optimizer.get_mut("features.2.weight")
            else {
                unreachable!()
            };
            *second = StateTensor::f32(&[2, 1], vec![0.0; 2]);
        }),
        (&["optimizer.steps.layer1", "TFC_2W2A"], |c| {
            let moments = c.optimizer["features.2.weight"].clone();
            c.optimizer.insert("layer1".to_owned(), moments);
        }),
        (&["progress", "4 steps"], |c| c.progress.steps += 1),
        (&["progress", "9 of them"], |c| c.progress.steps_in_epoch = 9),
    ];
    assert!(good.model.contains_key(weight) && good.optimizer.contains_key(weight));
    for (words, spoil) in cases {
        let mut bad = good.clone();
        spoil(&mut bad);
        let message = resume(&config, &reread(&bad), 120).unwrap_err();
        for word in words.iter().chain(&["last.safetensors"]) {
            assert!(message.contains(word), "{word}: {message}");
        }
    }
}
