//! Losses with their gradients to the logits. Sums are in `f64`, in order.

/// Square hinge: the mean over all `N * C` of `max(0, 1 - p t)^2`, `t` being +1 at the label and -1 elsewhere.
///
/// Writes `dp = -2 t max(0, 1 - p t) / (N C)`, the gradient of the loss itself, and returns the loss.
///
/// # Shape
/// `logits`, `grad`: `[N, C]`, `labels`: `[N]`, each below `C`.
/// # Panics
/// If the lengths do not fit or a label is not below `C`.
/// # Examples
/// ```
/// let mut grad = [0.0; 6];
/// let loss = fewbit_kernels::loss::square_hinge(&[0.5, -2.0, 1.5, 2.0, 0.0, -1.0], &[0, 1], &mut grad);
/// assert_eq!(loss, 2.75);
/// assert_eq!(grad, [-0.16666667, 0.0, 0.8333333, 1.0, -0.33333334, 0.0]);
/// ```
pub fn square_hinge(logits: &[f32], labels: &[u8], grad: &mut [f32]) -> f32 {
    let classes = check(logits, labels, grad);
    let count = logits.len() as f32;
    let mut sum = 0.0_f64;
    for (i, (&p, grad)) in logits.iter().zip(grad).enumerate() {
        let t = if i % classes == usize::from(labels[i / classes]) { 1.0_f32 } else { -1.0 };
        let gap = 1.0 - p * t;
        let gap = if gap < 0.0 { 0.0 } else { gap };
        sum += f64::from(gap) * f64::from(gap);
        *grad = -2.0 * t * gap / count;
    }
    (sum / f64::from(count)) as f32
}

/// Cross entropy: the mean over the batch of `-sum(t log softmax(logits))`, where `t` is `1 - smoothing` at the label
/// and `smoothing / C` more everywhere.
///
/// Writes `dp = (softmax(p) - t) / N` and returns the loss. `exp` and `log` are computed in `f64`.
///
/// # Shape
/// `logits`, `grad`: `[N, C]`, `labels`: `[N]`, each below `C`.
/// # Panics
/// If the lengths do not fit or a label is not below `C`.
/// # Source
/// PyTorch `CrossEntropyLoss(label_smoothing=smoothing)`.
pub fn cross_entropy(logits: &[f32], labels: &[u8], smoothing: f64, grad: &mut [f32]) -> f32 {
    let classes = check(logits, labels, grad);
    let count = labels.len() as f64;
    let share = smoothing / classes as f64;
    let mut loss = 0.0_f64;
    for ((row, grad), &label) in
        logits.chunks_exact(classes).zip(grad.chunks_exact_mut(classes)).zip(labels)
    {
        let largest =
            f64::from(row.iter().fold(f32::NEG_INFINITY, |m, &p| if p > m { p } else { m }));
        let total: f64 = row.iter().map(|&p| (f64::from(p) - largest).exp()).sum();
        let own = total.ln() - (f64::from(row[usize::from(label)]) - largest);
        // Without smoothing the other classes play no part, even where their logits are infinite.
        loss += if smoothing == 0.0 {
            own
        } else {
            let of_class = |&p: &f32| total.ln() - (f64::from(p) - largest);
            let all: f64 = row.iter().map(of_class).sum();
            (1.0 - smoothing) * own + share * all
        };
        for (class, (grad, &p)) in grad.iter_mut().zip(row).enumerate() {
            let target = if class == usize::from(label) { 1.0 - smoothing + share } else { share };
            *grad = (((f64::from(p) - largest).exp() / total - target) / count) as f32;
        }
    }
    (loss / count) as f32
}

/// Number of classes.
fn check(logits: &[f32], labels: &[u8], grad: &[f32]) -> usize {
    assert_eq!(logits.len(), grad.len(), "logits and their gradient");
    assert!(
        !labels.is_empty() && !logits.is_empty() && logits.len().is_multiple_of(labels.len()),
        "{} logits for {} labels",
        logits.len(),
        labels.len()
    );
    let classes = logits.len() / labels.len();
    if let Some(label) = labels.iter().find(|&&l| usize::from(l) >= classes) {
        panic!("label {label} with {classes} classes");
    }
    classes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_are_central_differences() {
        let logits = [0.3_f32, -1.2, 2.0, 0.9, 0.0, -0.4, 1.1, 0.2];
        let labels = [2, 1];
        type Loss = fn(&[f32], &[u8], &mut [f32]) -> f32;
        let losses: [Loss; 4] = [
            square_hinge,
            |p, labels, grad| cross_entropy(p, labels, 0.0, grad),
            |p, labels, grad| cross_entropy(p, labels, 0.1, grad),
            |p, labels, grad| cross_entropy(p, labels, 1.0, grad),
        ];
        for loss in losses {
            let mut grad = [0.0; 8];
            loss(&logits, &labels, &mut grad);
            for i in 0..8 {
                let h = 1.0 / 256.0;
                let at = |step: f32| {
                    let mut moved = logits;
                    moved[i] += step;
                    f64::from(loss(&moved, &labels, &mut [0.0; 8]))
                };
                let expected = (at(h) - at(-h)) / f64::from(2.0 * h);
                assert!(
                    (f64::from(grad[i]) - expected).abs() < 1e-4,
                    "{i}: {} {expected}",
                    grad[i]
                );
            }
        }
    }

    #[test]
    fn cross_entropy_survives_large_logits() {
        let mut grad = [0.0; 3];
        assert_eq!(cross_entropy(&[1000.0, 0.0, -1000.0], &[0], 0.0, &mut grad), 0.0);
        assert_eq!(grad, [0.0; 3]);
        assert_eq!(cross_entropy(&[1000.0, 0.0, -1000.0], &[1], 0.0, &mut grad), 1000.0);
        assert_eq!(grad, [1.0, -1.0, 0.0]);
        assert!(cross_entropy(&[f32::NAN, 0.0], &[0], 0.0, &mut [0.0; 2]).is_nan());
    }

    /// Computed with PyTorch 2.8.0: `CrossEntropyLoss(label_smoothing=0.1)`.
    #[test]
    fn smoothing_is_pytorchs() {
        let logits = [0.5_f32, -2.0, 1.5, 2.0, 0.0, -1.0];
        let mut grad = [0.0; 6];
        let loss = cross_entropy(&logits, &[0, 1], 0.1, &mut grad);
        assert!((loss - PYTORCH_LOSS).abs() < 2e-7, "{loss}");
        for (own, pytorchs) in grad.iter().zip(PYTORCH_GRADIENT) {
            assert!((own - pytorchs).abs() < 6e-8, "{own} {pytorchs}");
        }
    }

    const PYTORCH_LOSS: f32 = 1.7608051;
    const PYTORCH_GRADIENT: [f32; 6] =
        [-0.3351004, -0.005867052, 0.34096748, 0.40523067, -0.40956908, 0.004338365];
}
