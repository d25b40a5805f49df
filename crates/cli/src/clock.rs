//! The clock on the wall, which only this crate looks at.

use std::time::{Duration, Instant, SystemTime};

use fewbit_train::{Clock, Timestamp};

/// The system's clock, and where the user is on the globe.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    started: Instant,
    offset_seconds: i32,
}

impl SystemClock {
    /// Starts now.
    pub fn start() -> Self {
        // Asked once: lines of one run do not jump when summer time begins.
        let offset_seconds = jiff::Zoned::now().offset().seconds();
        Self { started: Instant::now(), offset_seconds }
    }
}

impl Clock for SystemClock {
    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    fn now(&self) -> Timestamp {
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Timestamp { unix, offset_seconds: self.offset_seconds }
    }
}
