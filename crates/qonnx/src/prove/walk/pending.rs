//! Nodes that are still to be applied to a tensor.

use std::sync::Arc;

/// A list of nodes that shares all but its last one with the list of the tensor before: chains can be long.
#[derive(Clone, Default)]
pub(in super::super) struct Pending {
    last: Option<Arc<Step>>,
}

struct Step {
    node: usize,
    before: Option<Arc<Step>>,
}

impl Pending {
    /// One node.
    pub(super) fn of(node: usize) -> Self {
        Self { last: Some(Arc::new(Step { node, before: None })) }
    }

    pub(super) fn push(&mut self, node: usize) {
        self.last = Some(Arc::new(Step { node, before: self.last.take() }));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.last.is_none()
    }

    /// The nodes, the first one first.
    pub(in super::super) fn to_vec(&self) -> Vec<usize> {
        let steps = std::iter::successors(self.last.as_deref(), |step| step.before.as_deref());
        let mut nodes: Vec<usize> = steps.map(|step| step.node).collect();
        nodes.reverse();
        nodes
    }
}

impl Drop for Step {
    /// Without recursion, which a long chain would exhaust the stack with.
    fn drop(&mut self) {
        let mut next = self.before.take();
        while let Some(step) = next {
            next = Arc::into_inner(step).and_then(|mut step| step.before.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_chains_share_their_beginning() {
        let mut all = vec![Pending::default()];
        for node in 0..200_000 {
            let mut next = all[node].clone();
            next.push(node);
            all.push(next);
        }
        assert_eq!(all[3].to_vec(), [0, 1, 2]);
        let last = all.pop().unwrap();
        drop(all);
        assert_eq!(last.to_vec().len(), 200_000);
        assert!(!last.is_empty() && Pending::default().is_empty());
    }
}
