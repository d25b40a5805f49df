//! Moments at which a run may be killed: tests let it die at each of them.
//!
//! Nothing happens outside of this crate's own tests.

/// Names a moment between two things that happen to files.
#[cfg(not(test))]
#[inline(always)]
pub(crate) fn moment() {}

#[cfg(test)]
pub(crate) use deadly::{Death, count_moments, die_at, moment};

#[cfg(test)]
mod deadly {
    use std::cell::Cell;
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    thread_local! {
        static PASSED: Cell<u64> = const { Cell::new(0) };
        static DEADLY: Cell<u64> = const { Cell::new(u64::MAX) };
    }

    /// How a run ended that was to die.
    #[derive(Debug, PartialEq, Eq)]
    pub(crate) enum Death<R> {
        Died,
        Survived(R),
    }

    struct Killed;

    pub(crate) fn moment() {
        let passed = PASSED.get();
        PASSED.set(passed + 1);
        if passed == DEADLY.get() {
            // No message: dying is what was asked for.
            resume_unwind(Box::new(Killed));
        }
    }

    /// Runs `work` and lets it die at its moment number `index`, counted from 0.
    ///
    /// Nothing is cleaned up on the way: no code of this crate runs while a panic unwinds.
    pub(crate) fn die_at<R>(index: u64, work: impl FnOnce() -> R) -> Death<R> {
        PASSED.set(0);
        DEADLY.set(index);
        let ended = catch_unwind(AssertUnwindSafe(work));
        DEADLY.set(u64::MAX);
        match ended {
            Ok(result) => Death::Survived(result),
            Err(panic) if panic.is::<Killed>() => Death::Died,
            Err(panic) => resume_unwind(panic),
        }
    }

    /// Runs `work` and counts its moments.
    pub(crate) fn count_moments(work: impl FnOnce()) -> u64 {
        PASSED.set(0);
        work();
        PASSED.get()
    }
}
