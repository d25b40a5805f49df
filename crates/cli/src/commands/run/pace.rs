//! How fast the executor is: the same run several times, on arrays that are in memory.

use std::time::Instant;

use serde_json::{Value, json};

use crate::console::grouped;

/// Seconds that the executor took in each round.
#[derive(Debug, Default)]
pub struct Pace {
    seconds: Vec<f64>,
    so_far: f64,
}

impl Pace {
    /// Calls a run of the executor, and adds its time to that of the round.
    pub fn time<R>(&mut self, run: impl FnOnce() -> R) -> R {
        let started = Instant::now();
        let result = run();
        self.so_far += started.elapsed().as_secs_f64();
        result
    }

    /// Ends a round.
    pub fn end(&mut self) {
        self.seconds.push(std::mem::take(&mut self.so_far));
    }

    /// The fastest and the median round, in items a second.
    fn speeds(&self, items: u64) -> (f64, f64) {
        let mut sorted = self.seconds.clone();
        sorted.sort_by(f64::total_cmp);
        let speed = |seconds: Option<&f64>| items as f64 / seconds.copied().unwrap_or(f64::NAN);
        (speed(sorted.first()), speed(sorted.get(sorted.len() / 2)))
    }

    /// One line.
    pub fn text(&self, items: u64, noun: &str) -> String {
        let (fastest, median) = self.speeds(items);
        let whole = |speed: f64| grouped(speed.round_ties_even() as u64);
        let (rounds, fastest, median) = (self.seconds.len() as u64, whole(fastest), whole(median));
        format!(
            "  executor alone, {} rounds: fastest {fastest} {noun}/s, median {median}\n",
            grouped(rounds)
        )
    }

    /// Numbers.
    pub fn json(&self, items: u64, noun: &str) -> Value {
        let (fastest, median) = self.speeds(items);
        json!({
            "rounds": self.seconds.len(),
            format!("fastest_{noun}_per_second"): fastest,
            format!("median_{noun}_per_second"): median,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fastest_and_median() {
        let mut pace = Pace::default();
        for seconds in [4.0, 0.5, 2.0] {
            pace.so_far = seconds;
            pace.end();
        }
        assert_eq!(pace.speeds(8), (16.0, 4.0));
        assert_eq!(
            pace.text(8, "images"),
            "  executor alone, 3 rounds: fastest 16 images/s, median 4\n"
        );
        assert_eq!(pace.json(8, "items")["fastest_items_per_second"], 16.0);
        assert_eq!(pace.time(|| 5), 5);
    }
}
