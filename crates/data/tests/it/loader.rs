//! The loader: the same batches whatever the number of workers, every image once, resuming.

use std::collections::BTreeSet;

use fewbit_data::{Batch, Dataset, DatasetName, ErrorKind, Loader, LoaderConfig};

use crate::Random;

/// Images of no square shape whose first two pixels tell their number.
fn numbered(count: usize) -> Dataset {
    let mut random = Random(5);
    let shape = [2, 3, 5];
    let mut images = Vec::new();
    for index in 0..count {
        let start = images.len();
        images.extend((0..30).map(|_| random.u64() as u8));
        images[start..start + 2].copy_from_slice(&(index as u16).to_le_bytes());
    }
    let labels = (0..count).map(|index| (index % 7) as u8).collect();
    Dataset::new(DatasetName::Glyphs, shape, 7, images, labels).unwrap()
}

fn numbers(batch: &Batch) -> Vec<usize> {
    let byte = |value: f32| (value * 255.0).round_ties_even() as usize;
    batch.images.chunks(30).map(|image| byte(image[0]) + 256 * byte(image[1])).collect()
}

fn batches(dataset: &Dataset, config: LoaderConfig, epoch: u64) -> Vec<Batch> {
    Loader::new(dataset, config).unwrap().epoch(epoch).collect()
}

#[test]
fn workers_change_nothing() {
    let dataset = numbered(1003);
    let mut cases = 0;
    for (batch_size, shuffle) in [(1, true), (100, true), (100, false), (1003, true), (5000, false)]
    {
        let config =
            LoaderConfig { batch_size, shuffle, workers: 0, ..LoaderConfig::shuffled(1, 3) };
        let inline = batches(&dataset, config, 2);
        assert_eq!(inline.len(), 1003usize.div_ceil(batch_size));
        for workers in [1, 2, 3, 8] {
            let threaded = batches(&dataset, LoaderConfig { workers, ..config }, 2);
            assert_eq!(threaded, inline, "{workers} workers, batches of {batch_size}");
            cases += 1;
        }
    }
    assert_eq!(cases, 20);
}

#[test]
fn every_image_once_with_its_label_and_its_values() {
    let dataset = numbered(1003);
    for config in [LoaderConfig::in_order(100), LoaderConfig::shuffled(100, 1)] {
        let mut seen = BTreeSet::new();
        let batches = batches(&dataset, config, 1);
        assert_eq!(batches.len(), 11);
        for (index, batch) in batches.iter().enumerate() {
            assert_eq!(batch.count, if index < 10 { 100 } else { 3 }, "the last batch is kept");
            assert_eq!((batch.images.len(), batch.labels.len()), (batch.count * 30, batch.count));
            for (slot, number) in numbers(batch).into_iter().enumerate() {
                assert!(seen.insert(number));
                assert_eq!(usize::from(batch.labels[slot]), number % 7);
                let pixels = &dataset.images()[number * 30..][..30];
                let expected: Vec<f32> = pixels.iter().map(|&x| f32::from(x) / 255.0).collect();
                assert_eq!(batch.images[slot * 30..][..30], expected);
            }
        }
        assert_eq!(seen.len(), 1003);
    }
}

#[test]
fn order_depends_on_seed_and_epoch_alone() {
    let dataset = numbered(200);
    let order = |seed, epoch, batch_size| -> Vec<usize> {
        let config = LoaderConfig::shuffled(batch_size, seed);
        batches(&dataset, config, epoch).iter().flat_map(numbers).collect()
    };
    let first = order(1, 1, 100);
    assert_eq!(first, order(1, 1, 7), "the batch size does not change the order");
    assert_ne!(first, order(1, 2, 100));
    assert_ne!(first, order(2, 1, 100));
    let in_order: Vec<usize> =
        batches(&dataset, LoaderConfig::in_order(9), 4).iter().flat_map(numbers).collect();
    assert_eq!(in_order, (0..200).collect::<Vec<_>>());
}

#[test]
fn an_epoch_resumes_at_any_batch() {
    let dataset = numbered(250);
    for workers in [0, 1, 3] {
        let config = LoaderConfig { workers, ..LoaderConfig::shuffled(20, 9) };
        let loader = Loader::new(&dataset, config).unwrap();
        let all: Vec<Batch> = loader.epoch(5).collect();
        assert_eq!((all.len(), loader.batches()), (13, 13));
        for skipped in 0..=13 {
            let rest = loader.epoch(5).skip_batches(skipped);
            assert_eq!(rest.len(), 13 - skipped);
            assert_eq!(rest.collect::<Vec<_>>(), all[skipped..], "{workers} {skipped}");
        }
        assert_eq!(loader.epoch(5).skip_batches(usize::MAX).count(), 0);
        // In the middle of an epoch whose workers are running already.
        let mut epoch = loader.epoch(5);
        assert_eq!(epoch.next().as_ref(), Some(&all[0]));
        assert_eq!(epoch.skip_batches(4).collect::<Vec<_>>(), all[5..]);
    }
}

#[test]
fn an_epoch_can_be_left_early() {
    let dataset = numbered(1000);
    let config = LoaderConfig { workers: 4, ..LoaderConfig::shuffled(1, 1) };
    let loader = Loader::new(&dataset, config).unwrap();
    for epoch in 0..50 {
        assert_eq!(loader.epoch(epoch).take(3).count(), 3);
    }
}

#[test]
fn impossible_settings_are_refused() {
    let dataset = numbered(2);
    let config = LoaderConfig::in_order(0);
    assert_eq!(Loader::new(&dataset, config).unwrap_err().kind(), ErrorKind::BadValue);
    let config = LoaderConfig { workers: 1_000_000, ..LoaderConfig::in_order(1) };
    assert_eq!(Loader::new(&dataset, config).unwrap_err().kind(), ErrorKind::BadValue);
    let cases = [(vec![0; 60], vec![0, 7]), (vec![0; 59], vec![0, 1]), (vec![], vec![])];
    for (images, labels) in cases {
        let error = Dataset::new(DatasetName::Glyphs, [2, 3, 5], 7, images, labels).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadValue, "{error}");
    }
}
