//! The generated dataset: the same bytes everywhere, and neither trivial nor hopeless.

use fewbit_data::{Dataset, DatasetName, Split};
use sha2::{Digest, Sha256};

fn open(split: Split, limit: Option<usize>) -> Dataset {
    Dataset::open(DatasetName::Glyphs, "no folder is needed".as_ref(), split, limit).unwrap()
}

fn hash(dataset: &Dataset) -> String {
    let mut hash = Sha256::new();
    hash.update(dataset.images());
    hash.update(dataset.labels());
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes are part of every published result: a change of one is another dataset.
#[test]
fn the_bytes_are_pinned() {
    let cases = [
        (Split::Train, 20_000, "0b15ec36edaada8a61e5e9abbd9929fa5a647a840c9d92b0d977d724979253bc"),
        (Split::Test, 4_000, "1ce7e4519a2e2c8bf3dafe7ab8a48b7b6702ccdded9bc09b9432af9c18af9c67"),
    ];
    for (split, count, expected) in cases {
        let dataset = open(split, None);
        assert_eq!((dataset.len(), DatasetName::Glyphs.images(split)), (count, count));
        assert_eq!((dataset.image_shape(), dataset.classes()), ([1, 28, 28], 10));
        assert_eq!(hash(&dataset), expected, "{split}");
        let first = open(split, Some(123));
        assert_eq!(first.len(), 123);
        assert_eq!(
            first.images(),
            &dataset.images()[..123 * 784],
            "a limit keeps the first images"
        );
        for class in 0..10 {
            let images = dataset.labels().iter().filter(|&&label| label == class).count();
            assert_eq!(images, count / 10);
        }
    }
}

/// A classifier that only knows the mean image of each class: what a far worse network scores.
#[test]
fn nearest_centroid_is_clearly_worse_than_a_network_and_better_than_chance() {
    let (train, test) = (open(Split::Train, None), open(Split::Test, None));
    let mut centroids = vec![vec![0f64; 784]; 10];
    for (image, &label) in train.images().chunks(784).zip(train.labels()) {
        let centroid = &mut centroids[usize::from(label)];
        centroid.iter_mut().zip(image).for_each(|(sum, &pixel)| *sum += f64::from(pixel) / 2000.0);
    }
    let distance = |centroid: &[f64], image: &[u8]| -> f64 {
        centroid.iter().zip(image).map(|(&c, &x)| (c - f64::from(x)).powi(2)).sum()
    };
    let right = test.images().chunks(784).zip(test.labels()).filter(|(image, label)| {
        let distances: Vec<f64> = centroids.iter().map(|c| distance(c, image)).collect();
        let nearest = (0..10).min_by(|&a, &b| distances[a].total_cmp(&distances[b])).unwrap();
        nearest == usize::from(**label)
    });
    let percent = right.count() as f64 / 40.0;
    assert!((65.0..80.0).contains(&percent), "{percent} %");
}

#[test]
fn no_image_is_empty_or_there_twice() {
    let mut seen = std::collections::BTreeSet::new();
    let mut images = 0;
    for split in [Split::Train, Split::Test] {
        for image in open(split, None).images().chunks(784) {
            assert!(image.iter().filter(|&&pixel| pixel > 60).count() >= 8, "image {images}");
            assert!(seen.insert(image.to_vec()), "image {images} is there twice");
            images += 1;
        }
    }
    assert_eq!(images, 24_000);
}

#[test]
fn names_in_any_case_and_near_misses() {
    for (text, name) in [("glyphs", DatasetName::Glyphs), ("MNIST", DatasetName::Mnist)] {
        assert_eq!(text.parse::<DatasetName>().unwrap(), name);
        assert_eq!(name.to_string().parse::<DatasetName>().unwrap(), name);
    }
    let error = "mnsit".parse::<DatasetName>().unwrap_err();
    assert_eq!(error.to_string(), "unknown dataset `mnsit`");
    assert_eq!(
        error.hint().unwrap(),
        "did you mean `mnist`? known: mnist, cifar10, glyphs, shapes"
    );
}
