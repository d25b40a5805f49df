//! The learning rate over time, in closed form: it follows from the place in the training alone, so
//! that a resumed run needs no memory of it.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// How the learning rate changes. Names are those of the published example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scheduler {
    /// Halves the rate after every 40 epochs. The published example calls this "fixed".
    #[serde(rename = "FIXED")]
    Fixed,
    /// A tenth of the rate after each milestone.
    #[serde(rename = "STEP")]
    Step,
    /// Half a cosine from the base rate to zero, step by step.
    #[serde(rename = "COSINE")]
    Cosine,
    /// Up from a 25th of the base rate in three tenths of the training, then down to almost nothing,
    /// step by step.
    #[serde(rename = "ONECYCLE")]
    OneCycle,
}

impl Scheduler {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Fixed, Self::Step, Self::Cosine, Self::OneCycle];

    /// The name on the command line and in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fixed => "FIXED",
            Self::Step => "STEP",
            Self::Cosine => "COSINE",
            Self::OneCycle => "ONECYCLE",
        }
    }
}

/// Epochs after which [`Scheduler::Fixed`] halves the rate.
const HALVING_EPOCHS: u64 = 40;
/// What [`Scheduler::Step`] multiplies the rate by at a milestone.
const STEP_FACTOR: f64 = 0.1;
/// Share of the training in which [`Scheduler::OneCycle`] goes up.
const ONE_CYCLE_RISE: f64 = 0.3;
/// [`Scheduler::OneCycle`] starts at the base rate divided by this.
const ONE_CYCLE_START: f64 = 25.0;
/// [`Scheduler::OneCycle`] ends at its first rate divided by this.
const ONE_CYCLE_END: f64 = 1e4;

/// A learning rate for every optimizer step of a training.
///
/// # Examples
/// ```
/// use fewbit_train::{Schedule, Scheduler};
/// let schedule = Schedule {
///     scheduler: Scheduler::Fixed,
///     base: 0.02,
///     milestones: vec![],
///     warmup_epochs: None,
///     epochs: 200,
///     steps_per_epoch: 600,
/// };
/// assert_eq!(schedule.learning_rate(0), 0.02);
/// assert_eq!(schedule.learning_rate(40 * 600), 0.01);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// How the rate changes.
    pub scheduler: Scheduler,
    /// The rate that everything is relative to.
    pub base: f64,
    /// Epochs after which [`Scheduler::Step`] lowers the rate.
    pub milestones: Vec<u64>,
    /// Epochs in which the rate rises; nothing: three tenths of the training with [`Scheduler::OneCycle`],
    /// none with the others.
    pub warmup_epochs: Option<u64>,
    /// Epochs of the whole training; changes [`Scheduler::Cosine`] and [`Scheduler::OneCycle`] only.
    pub epochs: u64,
    /// Optimizer steps of an epoch.
    pub steps_per_epoch: u64,
}

impl Schedule {
    /// The rate of an optimizer step; `step` is the number of steps before it.
    ///
    /// FIXED: `base / 2^floor(finished / 40)` and STEP: `base * 0.1^(milestones <= finished)`, with
    /// the number of finished epochs: they change once per epoch, as the published example does.
    ///
    /// COSINE: `base / 2 * (1 + cos(pi * step / steps))` and ONECYCLE change with every step.
    ///
    /// A warm-up multiplies the first three by `(step + 1) / (steps of the warm-up)` while it lasts, and
    /// COSINE falls in what is left; it is the rise of ONECYCLE.
    ///
    /// # Source
    /// training.md 4.5; ONECYCLE: PyTorch `OneCycleLR` with its defaults, the warm-up being `pct_start`,
    /// momentum left alone. Warm-up: P. Goyal et al., "Accurate, large minibatch SGD", 2017.
    pub fn learning_rate(&self, step: u64) -> f64 {
        let warmup = self.warmup_epochs.unwrap_or(0).saturating_mul(self.steps_per_epoch);
        if step < warmup && self.scheduler != Scheduler::OneCycle {
            let part = (step + 1) as f64 / warmup as f64;
            return part * self.warm_rate(step, warmup);
        }
        self.warm_rate(step, warmup)
    }

    /// The rate without its warm-up of so many steps.
    fn warm_rate(&self, step: u64, warmup: u64) -> f64 {
        let epochs_finished = step / self.steps_per_epoch.max(1);
        match self.scheduler {
            Scheduler::Fixed => self.base * power(0.5, epochs_finished / HALVING_EPOCHS),
            Scheduler::Step => {
                let passed = self.milestones.iter().filter(|m| **m <= epochs_finished).count();
                self.base * power(STEP_FACTOR, passed as u64)
            }
            Scheduler::Cosine => {
                let steps = self.steps().saturating_sub(warmup).max(1);
                let step = step.saturating_sub(warmup).min(steps);
                between(self.base, 0.0, step as f64 / steps as f64)
            }
            Scheduler::OneCycle => self.one_cycle(step),
        }
    }

    /// Optimizer steps of the whole training, at least one.
    fn steps(&self) -> u64 {
        self.epochs.saturating_mul(self.steps_per_epoch).max(1)
    }

    fn one_cycle(&self, step: u64) -> f64 {
        let last = self.steps() - 1;
        let step = step.min(last) as f64;
        let (start, last) = (self.base / ONE_CYCLE_START, last as f64);
        // In a training of a few steps the way up has no length.
        let rise = match self.warmup_epochs {
            Some(epochs) => epochs.saturating_mul(self.steps_per_epoch) as f64,
            None => ONE_CYCLE_RISE * (last + 1.0),
        };
        let top = (rise - 1.0).max(0.0);
        if step < top {
            between(start, self.base, step / top)
        } else if last > top {
            between(self.base, start / ONE_CYCLE_END, (step - top) / (last - top))
        } else {
            self.base
        }
    }
}

/// Along half a cosine, from `from` at 0 to `to` at 1.
fn between(from: f64, to: f64, place: f64) -> f64 {
    to + (from - to) / 2.0 * (1.0 + libm::cos(PI * place))
}

/// `base^exponent`, rounded once; the standard library's `powi` differs by machine.
fn power(base: f64, exponent: u64) -> f64 {
    libm::pow(base, exponent as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: u64 = 3;

    fn schedule(scheduler: Scheduler, base: f64, epochs: u64) -> Schedule {
        let milestones = vec![100, 150, 200, 250];
        let warmup_epochs = None;
        Schedule { scheduler, base, milestones, warmup_epochs, epochs, steps_per_epoch: STEPS }
    }

    /// Every step of the epochs `first..=last` has this rate.
    fn assert_epochs(schedule: &Schedule, first: u64, last: u64, rate: f64) {
        for step in (first - 1) * STEPS..last * STEPS {
            assert_eq!(
                schedule.learning_rate(step),
                rate,
                "{:?} at step {step}",
                schedule.scheduler
            );
        }
    }

    #[test]
    fn fixed_halves_every_forty_epochs() {
        let fixed = schedule(Scheduler::Fixed, 0.02, 200);
        for (first, last, rate) in [
            (1, 40, 0.02),
            (41, 80, 0.01),
            (81, 120, 0.005),
            (121, 160, 0.0025),
            (161, 200, 0.00125),
        ] {
            assert_epochs(&fixed, first, last, rate);
        }
        assert_eq!(fixed.learning_rate(u64::MAX), 0.0);
    }

    /// The powers are Python's `0.1 ** n`, as in PyTorch's closed form of `MultiStepLR`.
    #[test]
    fn step_divides_by_ten_at_milestones() {
        let step = schedule(Scheduler::Step, 0.001, 10_000);
        for (first, last, rate) in [
            (1, 100, 0.001),
            (101, 150, 0.001 * 0.1),
            (151, 200, 0.001 * 0.010000000000000002),
            (201, 250, 0.001 * 0.0010000000000000002),
            (251, 10_000, 0.001 * 0.00010000000000000002),
        ] {
            assert_epochs(&step, first, last, rate);
        }
        // The published run ended in epoch 236 at one millionth.
        assert!((step.learning_rate(235 * STEPS) - 1e-6).abs() < 1e-21);
    }

    #[test]
    fn cosine_falls_from_the_base_to_zero() {
        let cosine = schedule(Scheduler::Cosine, 0.02, 4);
        let rates: Vec<f64> = (0..=12).map(|step| cosine.learning_rate(step)).collect();
        assert_eq!((rates[0], rates[12]), (0.02, 0.0));
        assert!((rates[6] - 0.01).abs() < 1e-17, "{}", rates[6]);
        // cos(pi / 3) = 1/2.
        assert!((rates[4] - 0.015).abs() < 1e-16, "{}", rates[4]);
        assert!(rates.windows(2).all(|pair| pair[1] < pair[0]), "{rates:?}");
        assert_eq!(cosine.learning_rate(1000), 0.0);
    }

    /// Computed with PyTorch 2.8: `OneCycleLR(SGD([p], lr=.1), max_lr=.02, total_steps=12)`.
    #[test]
    fn one_cycle_is_pytorchs() {
        let expected = PYTORCH_ONE_CYCLE;
        let one_cycle = schedule(Scheduler::OneCycle, 0.02, 4);
        for (step, expected) in expected.into_iter().enumerate() {
            let rate = one_cycle.learning_rate(step as u64);
            assert!(
                (rate - expected).abs() <= 1e-15 * expected + 1e-19,
                "step {step}: {rate}, not {expected}"
            );
        }
    }

    /// Computed with PyTorch 2.8, as above with `pct_start=.5`: two of four epochs.
    #[test]
    fn the_rise_of_one_cycle_is_its_warm_up() {
        let one_cycle =
            Schedule { warmup_epochs: Some(2), ..schedule(Scheduler::OneCycle, 0.02, 4) };
        for (step, expected) in PYTORCH_HALF_CYCLE.into_iter().enumerate() {
            let rate = one_cycle.learning_rate(step as u64);
            assert!(
                (rate - expected).abs() <= 1e-15 * expected + 1e-19,
                "step {step}: {rate}, not {expected}"
            );
        }
    }

    #[test]
    fn warm_ups_are_straight() {
        for scheduler in [Scheduler::Fixed, Scheduler::Step, Scheduler::Cosine] {
            let warm = Schedule { warmup_epochs: Some(2), ..schedule(scheduler, 0.5, 4) };
            let rates: Vec<f64> = (0..=12).map(|step| warm.learning_rate(step)).collect();
            for (step, rate) in rates[..6].iter().enumerate() {
                assert_eq!(*rate, (step + 1) as f64 / 6.0 * 0.5, "{scheduler}");
            }
            // At the top, and then what there is without a warm-up, in what is left.
            let left = schedule(scheduler, 0.5, 2);
            for step in 0..=6 {
                assert_eq!(rates[6 + step], left.learning_rate(step as u64), "{scheduler}");
            }
        }
    }

    #[test]
    fn short_trainings_have_a_rate() {
        for scheduler in Scheduler::ALL {
            for epochs in 0..5 {
                for (steps_per_epoch, warmup) in (0..3).flat_map(|n| (0..4).map(move |w| (n, w))) {
                    let warmup_epochs = Some(warmup).filter(|&epochs| epochs < 3);
                    let short = Schedule {
                        steps_per_epoch,
                        warmup_epochs,
                        ..schedule(scheduler, 0.5, epochs)
                    };
                    for step in 0..10 {
                        let rate = short.learning_rate(step);
                        assert!((0.0..=0.5).contains(&rate), "{short:?} at step {step}: {rate}");
                    }
                }
            }
        }
    }

    const PYTORCH_ONE_CYCLE: [f64; 12] = [
        0.0007999999999999986,
        0.0069957930843916605,
        0.017585703182442573,
        0.019888308709018237,
        0.018660259396828235,
        0.01623491307899526,
        0.012947579953902066,
        0.0092527420533395,
        0.005661219964173985,
        0.002669550603776612,
        0.0006913397485079044,
        8e-08,
    ];

    const PYTORCH_HALF_CYCLE: [f64; 12] = [
        0.0007999999999999986,
        0.0026334368540005017,
        0.007433436854000504,
        0.013366563145999495,
        0.018166563145999494,
        0.02,
        0.01866025939682824,
        0.01500002,
        0.01000004,
        0.005000060000000003,
        0.0013398206031717643,
        8e-08,
    ];
}
