//! Event files, as TensorBoard and its relatives read them.

mod messages;
mod record;

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use prost::Message;

use crate::clock::Timestamp;
use crate::danger::moment;
use crate::error::Error;
use messages::{Event, Summary, SummaryValue, What};

/// The first event of every file says this.
const FILE_VERSION: &str = "brain.Event:2";
/// What the names of event files begin with; readers look for it.
const FILE_NAME_START: &str = "events.out.tfevents.";

/// The event file of a run: one that grows, also over a resumption.
#[derive(Debug)]
pub struct EventFile {
    file: File,
    path: PathBuf,
}

impl EventFile {
    /// Opens the event file in `folder` and cuts off all events after `last_step`; starts one if
    /// there is none.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if the folder or the file cannot be written.
    pub fn open(folder: &Path, last_step: u64, now: Timestamp) -> Result<Self, Error> {
        fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
        let path = match existing(folder)? {
            Some(path) => path,
            None => folder.join(format!("{FILE_NAME_START}{}.fewbit", now.unix.as_secs())),
        };
        let io = |action| {
            let path = path.clone();
            move |source| Error::io(action, &path, source)
        };
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).read(true).open(&path).map_err(io("open"))?;
        let contents = fs::read(&path).map_err(io("read"))?;
        let kept = length_up_to(&contents, last_step);
        if kept < contents.len() {
            file.set_len(kept as u64).map_err(io("cut"))?;
        }
        let mut events = Self { file, path };
        if kept == 0 {
            let what = Some(What::FileVersion(FILE_VERSION.to_owned()));
            events.append(&Event { wall_time: now.unix.as_secs_f64(), step: 0, what })?;
        }
        Ok(events)
    }

    /// Appends values with their names, measured at `step`.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if the file cannot be written.
    pub fn write_scalars(
        &mut self,
        step: u64,
        now: Timestamp,
        scalars: &[(&str, f64)],
    ) -> Result<(), Error> {
        let value = scalars.iter().map(|&(tag, value)| SummaryValue {
            tag: tag.to_owned(),
            // TensorBoard keeps f32.
            simple_value: Some(value as f32),
        });
        self.append(&Event {
            wall_time: now.unix.as_secs_f64(),
            step: i64::try_from(step).unwrap_or(i64::MAX),
            what: Some(What::Summary(Summary { value: value.collect() })),
        })
    }

    fn append(&mut self, event: &Event) -> Result<(), Error> {
        moment();
        let record = record::encode(&event.encode_to_vec());
        let written = self.file.write_all(&record).and_then(|()| self.file.flush());
        moment();
        written.map_err(|source| Error::io("write", &self.path, source))
    }
}

/// The oldest event file of a folder.
fn existing(folder: &Path) -> Result<Option<PathBuf>, Error> {
    let io = |source| Error::io("read", folder, source);
    let mut found = None;
    for entry in fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        if entry.file_name().to_string_lossy().starts_with(FILE_NAME_START) {
            let path = entry.path();
            found = Some(found.map_or(path.clone(), |best: PathBuf| best.min(path)));
        }
    }
    Ok(found)
}

/// The number of bytes up to the first event that is damaged or later than `last_step`.
fn length_up_to(contents: &[u8], last_step: u64) -> usize {
    let mut kept = 0;
    while let Some((data, length)) = record::decode(&contents[kept..]) {
        match Event::decode(data) {
            Ok(event) if u64::try_from(event.step).is_ok_and(|step| step <= last_step) => {
                kept += length;
            }
            _ => break,
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: Timestamp =
        Timestamp { unix: Duration::from_millis(1_755_470_010_500), offset_seconds: 0 };

    fn only_file(folder: &Path) -> Vec<u8> {
        let files: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
        assert_eq!(files.len(), 1, "{files:?}");
        fs::read(&files[0]).unwrap()
    }

    fn scalars(epoch: u64) -> [(&'static str, f64); 2] {
        [("loss/train", 1.0 / epoch as f64), ("top1_percent/test", 90.0 + epoch as f64)]
    }

    /// Written by TensorBoard 2.21 for the same event: see `tests/event_files.py`.
    #[test]
    fn bytes_are_tensorboards() {
        let folder = tempfile::tempdir().unwrap();
        let mut events = EventFile::open(folder.path(), 0, NOW).unwrap();
        events.write_scalars(3, NOW, &[("loss/train", 0.5)]).unwrap();
        drop(events);
        let hexadecimal: String =
            only_file(folder.path()).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hexadecimal, TENSORBOARD);
    }

    #[test]
    fn cut_anywhere_and_resumed_the_file_is_the_same() {
        let whole = tempfile::tempdir().unwrap();
        let mut events = EventFile::open(whole.path(), 0, NOW).unwrap();
        let mut ends = vec![];
        for epoch in 1..=3 {
            events.write_scalars(epoch, NOW, &scalars(epoch)).unwrap();
            ends.push(only_file(whole.path()).len());
        }
        let expected = only_file(whole.path());
        let mut cuts = 0;
        for cut in 0..=expected.len() {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("events.out.tfevents.1.fewbit"), &expected[..cut])
                .unwrap();
            let finished = ends.iter().filter(|end| **end <= cut).count() as u64;
            let mut events = EventFile::open(folder.path(), finished, NOW).unwrap();
            for epoch in finished + 1..=3 {
                events.write_scalars(epoch, NOW, &scalars(epoch)).unwrap();
            }
            assert!(only_file(folder.path()) == expected, "cut at {cut}");
            cuts += 1;
        }
        assert!(cuts > 200, "{cuts}");
    }

    #[test]
    fn later_epochs_are_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let mut events = EventFile::open(folder.path(), 0, NOW).unwrap();
        let mut sizes = vec![only_file(folder.path()).len()];
        for epoch in 1..=4 {
            events.write_scalars(epoch, NOW, &scalars(epoch)).unwrap();
            sizes.push(only_file(folder.path()).len());
        }
        for finished in (0..4).rev() {
            EventFile::open(folder.path(), finished, NOW).unwrap();
            assert_eq!(only_file(folder.path()).len(), sizes[finished as usize]);
        }
    }

    const TENSORBOARD: &str = "1800000000000000a37f4b22090000a02e9628da411a0d627261696e2e4576656e743a328a7dc60c\
        200000000000000029eda950090000a02e9628da4110032a130a110a0a6c6f73732f747261696e15\
        0000003f60f0bdb0";
}
