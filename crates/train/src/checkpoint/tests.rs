use std::fs;

use fewbit_nn::config::{Architecture, NetworkConfig};
use fewbit_nn::{Device, Network};
use proptest::prelude::*;

use super::*;
use crate::config::Optim;
use crate::optimizer::Optimizer;
use crate::progress::BestEpoch;

const FILE: &str = "last.safetensors";

fn checkpoint(optim: Optim) -> Checkpoint {
    let recipe =
        Recipe { optim, lr: 0.1 + 0.2, ..Recipe::new(NetworkConfig::named("TFC_2W2A").unwrap()) };
    let values = vec![0.1, -0.0, f32::MIN_POSITIVE / 4.0, f32::INFINITY, -1e30, f32::NAN];
    let weight = StateTensor::f32(&[2, 3], values);
    let bias = StateTensor::f32(&[3], vec![1.0, 2.0, 3.0]);
    let model = BTreeMap::from([
        ("features.2.weight".to_owned(), weight.clone()),
        ("features.3.bias".to_owned(), bias.clone()),
        ("features.3.num_batches_tracked".to_owned(), StateTensor::counter(i64::MIN)),
    ]);
    let moments = |tensor: &StateTensor| match optim {
        Optim::Adam | Optim::AdamW => {
            Moments::Adam { steps: u64::MAX, first: tensor.clone(), second: tensor.clone() }
        }
        Optim::Sgd => Moments::Sgd { steps: 7, velocity: tensor.clone() },
    };
    let optimizer = BTreeMap::from([
        ("features.2.weight".to_owned(), moments(&weight)),
        ("features.3.bias".to_owned(), moments(&bias)),
    ]);
    let mut progress = Progress {
        epochs_finished: 3,
        steps_in_epoch: 5,
        steps: 1805,
        train_images: 60_000,
        test_images: 10_000,
        best: Some(BestEpoch { epoch: 2, test_top1_percent: 91.23, test_top5_percent: 99.1 }),
        epochs_without_improvement: 1,
        ..Progress::default()
    };
    progress.running.loss.add(1.0 / 3.0, 100.0);
    Checkpoint::new(recipe, progress, model, optimizer)
}

fn decoded(bytes: &[u8]) -> Result<Checkpoint, Error> {
    Checkpoint::from_bytes(bytes, Path::new(FILE))
}

#[test]
fn files_round_trip_to_the_bit() {
    for optim in Optim::ALL {
        let written = checkpoint(optim);
        let bytes = written.to_bytes();
        let read = decoded(&bytes).unwrap();
        assert_eq!((&read.recipe, read.progress), (&written.recipe, written.progress));
        assert_eq!(read.to_bytes(), bytes, "values compare as bits here, NaN included");
        assert_eq!(read.version, env!("CARGO_PKG_VERSION"));
    }
}

/// Other programs read the tensors by these names.
#[test]
fn names_of_tensors() {
    let bytes = checkpoint(Optim::Adam).to_bytes();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut names = file.names();
    names.sort();
    assert_eq!(
        names,
        [
            "model.features.2.weight",
            "model.features.3.bias",
            "model.features.3.num_batches_tracked",
            "optimizer.first_moment.features.2.weight",
            "optimizer.first_moment.features.3.bias",
            "optimizer.second_moment.features.2.weight",
            "optimizer.second_moment.features.3.bias",
            "optimizer.steps.features.2.weight",
            "optimizer.steps.features.3.bias",
        ]
    );
    let text = String::from_utf8_lossy(&bytes);
    for words in ["epochs_finished", "steps_in_epoch", "random_seed", "crc32c", "version"] {
        assert!(text.contains(words), "{words}");
    }
}

#[test]
fn files_cut_anywhere_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    let bytes = checkpoint(Optim::Adam).to_bytes();
    for cut in 0..bytes.len() {
        fs::write(&path, &bytes[..cut]).unwrap();
        let message = Checkpoint::read(&path).unwrap_err().to_string();
        assert!(message.contains(path.to_str().unwrap()), "{message}");
    }
    fs::write(&path, &bytes).unwrap();
    assert_eq!(Checkpoint::read(&path).unwrap().file(), path);
}

/// Whatever byte is damaged: the file is refused, or it still means the same.
#[test]
fn every_damaged_byte_is_noticed() {
    let bytes = checkpoint(Optim::Sgd).to_bytes();
    let (mut refused, mut same) = (0, 0);
    for place in 0..bytes.len() {
        for damage in [1, 0x20, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[place] ^= damage;
            match decoded(&damaged) {
                Err(error) => {
                    assert!(error.to_string().contains(FILE), "{error}");
                    refused += 1;
                }
                Ok(read) => {
                    assert_eq!(read.to_bytes(), bytes, "byte {place} xor {damage:#x}");
                    same += 1;
                }
            }
        }
    }
    assert!(refused > 4000 && same < 100, "{refused} refused, {same} the same");
}

#[test]
fn messages_name_the_place() {
    /// Another file with the same parts, apart from what `change` does to them.
    fn changed(
        change: impl FnOnce(&mut String, &mut BTreeMap<String, encode::Raw<'static>>),
    ) -> String {
        use encode::{Metadata, Raw, checksum};
        let bytes = checkpoint(Optim::Adam).to_bytes();
        let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
        let mut text = header.metadata().as_ref().unwrap()[METADATA].clone();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let mut tensors: BTreeMap<String, Raw<'static>> = BTreeMap::new();
        for (name, view) in file.iter() {
            let bytes = view.data().to_vec().into();
            let raw = Raw { dtype: view.dtype(), shape: view.shape().to_vec(), bytes };
            tensors.insert(name.to_owned(), raw);
        }
        change(&mut text, &mut tensors);
        if let Ok(mut metadata) = serde_json::from_str::<Metadata>(&text) {
            metadata.crc32c = checksum(&metadata, &tensors);
            text = serde_json::to_string(&metadata).unwrap();
        }
        let entries = [(METADATA.to_owned(), text)].into();
        let bytes = safetensors::serialize(&tensors, Some(entries)).unwrap();
        decoded(&bytes).map(|_| String::from("accepted")).unwrap_or_else(|error| error.to_string())
    }

    let move_tensor = |from: &'static str, to: &'static str| {
        changed(move |_, tensors| {
            let tensor = tensors.remove(from).unwrap();
            tensors.insert(to.to_owned(), tensor);
        })
    };
    let steps = "optimizer.steps.features.3.bias";
    let first = "optimizer.first_moment.features.3.bias";
    let cases = [
        (changed(|_, _| {}), "accepted"),
        (changed(|text, _| *text = text.replace("\"format\":1", "\"format\":2")), "format 2"),
        (changed(|text, _| *text = text.replace("\"patience\"", "\"patients\"")), "patients"),
        (
            changed(|text, _| *text = text.replace("\"batch_size\":100", "\"batch_size\":0")),
            "batch_size",
        ),
        (
            changed(|text, _| *text = text.replace("[64,64,64]", "[1099511627776]")),
            "last.safetensors: network.architecture: found 8",
        ),
        (
            changed(|text, _| *text = text.replace("\"TFC_2W2A\"", "\"../TFC_2W2A\"")),
            "last.safetensors: network.name: found \"../TFC_2W2A\"",
        ),
        (changed(|text, _| text.clear()), "metadata \"fewbit\""),
        (move_tensor(first, "weird"), "\"weird\""),
        (move_tensor(first, "optimizer.velocity.features.3.bias"), first),
        (move_tensor(steps, "optimizer.steps.other"), "optimizer.first_moment.other"),
        (changed(|_, t| drop(t.remove(steps))), first),
        (changed(|_, t| t.get_mut(steps).unwrap().dtype = safetensors::Dtype::F64), "F64"),
        (changed(|_, t| t.get_mut(steps).unwrap().shape = vec![1]), steps),
        (changed(|_, t| t.get_mut(first).unwrap().dtype = safetensors::Dtype::U32), "U32"),
    ];
    for (message, words) in cases {
        assert!(message.contains(words), "{words}: {message}");
    }
    let tensors: BTreeMap<String, &encode::Raw<'_>> = BTreeMap::new();
    let foreign = safetensors::serialize(tensors, None).unwrap();
    let message = decoded(&foreign).unwrap_err().to_string();
    assert!(message.contains("a checkpoint of this program"), "{message}");
}

/// What a file describes is built only if it is small or the file has the values for it.
#[test]
fn descriptions_that_ask_for_more_than_there_is() {
    let checkpoint = checkpoint(Optim::Adam);
    let message = checkpoint.network(&Device::cpu()).unwrap_err().to_string();
    assert!(
        message.contains("found f32 of shape [2, 3], expected f32 of shape [64, 784]"),
        "{message}"
    );
    let mut large = checkpoint.clone();
    large.recipe.network.architecture = Architecture::fc(vec![10_000], 0.2);
    let message = large.network(&Device::cpu()).unwrap_err().to_string();
    assert!(message.contains("found 10 values, expected the 7940000 weights of"), "{message}");
    let network = &checkpoint.recipe.network;
    let mut network = Network::new(network, 1, &Device::cpu()).unwrap();
    let (recipe, moments) = (&checkpoint.recipe, &checkpoint.optimizer);
    let error = Optimizer::restore(recipe, &mut network, moments, Path::new(FILE)).unwrap_err();
    assert!(error.to_string().contains("expected fewer than 2^53"), "{error}");
}

#[test]
fn what_is_no_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut cases = vec![folder.path().to_owned(), folder.path().join("nothing")];
    if Path::new("/dev/zero").exists() {
        cases.push("/dev/zero".into());
    }
    let huge = folder.path().join("huge");
    fs::File::create(&huge).unwrap().set_len(1 << 40).unwrap();
    cases.push(huge);
    for path in cases {
        let message = Checkpoint::read(&path).unwrap_err().to_string();
        assert!(message.contains(path.to_str().unwrap()), "{message}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_bytes_are_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(decoded(&bytes).is_err());
        let mut with_length = (bytes.len() as u64).to_le_bytes().to_vec();
        with_length.extend(&bytes);
        prop_assert!(decoded(&with_length).is_err());
    }

    #[test]
    fn any_damage_is_noticed(
        places in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let bytes = checkpoint(Optim::Adam).to_bytes();
        let mut damaged = bytes.clone();
        for (place, value) in places {
            damaged[place.index(bytes.len())] = value;
        }
        if let Ok(read) = decoded(&damaged) {
            prop_assert_eq!(read.to_bytes(), bytes);
        }
    }
}
