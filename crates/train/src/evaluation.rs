//! How good a network is.

use std::time::Duration;

use fewbit_data::{Dataset, Loader, LoaderConfig};
use fewbit_nn::{Network, Pass, Tensor};

use crate::accuracy::{Hits, Meter};
use crate::clock::{Clock, Timestamp};
use crate::config::Loss;
use crate::error::Error;
use crate::log_file::TestLine;

/// What a network achieves on a dataset.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluation {
    /// Images.
    pub images: u64,
    /// Mean loss.
    pub loss: f64,
    /// Share of images that are classified correctly.
    pub top1_percent: f64,
    /// Share of images whose class is among the first five.
    pub top5_percent: f64,
    /// The same as counts.
    pub hits: Hits,
}

/// Evaluates a network on all images of a dataset.
///
/// The result does not depend on `batch_size`: losses are computed image by image in `f64` and summed
/// in the order of the dataset.
///
/// # Errors
/// [`ErrorKind::Network`](crate::ErrorKind::Network) if the images do not fit the network.
pub fn evaluate(
    network: &mut Network,
    dataset: &Dataset,
    batch_size: usize,
    loss: Loss,
) -> Result<Evaluation, Error> {
    evaluate_timed(network, dataset, batch_size, loss, &NoClock, &mut |_| Ok(()))
}

/// Evaluates as [`evaluate`] and reports every batch.
///
/// # Errors
/// As [`evaluate`], and what `on_batch` returns.
pub fn evaluate_timed(
    network: &mut Network,
    dataset: &Dataset,
    batch_size: usize,
    loss: Loss,
    clock: &dyn Clock,
    on_batch: &mut dyn FnMut(&TestLine) -> Result<(), Error>,
) -> Result<Evaluation, Error> {
    let loader = Loader::new(dataset, LoaderConfig::in_order(batch_size))?;
    let [channels, height, width] = dataset.image_shape();
    let device = network.device().clone();
    let mut hits = Hits::default();
    let mut loss_sum = 0.0;
    let none = Meter::default();
    let batches = loader.batches() as u64;
    let mut line = TestLine {
        batch: 0,
        batches,
        model_time: none,
        loss_time: none,
        loss: none,
        top1: none,
        top5: none,
    };
    for batch in loader.epoch(0) {
        let started = clock.elapsed();
        let images =
            Tensor::from_vec(batch.images, &[batch.count, channels, height, width], &device);
        let logits = network.forward(&images, Pass::Evaluation)?;
        let computed = clock.elapsed();
        let classes = logits.shape()[1];
        let (batch_hits, before) =
            (logits.read(|l| Hits::count(l, &batch.labels, classes)), loss_sum);
        logits.read(|logits| {
            for (row, &label) in logits.chunks_exact(classes).zip(&batch.labels) {
                loss_sum += image_loss(row, usize::from(label), loss);
            }
        });
        hits.add(batch_hits);
        let count = batch.count as f64;
        line.model_time.add_time(computed.saturating_sub(started));
        line.loss_time.add_time(clock.elapsed().saturating_sub(computed));
        line.loss.add((loss_sum - before) / count, count);
        line.top1.add(batch_hits.top1_percent(), count);
        line.top5.add(batch_hits.top5_percent(), count);
        on_batch(&line)?;
        line.batch += 1;
    }
    Ok(Evaluation {
        images: hits.images,
        loss: loss_sum / hits.images as f64,
        top1_percent: hits.top1_percent(),
        top5_percent: hits.top5_percent(),
        hits,
    })
}

/// The loss of one image, as training.md 4.3 defines it for a batch of one.
fn image_loss(logits: &[f32], label: usize, loss: Loss) -> f64 {
    let logits = logits.iter().map(|&logit| f64::from(logit));
    match loss {
        Loss::SquareHinge => {
            let count = logits.len() as f64;
            let squares = logits.enumerate().map(|(class, p)| {
                let t = if class == label { 1.0 } else { -1.0 };
                let gap = 1.0 - p * t;
                // Not `max`, which would turn NaN into 0.
                if gap < 0.0 { 0.0 } else { gap * gap }
            });
            squares.sum::<f64>() / count
        }
        Loss::CrossEntropy => {
            let largest = logits.clone().fold(f64::NEG_INFINITY, f64::max);
            let total: f64 = logits.clone().map(|p| libm::exp(p - largest)).sum();
            let own = logits.clone().nth(label).expect("labels are below the number of classes");
            libm::log(total) + largest - own
        }
    }
}

/// For those who do not measure.
struct NoClock;

impl Clock for NoClock {
    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }

    fn now(&self) -> Timestamp {
        Timestamp { unix: Duration::ZERO, offset_seconds: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of training.md 4.3.
    #[test]
    fn square_hinge_by_hand() {
        let rows = [([0.5, -2.0, 1.5], 0), ([2.0, 0.0, -1.0], 1)];
        let losses = rows.map(|(row, label)| image_loss(&row, label, Loss::SquareHinge));
        assert_eq!((losses[0] + losses[1]) / 2.0, 2.75);
    }

    #[test]
    fn cross_entropy_by_hand() {
        let equal = image_loss(&[7.0; 10], 3, Loss::CrossEntropy);
        assert!((equal - 10f64.ln()).abs() < 1e-15, "{equal}");
        // Logits that overflow an exponential that is not shifted.
        let sure = image_loss(&[1000.0, 0.0], 0, Loss::CrossEntropy);
        let wrong = image_loss(&[1000.0, 0.0], 1, Loss::CrossEntropy);
        assert_eq!((sure, wrong), (0.0, 1000.0));
    }

    #[test]
    fn nan_stays() {
        for loss in Loss::ALL {
            assert!(image_loss(&[f32::NAN, 1.0], 1, loss).is_nan(), "{loss}");
            assert!(image_loss(&[f32::NAN, 1.0], 0, loss).is_nan(), "{loss}");
        }
    }
}
