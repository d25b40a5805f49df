//! The generated dataset of coloured figures: the same bytes everywhere, and neither trivial nor hopeless.

use fewbit_data::{Dataset, DatasetName, Split};
use sha2::{Digest, Sha256};

const PIXELS: usize = 3072;

fn open(split: Split, limit: Option<usize>) -> Dataset {
    Dataset::open(DatasetName::Shapes, "no folder is needed".as_ref(), split, limit).unwrap()
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
        (Split::Train, 20_000, "adc40a806c9c5ea01a6c00edbcfc969c729cf7e484def138d97f18c757e06ddd"),
        (Split::Test, 4_000, "b3cf9c5c6c877d6b2600cdccad33bad9d23f96c0769cac1181d926cad8625378"),
    ];
    for (split, count, expected) in cases {
        let dataset = open(split, None);
        assert_eq!((dataset.len(), DatasetName::Shapes.images(split)), (count, count));
        assert_eq!((dataset.image_shape(), dataset.classes()), ([3, 32, 32], 10));
        assert_eq!(dataset.warnings(), []);
        assert_eq!(hash(&dataset), expected, "{split}");
        let first = open(split, Some(123));
        assert_eq!(first.len(), 123);
        assert!(first.images() == &dataset.images()[..123 * PIXELS], "a limit keeps the first");
        for class in 0..10 {
            let images = dataset.labels().iter().filter(|&&label| label == class).count();
            assert_eq!(images, count / 10);
        }
    }
}

/// A classifier that only knows the mean image of each class: neither place nor colour tells the class.
#[test]
fn nearest_centroid_is_hardly_better_than_chance() {
    let (train, test) = (open(Split::Train, None), open(Split::Test, None));
    let mut centroids = vec![vec![0f64; PIXELS]; 10];
    for (image, &label) in train.images().chunks(PIXELS).zip(train.labels()) {
        let centroid = &mut centroids[usize::from(label)];
        centroid.iter_mut().zip(image).for_each(|(sum, &pixel)| *sum += f64::from(pixel) / 2000.0);
    }
    let distance = |centroid: &[f64], image: &[u8]| -> f64 {
        centroid.iter().zip(image).map(|(&c, &x)| (c - f64::from(x)).powi(2)).sum()
    };
    let right = test.images().chunks(PIXELS).zip(test.labels()).filter(|(image, label)| {
        let distances: Vec<f64> = centroids.iter().map(|c| distance(c, image)).collect();
        let nearest = (0..10).min_by(|&a, &b| distances[a].total_cmp(&distances[b])).unwrap();
        nearest == usize::from(**label)
    });
    let percent = right.count() as f64 / 40.0;
    assert!((9.0..15.0).contains(&percent), "{percent} %");
}

#[test]
fn no_image_is_there_twice() {
    let mut seen = std::collections::BTreeSet::new();
    for split in [Split::Train, Split::Test] {
        for image in open(split, None).images().chunks(PIXELS) {
            assert!(seen.insert(Sha256::digest(image)), "an image is there twice");
        }
    }
    assert_eq!(seen.len(), 24_000);
}
