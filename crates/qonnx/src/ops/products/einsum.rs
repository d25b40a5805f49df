//! Einsum.

use crate::attributes::Attributes;
use crate::error::Fault;
use crate::ops::{Context, Input, Inputs, Operator, axes, one};
use crate::tensor::Tensor;
use crate::value::Data;

/// Sums of products over the indices that the equation does not give to the result: in f64, rounded once.
#[derive(Debug)]
struct Einsum {
    /// The indices of each operand; the dots are one index, [`DOTS`].
    operands: Vec<Vec<char>>,
    result: Vec<char>,
}

/// Stands for all axes that an ellipsis covers.
const DOTS: char = '.';

pub(crate) fn new(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    let equation =
        attributes.string("equation")?.ok_or_else(|| Fault::missing("attribute \"equation\""))?;
    let parsed = parse(equation);
    let fault = || {
        let expected = "terms of letters and dots with commas between them, and an arrow";
        Fault::value("attribute \"equation\"", format_args!("{equation:?}"), expected)
    };
    let (operands, result) = parsed.ok_or_else(fault)?;
    Ok(Box::new(Einsum { operands, result }))
}

fn parse(equation: &str) -> Option<(Vec<Vec<char>>, Vec<char>)> {
    let plain: String = equation.chars().filter(|c| !c.is_whitespace()).collect();
    let plain = plain.replace("...", ".");
    let (left, right) = match plain.split_once("->") {
        Some((left, right)) => (left, Some(right)),
        None => (plain.as_str(), None),
    };
    let fits = |term: &str| {
        term.chars().all(|c| c.is_ascii_alphabetic() || c == DOTS)
            && term.matches(DOTS).count() <= 1
    };
    let terms: Vec<&str> = left.split(',').collect();
    if !terms.iter().all(|term| fits(term)) {
        return None;
    }
    let operands: Vec<Vec<char>> = terms.iter().map(|term| term.chars().collect()).collect();
    let all = || operands.iter().flatten().copied();
    let result: Vec<char> = match right {
        Some(right) => {
            let result: Vec<char> = right.chars().collect();
            let known = result.iter().all(|&c| c == DOTS || all().any(|other| other == c));
            let once = (1..result.len()).all(|i| !result[..i].contains(&result[i]));
            if !fits(right) || !known || !once {
                return None;
            }
            result
        }
        // Every index that is there once, in alphabetical order behind the dots.
        None => {
            let mut single: Vec<char> =
                all().filter(|&c| c != DOTS && all().filter(|&o| o == c).count() == 1).collect();
            single.sort_unstable();
            all().find(|&c| c == DOTS).into_iter().chain(single).collect()
        }
    };
    Some((operands, result))
}

/// An index: a letter, or one of the axes under the dots, counted from the last.
type Label = (char, usize);

impl Einsum {
    /// The indices of an operand of this rank, axis by axis.
    fn labels(term: &[char], rank: usize) -> Option<Vec<Label>> {
        let letters = term.iter().filter(|&&c| c != DOTS).count();
        let covered = rank.checked_sub(letters)?;
        if covered > 0 && !term.contains(&DOTS) {
            return None;
        }
        let mut labels = Vec::with_capacity(rank);
        for &c in term {
            if c == DOTS {
                labels.extend((0..covered).rev().map(|i| (DOTS, i)));
            } else {
                labels.push((c, 0));
            }
        }
        Some(labels)
    }
}

impl Operator for Einsum {
    fn run(&self, inputs: &mut Inputs, context: &Context) -> Result<Vec<Tensor>, Fault> {
        if inputs.count() != self.operands.len() {
            let found = inputs.count();
            let expected = self.operands.len();
            return Err(Fault::Malformed(format!("there are {found} inputs, expected {expected}")));
        }
        let mut extents: Vec<(Label, usize)> = Vec::new();
        let mut operands = Vec::with_capacity(inputs.count());
        let mut wide = false;
        let mut covered = 0;
        for (i, term) in self.operands.iter().enumerate() {
            let tensor = inputs.take(i, "Inputs")?;
            let what = format!("input {i}");
            let misfit = |expected: String| Fault::shape(&what, tensor.shape(), expected);
            let labels = Self::labels(term, tensor.shape().len())
                .ok_or_else(|| misfit("as many axes as the equation says".to_owned()))?;
            covered = covered.max(labels.iter().filter(|(c, _)| *c == DOTS).count());
            for (&label, &extent) in labels.iter().zip(tensor.shape()) {
                match extents.iter_mut().find(|(known, _)| *known == label) {
                    Some((_, known)) if *known == extent || extent == 1 => {}
                    Some((_, known)) if *known == 1 => *known = extent,
                    Some((_, known)) => {
                        let expected = format!("extent {known} at {:?}", label.0);
                        return Err(misfit(expected));
                    }
                    None => extents.push((label, extent)),
                }
            }
            let values: Vec<f64> = match tensor.value().data() {
                Data::F32(values) => values.iter().map(|&v| v.into()).collect(),
                Data::F64(values) => {
                    wide = true;
                    values.to_vec()
                }
                _ => {
                    let what = format_args!("an input of type {}", tensor.dtype());
                    return Err(Fault::unsupported(what));
                }
            };
            operands.push((values, labels, tensor.shape().to_vec()));
        }
        let mut order: Vec<Label> = Vec::new();
        for &c in &self.result {
            if c == DOTS {
                order.extend((0..covered).rev().map(|i| (DOTS, i)));
            } else {
                order.push((c, 0));
            }
        }
        let results = order.len();
        order.extend(extents.iter().map(|(label, _)| *label));
        let mut seen = Vec::new();
        order.retain(|label| {
            !seen.contains(label) && {
                seen.push(*label);
                true
            }
        });
        let extent = |label: &Label| {
            extents.iter().find(|(known, _)| known == label).map_or(1, |(_, extent)| *extent)
        };
        let space: Vec<usize> = order.iter().map(extent).collect();
        // The work, too, has to be in proportion.
        context.check_size(&space)?;
        let steps: Vec<Vec<usize>> = operands
            .iter()
            .map(|(_, labels, shape)| {
                let strides = axes::row_major(shape);
                let step = |label: &Label| {
                    let own = labels.iter().zip(shape).zip(&strides);
                    own.filter(|((own, extent), _)| *own == label && **extent != 1)
                        .map(|(_, stride)| stride)
                        .sum()
                };
                order.iter().map(step).collect()
            })
            .collect();
        let shape = space[..results].to_vec();
        let mut sums = vec![0.0f64; shape.iter().product()];
        let per_result: usize = space[results..].iter().product();
        let mut next = 0;
        axes::indices(&space, |index| {
            let mut product = 1.0;
            for ((values, ..), steps) in operands.iter().zip(&steps) {
                let place: usize = index.iter().zip(steps).map(|(i, step)| i * step).sum();
                product *= values[place];
            }
            sums[next / per_result] += product;
            next += 1;
        });
        Ok(if wide {
            one(shape, sums)
        } else {
            one(shape, sums.into_iter().map(|sum| sum as f32).collect::<Vec<_>>())
        })
    }

    fn keeps_batch(&self, _: &[Input<'_>], _: &[usize]) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equations() {
        let result = |equation| parse(equation).map(|(_, result)| String::from_iter(result));
        assert_eq!(result("ij, jk -> ik").as_deref(), Some("ik"));
        assert_eq!(result("ij,jk").as_deref(), Some("ik"));
        assert_eq!(result("...ii").as_deref(), Some("."));
        assert_eq!(result("i,j->").as_deref(), Some(""));
        for wrong in ["ij->k", "i......->i", "i1->i", "ij->ii", "ij->i->j"] {
            assert_eq!(result(wrong), None, "{wrong}");
        }
        assert_eq!(Einsum::labels(&['i', 'j'], 3), None);
        assert_eq!(Einsum::labels(&['.', 'j'], 3).unwrap(), [('.', 1), ('.', 0), ('j', 0)]);
    }
}
