//! One way through a dataset, batch by batch, prepared ahead by threads.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use super::LoaderConfig;
use super::augmentation::Augmenter;
use super::permutation::permutation;
use crate::Dataset;

/// Batches that each worker keeps ready.
const AHEAD: usize = 2;

/// Some images and their classes.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Pixels divided by 255, `[count, C, H, W]`.
    pub images: Vec<f32>,
    /// The classes, `[count]`.
    pub labels: Vec<u8>,
    /// The number of images.
    pub count: usize,
}

/// The batches of one epoch, in order.
pub struct Epoch {
    source: Source,
    next: usize,
    batches: usize,
    workers: usize,
    /// Batch `i` comes from worker `i % workers`. Empty until the first batch is asked for.
    queues: Vec<Receiver<Batch>>,
}

impl Epoch {
    pub(super) fn new(dataset: &Dataset, config: LoaderConfig, epoch: u64) -> Self {
        let order = config.shuffle.then(|| permutation(dataset.len(), config.seed, epoch).into());
        let batches = dataset.len().div_ceil(config.batch_size);
        let augmenter = Augmenter::new(config.augmentation, config.seed, epoch);
        let (dataset, batch_size) = (dataset.clone(), config.batch_size);
        let source = Source { dataset, order, batch_size, augmenter };
        // More workers than batches would only be created to end again.
        Self { source, next: 0, batches, workers: config.workers.min(batches), queues: Vec::new() }
    }

    /// Leaves out the next batches without preparing them, as when a training resumes in mid-epoch.
    pub fn skip_batches(mut self, count: usize) -> Self {
        self.next = self.next.saturating_add(count).min(self.batches);
        // Workers that have started already are at another batch; new ones start when needed.
        self.queues.clear();
        self
    }

    /// Starts the workers. Where the system refuses a thread, batches are prepared when they are asked for.
    fn start(&mut self) {
        for worker in 0..self.workers {
            let first = self.next + worker;
            let (source, batches, step) = (self.source.clone(), self.batches, self.workers);
            let (sender, receiver) = sync_channel(AHEAD);
            let name = format!("loader {worker}");
            let work = move || prepare(&source, (first..batches).step_by(step), &sender);
            if thread::Builder::new().name(name).spawn(work).is_err() {
                self.workers = 0;
                self.queues.clear();
                return;
            }
            self.queues.push(receiver);
        }
        // The first worker has the next batch.
        self.queues.rotate_right(self.next % self.workers);
    }
}

/// Prepares batches until they are all done or nobody wants them any more.
fn prepare(source: &Source, batches: impl Iterator<Item = usize>, to: &SyncSender<Batch>) {
    for batch in batches {
        if to.send(source.batch(batch)).is_err() {
            return;
        }
    }
}

impl Iterator for Epoch {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        if self.next == self.batches {
            return None;
        }
        if self.workers > 0 && self.queues.is_empty() {
            self.start();
        }
        let batch = match self.queues.get(self.next % self.workers.max(1)) {
            Some(queue) => queue.recv().expect("a worker ends only after its last batch"),
            None => self.source.batch(self.next),
        };
        self.next += 1;
        Some(batch)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.batches - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Epoch {}

#[derive(Clone)]
struct Source {
    dataset: Dataset,
    order: Option<Arc<[u32]>>,
    batch_size: usize,
    /// Nothing where images stay as they are.
    augmenter: Option<Augmenter>,
}

impl Source {
    fn batch(&self, batch: usize) -> Batch {
        let start = batch * self.batch_size;
        let end = start.saturating_add(self.batch_size).min(self.dataset.len());
        let (images, labels) = match &self.order {
            None => self.gather(start..end),
            Some(order) => self.gather(order[start..end].iter().map(|&index| index as usize)),
        };
        Batch { images, labels, count: end - start }
    }

    /// Brings the images of these numbers and their labels together.
    fn gather(&self, numbers: impl ExactSizeIterator<Item = usize> + Clone) -> (Vec<f32>, Vec<u8>) {
        let pixels = self.dataset.pixels_per_image();
        let [_, height, width] = self.dataset.image_shape();
        let image = |number: usize| &self.dataset.images()[number * pixels..][..pixels];
        let labels = numbers.clone().map(|number| self.dataset.labels()[number]).collect();
        let values = match self.augmenter {
            None => {
                let mut values = Vec::with_capacity(numbers.len() * pixels);
                numbers.for_each(|number| values.extend(image(number).iter().map(value)));
                values
            }
            Some(augmenter) => {
                let mut values = vec![0f32; numbers.len() * pixels];
                for (number, out) in numbers.zip(values.chunks_exact_mut(pixels)) {
                    augmenter.write(number, image(number), [height, width], out);
                }
                values
            }
        };
        (values, labels)
    }
}

/// A true division, rounded once: `pixel * (1/255)` would be another number for 126 of the 256 pixels.
///
/// A table of the 256 quotients gives the same bits at 0.6 of the speed: divisions are vectorized, look-ups are not.
pub(super) fn value(pixel: &u8) -> f32 {
    f32::from(*pixel) / 255.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_true_quotients() {
        let mut products = 0;
        for pixel in 0..=255u8 {
            // The quotient in f64 rounded to f32 is the f32 quotient: 53 >= 2 * 24 + 2 bits.
            assert_eq!(value(&pixel), (f64::from(pixel) / 255.0) as f32, "{pixel}");
            products += usize::from(value(&pixel) != f32::from(pixel) * (1.0 / 255.0));
        }
        assert_eq!(products, 126, "as the comment says");
    }
}
