//! The files that a training writes, or none.

use std::fmt;
use std::path::PathBuf;

use crate::atomic;
use crate::clock::Clock;
use crate::error::Error;
use crate::log_file::LogFile;
use crate::metrics::{EpochRecord, MetricsFile};
use crate::observer::Observer;
use crate::progress::Progress;
use crate::run_folder::RunFolder;
use crate::tensorboard::EventFile;

/// The open files of a run; nothing in a dry run.
pub(super) struct Outputs<'a>(Option<Open<'a>>);

struct Open<'a> {
    folder: &'a RunFolder,
    log: LogFile,
    metrics: MetricsFile,
    events: EventFile,
}

impl<'a> Outputs<'a> {
    pub(super) fn open(
        folder: Option<&'a RunFolder>,
        progress: &Progress,
        clock: &dyn Clock,
    ) -> Result<Self, Error> {
        let Some(folder) = folder else { return Ok(Self(None)) };
        // First: it keeps others out.
        let mut log = LogFile::open(&folder.log())?;
        folder.remove_rests()?;
        let epochs = progress.epochs_finished;
        let metrics = MetricsFile::open(&folder.metrics(), epochs)?;
        let events = EventFile::open(&folder.tensorboard(), epochs, clock.now())?;
        if progress.steps > 0 {
            log.line(clock.now(), "Loading optimizer checkpoint")?;
            log.flush()?;
        }
        Ok(Self(Some(Open { folder, log, metrics, events })))
    }

    pub(super) fn is_some(&self) -> bool {
        self.0.is_some()
    }

    pub(super) fn log(&mut self, line: &impl fmt::Display, clock: &dyn Clock) -> Result<(), Error> {
        self.0.as_mut().map_or(Ok(()), |open| open.log.line(clock.now(), line))
    }

    pub(super) fn flush(&mut self) -> Result<(), Error> {
        self.0.as_mut().map_or(Ok(()), |open| open.log.flush())
    }

    pub(super) fn record(&mut self, record: &EpochRecord, clock: &dyn Clock) -> Result<(), Error> {
        let Some(open) = &mut self.0 else { return Ok(()) };
        open.metrics.append(record)?;
        let scalars = [
            ("learning_rate", record.learning_rate),
            ("loss/train", record.train_loss),
            ("loss/test", record.test_loss),
            ("top1_percent/train", record.train_top1_percent),
            ("top1_percent/test", record.test_top1_percent),
            ("top5_percent/train", record.train_top5_percent),
            ("top5_percent/test", record.test_top5_percent),
            ("images_per_second", record.images_per_second),
        ];
        open.events.write_scalars(record.epoch, clock.now(), &scalars)
    }

    pub(super) fn write_last(
        &mut self,
        checkpoint: &[u8],
        observer: &mut dyn Observer,
        clock: &dyn Clock,
    ) -> Result<(), Error> {
        self.write(checkpoint, RunFolder::last_checkpoint, observer, clock)
    }

    pub(super) fn write_best(
        &mut self,
        checkpoint: &[u8],
        observer: &mut dyn Observer,
        clock: &dyn Clock,
    ) -> Result<(), Error> {
        self.write(checkpoint, RunFolder::best_checkpoint, observer, clock)
    }

    fn write(
        &mut self,
        checkpoint: &[u8],
        path: fn(&RunFolder) -> PathBuf,
        observer: &mut dyn Observer,
        clock: &dyn Clock,
    ) -> Result<(), Error> {
        let Some(open) = &mut self.0 else { return Ok(()) };
        let path = path(open.folder);
        open.log
            .line(clock.now(), format_args!("Saving checkpoint model to {}", path.display()))?;
        open.log.flush()?;
        atomic::replace(&path, checkpoint)?;
        observer.on_checkpoint(&path);
        Ok(())
    }
}
