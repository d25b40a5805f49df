//! `metrics.jsonl`: one line of JSON per epoch.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize};

use crate::danger::moment;
use crate::error::Error;

/// The measurements of one epoch. JSON has no word for a number that is none: it is `null` there.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochRecord {
    /// Its number, from 1.
    pub epoch: u64,
    /// Optimizer steps taken since the start of the training.
    pub steps: u64,
    /// The learning rate of the epoch's first step.
    pub learning_rate: f64,
    /// Mean loss over the training images, while learning.
    #[serde(deserialize_with = "number_or_null")]
    pub train_loss: f64,
    /// Share of the training images that were classified correctly, while learning.
    #[serde(deserialize_with = "number_or_null")]
    pub train_top1_percent: f64,
    /// Share of the training images whose class was among the first five.
    #[serde(deserialize_with = "number_or_null")]
    pub train_top5_percent: f64,
    /// Mean loss over the test images, after the epoch.
    #[serde(deserialize_with = "number_or_null")]
    pub test_loss: f64,
    /// Share of the test images that are classified correctly.
    #[serde(deserialize_with = "number_or_null")]
    pub test_top1_percent: f64,
    /// Share of the test images whose class is among the first five.
    #[serde(deserialize_with = "number_or_null")]
    pub test_top5_percent: f64,
    /// The best `test_top1_percent` so far, this epoch's included.
    #[serde(deserialize_with = "number_or_null")]
    pub best_test_top1_percent: f64,
    /// Training images per second, evaluation left out. After a resumption in the middle of an
    /// epoch, of the images since.
    #[serde(deserialize_with = "number_or_null")]
    pub images_per_second: f64,
    /// Seconds that the epoch took with its evaluation. After a resumption, since then.
    pub seconds: f64,
}

fn number_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

/// The open file of a run.
#[derive(Debug)]
pub struct MetricsFile {
    file: File,
    path: PathBuf,
}

impl MetricsFile {
    /// Opens or creates the file and cuts off everything after `epochs_finished`: what a killed run
    /// wrote after its last checkpoint is measured again.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if the file cannot be written.
    pub fn open(path: &Path, epochs_finished: u64) -> Result<Self, Error> {
        let mut options = OpenOptions::new();
        let file = options
            .create(true)
            .append(true)
            .read(true)
            .open(path)
            .map_err(|source| Error::io("open", path, source))?;
        let contents = fs::read(path).map_err(|source| Error::io("read", path, source))?;
        let kept = records(&contents)
            .take_while(|(record, _)| record.epoch <= epochs_finished)
            .last()
            .map_or(0, |(_, end)| end);
        if kept < contents.len() {
            file.set_len(kept as u64).map_err(|source| Error::io("cut", path, source))?;
        }
        Ok(Self { file, path: path.to_owned() })
    }

    /// Appends the line of an epoch.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if the file cannot be written.
    pub fn append(&mut self, record: &EpochRecord) -> Result<(), Error> {
        let mut line = serde_json::to_vec(record).expect("a struct of numbers is JSON");
        line.push(b'\n');
        moment();
        let (first, second) = line.split_at(line.len() / 2);
        let write = |file: &mut File| {
            file.write_all(first)?;
            moment();
            file.write_all(second)?;
            file.flush()
        };
        write(&mut self.file).map_err(|source| Error::io("write", &self.path, source))?;
        moment();
        Ok(())
    }
}

/// Reads the epochs of a run; a last line that a killed run left unfinished is passed over.
///
/// # Errors
/// [`ErrorKind::Io`](crate::ErrorKind::Io) if the file cannot be read,
/// [`ErrorKind::Malformed`](crate::ErrorKind::Malformed) if a whole line is not an epoch's.
pub fn read_metrics(path: &Path) -> Result<Vec<EpochRecord>, Error> {
    let contents = fs::read(path).map_err(|source| Error::io("read", path, source))?;
    let (records, ends): (Vec<EpochRecord>, Vec<usize>) = records(&contents).unzip();
    let rest = &contents[ends.last().copied().unwrap_or(0)..];
    if rest.contains(&b'\n') {
        let place = format!("line {}", records.len() + 1);
        let found = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let found: String = String::from_utf8_lossy(found).chars().take(80).collect();
        return Err(Error::malformed(path, place, format!("{found:?}"), "the record of an epoch"));
    }
    Ok(records)
}

/// The records up to the first line that is none or unfinished, each with the place of its end.
fn records(contents: &[u8]) -> impl Iterator<Item = (EpochRecord, usize)> {
    contents.split_inclusive(|byte| *byte == b'\n').scan(0, |end, line| {
        *end += line.len();
        let record = serde_json::from_slice(line.strip_suffix(b"\n")?).ok()?;
        Some((record, *end))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(epoch: u64) -> EpochRecord {
        EpochRecord {
            epoch,
            steps: epoch * 600,
            learning_rate: 0.02,
            train_loss: 1.0 / epoch as f64,
            train_top1_percent: 90.0,
            train_top5_percent: 99.0,
            test_loss: 0.1 + 0.2,
            test_top1_percent: 91.5,
            test_top5_percent: 99.5,
            best_test_top1_percent: 91.5,
            images_per_second: 12_345.6,
            seconds: 1.5,
        }
    }

    #[test]
    fn lines_are_read_as_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut metrics = MetricsFile::open(&path, 0).unwrap();
        for epoch in 1..=3 {
            metrics.append(&record(epoch)).unwrap();
        }
        assert_eq!(read_metrics(&path).unwrap(), [record(1), record(2), record(3)]);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 3);
        assert!(text.starts_with("{\"epoch\":1,\"steps\":600,\"learning_rate\":0.02,"), "{text}");
    }

    #[test]
    fn numbers_that_are_none_are_null() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let none = EpochRecord { test_loss: f64::INFINITY, ..record(1) };
        MetricsFile::open(&path, 0).unwrap().append(&none).unwrap();
        assert!(fs::read_to_string(&path).unwrap().contains("\"test_loss\":null"));
        assert!(read_metrics(&path).unwrap()[0].test_loss.is_nan());
    }

    #[test]
    fn cut_anywhere_and_resumed_the_file_is_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut metrics = MetricsFile::open(&path, 0).unwrap();
        for epoch in 1..=3 {
            metrics.append(&record(epoch)).unwrap();
        }
        let expected = fs::read(&path).unwrap();
        for cut in 0..=expected.len() {
            // The last checkpoint may be older than the last line.
            let lines = expected[..cut].iter().filter(|byte| **byte == b'\n').count() as u64;
            for finished in [lines, lines.saturating_sub(1)] {
                fs::write(&path, &expected[..cut]).unwrap();
                assert_eq!(read_metrics(&path).unwrap().len() as u64, lines);
                let mut metrics = MetricsFile::open(&path, finished).unwrap();
                for epoch in finished + 1..=3 {
                    metrics.append(&record(epoch)).unwrap();
                }
                assert!(fs::read(&path).unwrap() == expected, "cut at {cut}");
            }
        }
    }

    #[test]
    fn damaged_lines_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        MetricsFile::open(&path, 0).unwrap().append(&record(1)).unwrap();
        let good = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{good}nonsense\n{good}")).unwrap();
        let message = read_metrics(&path).unwrap_err().to_string();
        assert!(message.contains("line 2") && message.contains("nonsense"), "{message}");
        assert!(read_metrics(&folder.path().join("nothing")).is_err());
    }
}
