//! Augmentation: against a plain version of the definition, uniform, and independent of how batches are made.

use fewbit_data::{Augmentation, Batch, Dataset, DatasetName, ErrorKind, Loader, LoaderConfig};
use sha2::{Digest, Sha256};

use crate::Random;

const SHAPE: [usize; 3] = [2, 6, 9];
const PIXELS: usize = 2 * 6 * 9;

/// Images without black pixels, all different.
fn images(count: usize) -> Dataset {
    let mut random = Random(7);
    let images = (0..count * PIXELS).map(|_| 1 + random.below(255) as u8).collect();
    let labels = (0..count).map(|index| (index % 10) as u8).collect();
    Dataset::new(DatasetName::Shapes, SHAPE, 10, images, labels).unwrap()
}

fn config(augmentation: Augmentation) -> LoaderConfig {
    LoaderConfig { seed: 11, augmentation, ..LoaderConfig::in_order(10) }
}

fn values(dataset: &Dataset, augmentation: Augmentation, epoch: u64) -> Vec<Vec<f32>> {
    let loader = Loader::new(dataset, config(augmentation)).unwrap();
    let batches: Vec<Batch> = loader.epoch(epoch).collect();
    batches.iter().flat_map(|batch| batch.images.chunks(PIXELS).map(<[f32]>::to_vec)).collect()
}

/// Every pixel by its definition: of the padded image, from the window's place, read from the right if mirrored.
fn altered(image: &[u8], offset: [usize; 2], padding: usize, mirrored: bool) -> Vec<f32> {
    let [channels, height, width] = SHAPE;
    let mut out = Vec::new();
    for channel in 0..channels {
        for row in 0..height {
            for column in 0..width {
                let column = if mirrored { width - 1 - column } else { column };
                let (y, x) = (row + offset[0], column + offset[1]);
                let inside = (padding..padding + height).contains(&y)
                    && (padding..padding + width).contains(&x);
                let pixel = if inside {
                    image[(channel * height + y - padding) * width + x - padding]
                } else {
                    0
                };
                out.push(f32::from(pixel) / 255.0);
            }
        }
    }
    out
}

#[test]
fn every_image_is_one_of_the_crops_and_flips_and_all_are_equally_probable() {
    let dataset = images(3240);
    for (padding, flip) in [(4, true), (4, false), (0, true), (1, false), (6, true)] {
        let augmentation =
            Augmentation { crop_padding: padding, horizontal_flip: flip, ..Augmentation::NONE };
        let places = 2 * padding + 1;
        let mut counts = vec![0u32; places * places * 2];
        for (index, values) in values(&dataset, augmentation, 3).iter().enumerate() {
            let image = &dataset.images()[index * PIXELS..][..PIXELS];
            let found = (0..counts.len()).find(|case| {
                let (mirrored, place) = (case % 2 == 1, case / 2);
                let offset = [place / places, place % places];
                altered(image, offset, padding, mirrored) == *values
            });
            counts[found.unwrap()] += 1;
        }
        let flips: u32 = counts.iter().skip(1).step_by(2).sum();
        assert_eq!(flips > 0, flip);
        // An image without anything left may be mirrored or not.
        if flip && padding < 6 {
            // A standard deviation is 28.
            assert!((1620 - 110..1620 + 110).contains(&flips), "{flips}");
        }
        if padding == 4 {
            let joined: Vec<u32> = counts.chunks(2).map(|pair| pair[0] + pair[1]).collect();
            let squares = joined.iter().map(|&n| (f64::from(n) - 40.0).powi(2) / 40.0);
            let chi_squared: f64 = squares.sum();
            // 80 degrees of freedom: 124.8 is exceeded once in a thousand.
            assert!(joined.len() == 81 && chi_squared < 124.8, "{chi_squared}");
        }
    }
}

#[test]
fn cutout_blackens_a_square_around_any_pixel() {
    let dataset = images(2700);
    for side in [1usize, 2, 3, 6] {
        let augmentation = Augmentation { cutout: side, ..Augmentation::NONE };
        let mut centers = std::collections::BTreeMap::new();
        for (index, values) in values(&dataset, augmentation, 1).iter().enumerate() {
            let image = &dataset.images()[index * PIXELS..][..PIXELS];
            let expected = |center: [usize; 2]| -> Vec<f32> {
                let hidden = |at: usize, center: usize| {
                    at + side / 2 >= center && at + side / 2 < center + side
                };
                let pixel = |(at, &pixel): (usize, &u8)| {
                    let (row, column) = (at / 9 % 6, at % 9);
                    let black = hidden(row, center[0]) && hidden(column, center[1]);
                    if black { 0.0 } else { f32::from(pixel) / 255.0 }
                };
                image.iter().enumerate().map(pixel).collect()
            };
            let mut all = (0..6).flat_map(|y| (0..9).map(move |x| [y, x]));
            let center = all.find(|&center| expected(center) == *values).unwrap();
            *centers.entry(center).or_insert(0u32) += 1;
        }
        assert_eq!(centers.len(), 54, "every pixel is some square's centre");
        let squares = centers.values().map(|&n| (f64::from(n) - 50.0).powi(2) / 50.0);
        let chi_squared: f64 = squares.sum();
        // 53 degrees of freedom: 90.6 is exceeded once in a thousand.
        assert!(chi_squared < 90.6, "{side}: {chi_squared}");
    }
}

#[test]
fn an_option_leaves_the_others_draws_alone() {
    let dataset = images(200);
    let full = Augmentation { crop_padding: 2, horizontal_flip: true, cutout: 3 };
    let without = values(&dataset, Augmentation { cutout: 0, ..full }, 1);
    for (full, without) in values(&dataset, full, 1).iter().zip(without) {
        let differ: Vec<usize> = (0..PIXELS).filter(|&at| full[at] != without[at]).collect();
        assert!(differ.len() <= 2 * 9 && differ.iter().all(|&at| full[at] == 0.0));
    }
}

#[test]
fn batches_workers_order_and_resuming_change_nothing() {
    let dataset = images(101);
    let augmentation = Augmentation { crop_padding: 3, horizontal_flip: true, cutout: 2 };
    let expected = values(&dataset, augmentation, 2);
    assert_ne!(expected, values(&dataset, augmentation, 3), "every epoch is another");
    let other = LoaderConfig { seed: 12, ..config(augmentation) };
    let other: Vec<Batch> = Loader::new(&dataset, other).unwrap().epoch(2).collect();
    assert_ne!(other[0].images, expected[..10].concat(), "every seed is another");
    // Where an image comes in a shuffled epoch is told by the same order without augmentation.
    let plain: Vec<Vec<f32>> = values(&dataset, Augmentation::NONE, 2);
    let mut cases = 0;
    for (batch_size, shuffle) in [(1, false), (7, true), (101, true), (20, false)] {
        for workers in [0, 1, 3] {
            let config = LoaderConfig { batch_size, shuffle, workers, ..config(augmentation) };
            let still = LoaderConfig { augmentation: Augmentation::NONE, ..config };
            let all = |config: LoaderConfig, skip: usize| -> Vec<f32> {
                let loader = Loader::new(&dataset, config).unwrap();
                loader.epoch(2).skip_batches(skip).flat_map(|batch| batch.images).collect()
            };
            let (moved, still) = (all(config, 0), all(still, 0));
            for (moved, still) in moved.chunks(PIXELS).zip(still.chunks(PIXELS)) {
                let number = plain.iter().position(|image| image == still).unwrap();
                assert_eq!(moved, expected[number]);
                cases += 1;
            }
            if batch_size == 20 {
                assert_eq!(all(config, 3), moved[60 * PIXELS..]);
            }
        }
    }
    assert_eq!(cases, 4 * 3 * 101);
}

/// A training that goes on with a newer version must see the same images.
#[test]
fn the_bytes_are_pinned() {
    let dataset = images(50);
    let mut hash = Sha256::new();
    for augmentation in
        [Augmentation::CROP_AND_FLIP, Augmentation { cutout: 4, ..Augmentation::CROP_AND_FLIP }]
    {
        for value in values(&dataset, augmentation, 1).concat() {
            hash.update(value.to_le_bytes());
        }
    }
    let hash: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hash, "3840dcdba38e3e03589ba3a62e254e68f281a7a1456ed36ff8eef3dd04da9ca1");
}

#[test]
fn defaults_and_impossible_settings() {
    assert_eq!(Augmentation::default(), Augmentation::NONE);
    assert_eq!(LoaderConfig::shuffled(1, 1).augmentation, Augmentation::NONE);
    assert_eq!(DatasetName::Cifar10.augmentation(), Augmentation::CROP_AND_FLIP);
    assert_eq!(DatasetName::Mnist.augmentation(), Augmentation::NONE);
    let dataset = images(2);
    let (crop_padding, cutout) = (7, 7);
    for augmentation in [
        Augmentation { crop_padding, ..Augmentation::NONE },
        Augmentation { cutout, ..Augmentation::NONE },
        Augmentation { cutout: usize::MAX, ..Augmentation::NONE },
    ] {
        let error = Loader::new(&dataset, config(augmentation)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadValue);
        assert!(error.to_string().contains("at most 6"), "{error}");
    }
}

#[test]
fn names_say_what_is_done() {
    let all = Augmentation { crop_padding: 3, horizontal_flip: true, cutout: 5 };
    for (name, expected) in [
        ("none", Augmentation::NONE),
        ("crop=4,flip", Augmentation::CROP_AND_FLIP),
        ("crop=3,flip,cutout=5", all),
        ("cutout=16", Augmentation { cutout: 16, ..Augmentation::NONE }),
    ] {
        assert_eq!(name.parse::<Augmentation>().unwrap(), expected, "{name}");
        assert_eq!(expected.to_string(), name);
    }
    assert_eq!("Cutout=5, FLIP ,crop = 3".parse::<Augmentation>().unwrap(), all);
    assert_eq!("NONE".parse::<Augmentation>().unwrap(), Augmentation::NONE);
    for (name, words) in [
        ("", "crop=N"),
        ("crop,", "crop=N"),
        ("crop,none", "crop=N"),
        ("rotate=3", "rotate=3"),
        ("flip=2", "flip=2"),
        ("crop=0", "above 0"),
        ("crop=-1", "above 0"),
        ("cutout", "cutout=16"),
        ("cutout=x", "cutout=x"),
        ("crop=2,crop=3", "once"),
        ("flip,flip", "once"),
    ] {
        let error = name.parse::<Augmentation>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadValue);
        assert!(error.to_string().contains(words), "{name}: {error}");
    }
}
