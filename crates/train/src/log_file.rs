//! `log.txt`: what happened, for people, in the format of the published example.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::accuracy::Meter;
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind};

/// The log of a run, open for appending. While it is open, no other process writes to the run.
#[derive(Debug)]
pub struct LogFile {
    file: BufWriter<File>,
    path: PathBuf,
}

impl LogFile {
    /// Opens or creates the log; a line that a killed run left unfinished is ended.
    ///
    /// # Errors
    /// [`ErrorKind::FolderInUse`] if another process has it open, [`ErrorKind::Io`] if it cannot be
    /// written.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let io = |action| move |source| Error::io(action, path, source);
        let mut options = OpenOptions::new();
        let mut file =
            options.create(true).append(true).read(true).open(path).map_err(io("open"))?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                let folder = path.parent().unwrap_or(path).to_owned();
                return Err(ErrorKind::FolderInUse { folder }.into());
            }
            // Some file systems know no locks; the run is the user's to look after there.
            Ok(()) | Err(TryLockError::Error(_)) => {}
        }
        let mut last = [b'\n'];
        if file.metadata().map_err(io("read"))?.len() > 0 {
            file.seek(SeekFrom::End(-1)).map_err(io("read"))?;
            file.read_exact(&mut last).map_err(io("read"))?;
        }
        let mut log = Self { file: BufWriter::new(file), path: path.to_owned() };
        if last != *b"\n" {
            log.write(|file| file.write_all(b"\n"))?;
            log.flush()?;
        }
        Ok(log)
    }

    /// Appends a line, with the time before it. It may stay in memory until [`LogFile::flush`].
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if it cannot be written.
    pub fn line(&mut self, now: Timestamp, text: impl fmt::Display) -> Result<(), Error> {
        self.write(|file| writeln!(file, "{now} {text}"))
    }

    /// Hands everything to the system.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if it cannot be written.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.write(|file| file.flush())
    }

    fn write(
        &mut self,
        write: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>,
    ) -> Result<(), Error> {
        write(&mut self.file).map_err(|source| Error::io("write", &self.path, source))
    }
}

/// The line of a training batch.
///
/// # Source
/// training.md 4.11.
#[derive(Clone, Copy, Debug)]
pub struct TrainLine {
    /// Number of the epoch, from 1.
    pub epoch: u64,
    /// Number of the batch, from 0.
    pub batch: u64,
    /// Batches of the epoch.
    pub batches: u64,
    /// Seconds of a step, the waiting for data included.
    pub time: Meter,
    /// Seconds of waiting for data.
    pub data: Meter,
    /// Loss.
    pub loss: Meter,
    /// Share of images classified correctly.
    pub top1: Meter,
    /// Share of images whose class was among the first five.
    pub top5: Meter,
}

/// The line of an evaluated batch.
///
/// # Source
/// training.md 4.11.
#[derive(Clone, Copy, Debug)]
pub struct TestLine {
    /// Number of the batch, from 0.
    pub batch: u64,
    /// Batches of the test set.
    pub batches: u64,
    /// Seconds of the forward pass.
    pub model_time: Meter,
    /// Seconds of loss and accuracy.
    pub loss_time: Meter,
    /// Loss.
    pub loss: Meter,
    /// Share of images classified correctly.
    pub top1: Meter,
    /// Share of images whose class was among the first five.
    pub top5: Meter,
}

impl fmt::Display for TrainLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Epoch: [{}][{}/{}]\t", self.epoch, self.batch, self.batches)?;
        field(f, "Time", &self.time, 3)?;
        field(f, "Data", &self.data, 3)?;
        results(f, &self.loss, &self.top1, &self.top5)
    }
}

impl fmt::Display for TestLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Test: [{}/{}]\t", self.batch, self.batches)?;
        field(f, "Model Time", &self.model_time, 3)?;
        field(f, "Loss Time", &self.loss_time, 3)?;
        results(f, &self.loss, &self.top1, &self.top5)
    }
}

fn results(f: &mut fmt::Formatter<'_>, loss: &Meter, top1: &Meter, top5: &Meter) -> fmt::Result {
    field(f, "Loss", loss, 4)?;
    field(f, "Prec@1", top1, 3)?;
    field(f, "Prec@5", top5, 3)
}

/// `name last (average)` and a tab.
fn field(f: &mut fmt::Formatter<'_>, name: &str, meter: &Meter, decimals: usize) -> fmt::Result {
    write!(f, "{name} {:.decimals$} ({:.decimals$})\t", meter.last, meter.average())
}

impl Meter {
    /// Adds a time.
    pub fn add_time(&mut self, time: Duration) {
        self.add(time.as_secs_f64(), 1.0);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const NOW: Timestamp =
        Timestamp { unix: Duration::from_millis(1_755_470_010_007), offset_seconds: 7200 };

    fn meter(values: &[(f64, f64)]) -> Meter {
        let mut meter = Meter::default();
        values.iter().for_each(|&(value, weight)| meter.add(value, weight));
        meter
    }

    #[test]
    fn lines_are_those_of_the_published_example() {
        let percent = meter(&[(50.0, 100.0), (100.0, 50.0)]);
        let line = TrainLine {
            epoch: 3,
            batch: 599,
            batches: 600,
            time: meter(&[(0.25, 1.0), (0.75, 1.0)]),
            data: meter(&[(0.0125, 1.0)]),
            loss: meter(&[(1.0, 100.0), (0.25, 100.0)]),
            top1: percent,
            top5: percent,
        };
        assert_eq!(
            line.to_string(),
            "Epoch: [3][599/600]\tTime 0.750 (0.500)\tData 0.013 (0.013)\tLoss 0.2500 (0.6250)\t\
             Prec@1 100.000 (66.667)\tPrec@5 100.000 (66.667)\t"
        );
        let line = TestLine {
            batch: 0,
            batches: 100,
            model_time: line.time,
            loss_time: line.data,
            loss: line.loss,
            top1: percent,
            top5: percent,
        };
        assert_eq!(
            line.to_string(),
            "Test: [0/100]\tModel Time 0.750 (0.500)\tLoss Time 0.013 (0.013)\tLoss 0.2500 (0.6250)\t\
             Prec@1 100.000 (66.667)\tPrec@5 100.000 (66.667)\t"
        );
    }

    #[test]
    fn logs_grow_and_unfinished_lines_are_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.txt");
        LogFile::open(&path).unwrap().line(NOW, "first").unwrap();
        let mut text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, "2025-08-18 00:33:30,007 first\n");
        text.push_str("cut of");
        fs::write(&path, &text).unwrap();
        LogFile::open(&path).unwrap().line(NOW, "second").unwrap();
        let expected = format!("{text}\n2025-08-18 00:33:30,007 second\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
    }

    #[test]
    fn a_log_is_open_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.txt");
        let open = LogFile::open(&path).unwrap();
        let error = LogFile::open(&path).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::FolderInUse { .. }), "{error}");
        assert!(error.to_string().contains(folder.path().to_str().unwrap()), "{error}");
        drop(open);
        LogFile::open(&path).unwrap();
    }
}
