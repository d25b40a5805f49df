//! How far a training has come: all that is not a tensor and has to survive a kill.

use serde::{Deserialize, Serialize};

use crate::accuracy::{Hits, Meter};
use crate::config::Recipe;

/// How far a training has come.
///
/// Learning rate and random numbers are functions of the recipe and of `steps`: no state of theirs is
/// kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// Epochs that are complete, evaluation included.
    pub epochs_finished: u64,
    /// Optimizer steps of the epoch after those; 0 at an epoch's end.
    pub steps_in_epoch: u64,
    /// Optimizer steps since the start of the training.
    pub steps: u64,
    /// Images of the training set.
    pub train_images: u64,
    /// Images of the test set.
    pub test_images: u64,
    /// What was measured in the unfinished epoch.
    pub running: Running,
    /// The best epoch so far.
    pub best: Option<BestEpoch>,
    /// Epochs since the test accuracy last rose: early stopping counts them.
    pub epochs_without_improvement: u64,
}

/// Sums over the images of an epoch, while learning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Running {
    /// How many were classified correctly.
    pub hits: Hits,
    /// The loss.
    pub loss: Meter,
}

/// An epoch whose network was kept.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BestEpoch {
    /// Its number, from 1.
    pub epoch: u64,
    /// Share of the test images that are classified correctly.
    pub test_top1_percent: f64,
    /// Share of the test images whose class is among the first five.
    pub test_top5_percent: f64,
}

/// What an epoch means for the choice of the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// As good as the best or better: it is the best now.
    Best,
    /// Worse.
    Worse,
}

impl Progress {
    /// Enters the result of an evaluated epoch.
    ///
    /// An epoch as good as the best so far becomes the best, as in the published example; the counter
    /// of early stopping starts again only after a better one.
    pub(crate) fn judge(&mut self, hits: Hits) -> Verdict {
        let (top1, top5) = (hits.top1_percent(), hits.top5_percent());
        let before = self.best.map(|best| best.test_top1_percent);
        if before.is_none_or(|before| top1 > before) {
            self.epochs_without_improvement = 0;
        } else {
            self.epochs_without_improvement += 1;
        }
        if before.is_some_and(|before| top1 < before) {
            return Verdict::Worse;
        }
        let epoch = self.epochs_finished;
        self.best = Some(BestEpoch { epoch, test_top1_percent: top1, test_top5_percent: top5 });
        Verdict::Best
    }

    /// Whether the recipe asks to stop before its last epoch.
    pub fn stops_early(&self, recipe: &Recipe) -> bool {
        recipe.early_stopping && self.epochs_without_improvement >= recipe.patience
    }

    /// Whether nothing is left to do.
    pub fn is_done(&self, recipe: &Recipe) -> bool {
        self.epochs_finished >= recipe.epochs || self.stops_early(recipe)
    }
}

#[cfg(test)]
mod tests {
    use fewbit_nn::config::NetworkConfig;

    use super::*;

    fn hits(top1: u64) -> Hits {
        Hits { images: 1000, top1, top5: top1 + 10 }
    }

    /// After each epoch: its verdict, the number of the best, and the counter.
    fn history(top1: &[u64]) -> Vec<(Verdict, u64, u64)> {
        let mut progress = Progress::default();
        let judged = top1.iter().map(|&top1| {
            progress.epochs_finished += 1;
            let verdict = progress.judge(hits(top1));
            (verdict, progress.best.unwrap().epoch, progress.epochs_without_improvement)
        });
        judged.collect()
    }

    #[test]
    fn ties_are_best_but_no_improvement() {
        use Verdict::{Best, Worse};
        assert_eq!(
            history(&[500, 600, 600, 599, 600, 601, 0]),
            [
                (Best, 1, 0),
                (Best, 2, 0),
                (Best, 3, 1),
                (Worse, 3, 2),
                (Best, 5, 3),
                (Best, 6, 0),
                (Worse, 6, 1)
            ]
        );
        assert_eq!(history(&[0]), [(Best, 1, 0)], "a first epoch without any hit is the best");
    }

    /// The published run: best epoch 136, patience 100, ended after 236.
    #[test]
    fn patience_counts_epochs_after_the_best() {
        let mut recipe = Recipe::new(NetworkConfig::named("TFC_1W1A").unwrap());
        (recipe.epochs, recipe.early_stopping) = (10_000, true);
        let mut progress = Progress::default();
        while !progress.is_done(&recipe) {
            progress.epochs_finished += 1;
            let epoch = progress.epochs_finished;
            progress.judge(hits(if epoch <= 136 { epoch } else { 100 }));
        }
        assert_eq!((progress.epochs_finished, progress.best.unwrap().epoch), (236, 136));
        assert!(progress.stops_early(&recipe));
        recipe.early_stopping = false;
        assert!(!progress.is_done(&recipe));
    }
}
