//! What is written is read back, bit for bit.

use std::collections::BTreeMap;

use fewbit_nn::network::{StateData, StateTensor, Strictness};
use fewbit_nn::{Device, Network, NetworkConfig};

use super::*;
use crate::pytorch::writer::archive;

/// Values whose bits are easily lost.
const AWKWARD: [f32; 6] =
    [-0.0, f32::NAN, f32::INFINITY, f32::MIN_POSITIVE / 8.0, 0.1, -3.402_823_5e38];

fn floats(shape: &[usize]) -> StateTensor {
    let count = shape.iter().product();
    StateTensor::f32(shape, AWKWARD.iter().copied().cycle().take(count).collect())
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

#[test]
fn tensors_of_all_shapes_come_back() {
    let shapes: [&[usize]; 8] =
        [&[], &[1], &[5], &[2, 3], &[3, 1, 2], &[2, 2, 3, 3], &[0], &[2, 0, 3]];
    let mut expected: BTreeMap<String, StateTensor> =
        shapes.iter().map(|shape| (format!("t{shape:?}"), floats(shape))).collect();
    expected.insert("counter".to_owned(), StateTensor::counter(i64::MIN));
    expected.insert("ä\"\n".to_owned(), StateTensor::counter(-1));
    let tensors: Vec<(&str, &StateTensor)> =
        expected.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    let bytes = archive(&tensors).unwrap();
    assert_same(&read(bytes.clone()).unwrap().model().unwrap(), &expected);
    assert_eq!(bytes, archive(&tensors).unwrap(), "the same bytes each time");
}

/// More tensors than picklers put into a dict at a time.
#[test]
fn many_tensors_come_back() {
    let expected: BTreeMap<String, StateTensor> =
        (0..2500).map(|i| (format!("t{i}"), StateTensor::counter(i))).collect();
    let tensors: Vec<(&str, &StateTensor)> =
        expected.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    assert_same(&read(archive(&tensors).unwrap()).unwrap().model().unwrap(), &expected);
}

/// PyTorch maps files into memory: every storage begins at a multiple of 64.
#[test]
fn storages_are_aligned() {
    let tensors = [floats(&[3]), floats(&[]), floats(&[7, 11])];
    let named: Vec<(&str, &StateTensor)> = ["a", "b", "c"].into_iter().zip(&tensors).collect();
    let bytes = archive(&named).unwrap();
    let archive = rawzip::ZipArchive::from_slice(bytes.as_slice()).unwrap();
    let mut entries = archive.entries();
    let mut names = Vec::new();
    while let Some(record) = entries.next_entry().unwrap() {
        let entry = archive.get_entry(record.wayfinder()).unwrap();
        assert_eq!(entry.compressed_data_range().0 % 64, 0);
        names.push(String::from_utf8(record.file_path().as_bytes().to_vec()).unwrap());
    }
    let expected = ["data.pkl", "byteorder", "data/0", "data/1", "data/2", "version"];
    assert_eq!(names, expected.map(|name| format!("archive/{name}")));
}

#[test]
fn networks_come_back_in_pytorchs_order() {
    let device = Device::cpu();
    let config = NetworkConfig::named("TFC_2W2A").unwrap();
    let network = Network::new(&config, 7, &device).unwrap();
    let contents = read(state_dict_bytes(&network).unwrap()).unwrap();
    let names: Vec<&str> = contents.state_dict().unwrap().iter().map(|(name, _)| *name).collect();
    let layer = |linear: u32, norm: u32| {
        let own = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"];
        std::iter::once(format!("features.{linear}.weight"))
            .chain(own.map(|own| format!("features.{norm}.{own}")))
    };
    let mut expected: Vec<String> =
        [(2, 3), (6, 7), (10, 11), (14, 15)].into_iter().flat_map(|(l, n)| layer(l, n)).collect();
    // The last layer does not count batches.
    expected.pop();
    assert_eq!(names, expected);
    let mut other = Network::new(&config, 8, &device).unwrap();
    assert_ne!(other.state(), network.state());
    other.load_state(&contents.model().unwrap(), Strictness::Strict).unwrap();
    assert_eq!(other.state(), network.state());
}
