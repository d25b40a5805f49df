//! Quantizers, additions and averages.

use super::super::certificate::Verdict;
use super::super::graph::Node;
use super::super::images::PendingSum;
use super::super::set::{Set, spanned};
use super::tensors::uneven_scale;
use super::{Fact, Walk, agreed};

impl Walk<'_> {
    /// Leaves a node for later: what follows decides what it comes to.
    pub(super) fn pend(&mut self, index: usize) {
        let node = &self.graph.nodes[index];
        let Some(tensor) = node.computed().next().map(str::to_owned) else { return };
        if node.computed().count() > 1 {
            node.computed().map(str::to_owned).collect::<Vec<_>>().iter().for_each(|tensor| {
                self.settled(tensor);
            });
            return self.know(node, Fact::any(node.output()));
        }
        let mut fact = self.fact(&tensor);
        if node.operator_name() == "BatchNormalization" && fact.sets.len() > 1 && fact.axis != 1 {
            fact = Fact { axis: 1, sets: vec![fact.together().into()], ..fact };
        }
        if fact.sets.len() == 1 && fact.pending.is_empty() {
            // Which axis the channels of a parameter lie along shows with the first one.
            fact.axis = usize::from(self.graph.shape(&fact.source).len() > 1);
        }
        fact.pending.push(index);
        self.know(node, fact);
    }

    /// A quantizer and what was left for later before it.
    pub(super) fn quantizer(&mut self, index: usize) {
        let graph = self.graph;
        let node = &graph.nodes[index];
        self.pend(index);
        let settled = self.settled(node.output());
        let uneven = uneven_scale(node.proto, |name| graph.model.constant(name).cloned());
        self.know(node, Fact { uneven, ..settled });
    }

    /// The sum or difference of two tensors: rounded at most once, and the same everywhere.
    pub(super) fn addition(&mut self, node: &Node<'_>) {
        let inputs: Vec<String> = node.computed().map(str::to_owned).collect();
        let [a, b] = [self.settled(&inputs[0]), self.settled(&inputs[1])];
        let subtracts = node.operator_name() == "Sub";
        let shapes = [self.graph.shape(&inputs[0]), self.graph.shape(&inputs[1])];
        let axis = a.axis.max(b.axis);
        let alike = shapes[0] == shapes[1];
        let (a_sets, b_sets) = if alike {
            (a.along(axis), b.along(axis))
        } else {
            (vec![a.together()], vec![b.together()])
        };
        let channels = a_sets.len().max(b_sets.len());
        let sets = (0..channels)
            .map(|c| plus(&a_sets[c % a_sets.len()], &b_sets[c % b_sets.len()], subtracts))
            .collect();
        self.layers.push(agreed(&node.name, node.operator_name()));
        let fact = Fact::new(node.output(), axis, sets);
        self.know(node, Fact { uneven: a.uneven.or(b.uneven), ..fact });
    }

    /// The mean of windows or of whole axes.
    pub(super) fn average(&mut self, node: &Node<'_>) {
        let Some(tensor) = node.computed().next().map(str::to_owned) else { return };
        let fact = self.settled(&tensor);
        let (shape, result) =
            (self.graph.shape(&tensor).to_vec(), self.graph.shape(node.output()).to_vec());
        let count = match node.operator_name() {
            "AveragePool" => {
                let padded = node.ints("pads").is_some_and(|pads| pads.iter().any(|&pad| pad != 0))
                    || node.proto.attribute("auto_pad").is_some()
                    || node.int("ceil_mode", 0) != 0;
                let extents = node.ints("kernel_shape").unwrap_or(&[]);
                (!padded).then(|| extents.iter().product::<i64>() as u64)
            }
            _ => {
                let elements = |shape: &[usize]| shape.iter().product::<usize>() as u64;
                elements(&shape).checked_div(elements(&result))
            }
        };
        let axis = fact.axis;
        let kept = shape.len() == result.len() && shape.get(axis) == result.get(axis);
        let sets = if kept { fact.along(axis) } else { vec![fact.together()] };
        let mut layer = agreed(&node.name, node.operator_name());
        let mut results = Vec::with_capacity(sets.len());
        for (channel, set) in sets.iter().enumerate() {
            let hull = Set::Interval(set.lowest(), set.highest());
            let sum = count.and_then(|count| set.lattice()?.times(count));
            match (count, sum) {
                (Some(count), Some(sum)) if count.is_power_of_two() => {
                    let exponent = sum.exponent - count.trailing_zeros() as i32;
                    let mean = spanned(exponent, sum.lowest, sum.highest(), sum.step);
                    results.push(mean.map_or(hull, Set::Multiples));
                }
                (Some(count), Some(_)) => {
                    self.conditions
                        .insert(format!("{} divides the finished sum by {count}", node.name));
                    results.push(hull);
                }
                _ => {
                    layer.verdict = Verdict::NotProvable;
                    let why = fact.uneven.clone().unwrap_or_else(|| match count {
                        None => "its windows are of different sizes".to_owned(),
                        Some(count) => format!(
                            "{count} values of channel {channel} may add up to more than 2^24 units"
                        ),
                    });
                    layer.reason = Some(format!("{why}: its sum depends on the order"));
                    results.push(hull);
                }
            }
        }
        if layer.verdict == Verdict::NotProvable && fact.uneven.is_none() {
            self.pend_average(node, &tensor, axis, &sets, count);
        }
        self.layers.push(layer);
        self.know(node, Fact { uneven: fact.uneven, ..Fact::new(node.output(), axis, results) });
    }

    /// Leaves the sums of windows to images, if the division is exact.
    fn pend_average(
        &mut self,
        node: &Node<'_>,
        tensor: &str,
        axis: usize,
        sets: &[Set],
        count: Option<u64>,
    ) {
        let Some(shift) = count.filter(|count| count.is_power_of_two()).map(u64::trailing_zeros)
        else {
            return;
        };
        let exponents: Option<Vec<i32>> =
            sets.iter().map(|set| Some(set.lattice()?.exponent - shift as i32)).collect();
        let index = self.graph.nodes.iter().position(|other| std::ptr::eq(other, node));
        let (Some(node), Some(exponents)) = (index, exponents) else { return };
        self.pending.push(PendingSum {
            layer: self.layers.len(),
            node,
            tensor: tensor.to_owned(),
            axis,
            weighted: false,
            exponents,
            largest: None,
        });
    }
}

/// All sums of two values, each rounded once.
fn plus(a: &Set, b: &Set, subtracts: bool) -> Set {
    let b = if subtracts { negated(b) } else { b.clone() };
    let exact = a.lattice().zip(b.lattice()).and_then(|(a, b)| a.plus(b));
    if let Some(sums) = exact {
        return Set::Multiples(sums);
    }
    if let (Set::List(a), Set::List(b)) = (a, &b)
        && a.len() * b.len() <= 1 << 16
    {
        return Set::list(a.iter().flat_map(|a| b.iter().map(move |b| a + b)).collect());
    }
    let clip = |v: f32| v.clamp(f32::MIN, f32::MAX);
    Set::Interval(clip(a.lowest() + b.lowest()), clip(a.highest() + b.highest()))
}

fn negated(set: &Set) -> Set {
    match set {
        Set::List(values) => Set::list(values.iter().map(|v| -v).collect()),
        Set::Interval(lowest, highest) => Set::Interval(-highest, -lowest),
        Set::Multiples(lattice) => {
            Set::Multiples(super::super::set::Lattice { lowest: -lattice.highest(), ..*lattice })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_two_sets() {
        let a = Set::List(vec![-1.0, 0.5]);
        let b = Set::List(vec![0.0, 3.0]);
        let sum = plus(&a, &b, false);
        assert_eq!((sum.lowest(), sum.highest(), sum.count()), (-1.0, 3.5, 4));
        let difference = plus(&a, &b, true);
        assert_eq!((difference.lowest(), difference.highest()), (-4.0, 0.5));
        let uneven = Set::List(vec![0.1, 0.3]);
        assert_eq!(plus(&b, &uneven, false), Set::List(vec![0.1, 0.3, 3.1, 3.3]));
        assert_eq!(plus(&Set::any(), &b, false), Set::any());
        assert_eq!(negated(&negated(&sum)), sum);
    }
}
