//! Time comes from outside: this crate never looks at a clock.

use std::fmt;
use std::time::Duration;

/// Tells the time. Nothing that is computed depends on it, only what is logged.
pub trait Clock {
    /// Time since a moment that stays the same during a run; never goes back.
    fn elapsed(&self) -> Duration;

    /// The time of day.
    fn now(&self) -> Timestamp;
}

/// A moment, and how it is written where the user lives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timestamp {
    /// Time since 1970-01-01 00:00 UTC.
    pub unix: Duration,
    /// Seconds that local time is ahead of UTC.
    pub offset_seconds: i32,
}

impl Timestamp {
    /// `20250817_223330`, as in names of folders.
    pub fn compact(&self) -> String {
        let Civil { year, month, day, hour, minute, second, .. } = self.civil();
        format!("{year:04}{month:02}{day:02}_{hour:02}{minute:02}{second:02}")
    }

    fn civil(&self) -> Civil {
        let seconds = i64::try_from(self.unix.as_secs()).unwrap_or(i64::MAX / 2);
        let local = seconds.saturating_add(i64::from(self.offset_seconds));
        let (days, second_of_day) = (local.div_euclid(86_400), local.rem_euclid(86_400));
        let (year, month, day) = date(days);
        Civil {
            year,
            month,
            day,
            hour: second_of_day / 3600,
            minute: second_of_day / 60 % 60,
            second: second_of_day % 60,
            millisecond: self.unix.subsec_millis(),
        }
    }
}

/// `2025-08-17 22:33:30,123`, as in log lines.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Civil { year, month, day, hour, minute, second, millisecond } = self.civil();
        write!(
            f,
            "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02},{millisecond:03}"
        )
    }
}

struct Civil {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    millisecond: u32,
}

/// Year, month and day of a number of days since 1970-01-01 in the Gregorian calendar.
///
/// # Source
/// Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
fn date(days: i64) -> (i64, i64, i64) {
    // Years start in March, so that the leap day is the last one.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64, millis: u64, offset_seconds: i32) -> Timestamp {
        Timestamp { unix: Duration::from_millis(seconds * 1000 + millis), offset_seconds }
    }

    #[test]
    fn times_of_the_calendar() {
        // Checked with `date -u -d @N`.
        let cases = [
            (at(0, 0, 0), "1970-01-01 00:00:00,000", "19700101_000000"),
            (at(0, 0, -1), "1969-12-31 23:59:59,000", "19691231_235959"),
            (at(1_755_470_010, 123, 0), "2025-08-17 22:33:30,123", "20250817_223330"),
            (at(951_782_400, 0, 0), "2000-02-29 00:00:00,000", "20000229_000000"),
            (at(951_868_799, 999, 3600), "2000-03-01 00:59:59,999", "20000301_005959"),
            (at(4_107_542_400, 0, 0), "2100-03-01 00:00:00,000", "21000301_000000"),
            (at(1_735_689_599, 0, 0), "2024-12-31 23:59:59,000", "20241231_235959"),
        ];
        for (time, written, compact) in cases {
            assert_eq!((time.to_string().as_str(), time.compact().as_str()), (written, compact));
        }
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut previous = date(-1);
        for days in 0..150_000 {
            let (year, month, day) = date(days);
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            let (y, m, d) = previous;
            let first_of_year = (m, d, month, day) == (12, 31, 1, 1) && year == y + 1;
            let first_of_month = year == y && month == m + 1 && day == 1;
            let next_day = (y, m, d + 1) == (year, month, day);
            assert!(first_of_year || first_of_month || next_day, "{previous:?} {:?}", date(days));
            assert!((1..=lengths[month as usize - 1]).contains(&day));
            previous = (year, month, day);
        }
    }

    #[test]
    fn times_beyond_any_calendar_do_not_panic() {
        let far = Timestamp { unix: Duration::MAX, offset_seconds: i32::MAX };
        assert!(!far.to_string().is_empty());
        assert!(!at(0, 0, i32::MIN).compact().is_empty());
    }
}
