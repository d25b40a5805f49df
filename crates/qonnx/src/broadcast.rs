//! NumPy's broadcasting: shapes, and passes over operands of different shapes.

use rayon::prelude::*;

/// The shape of a result, `None` if the operands do not fit.
pub(crate) fn broadcast_shape(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    (0..rank)
        .map(|axis| match (dim(a, axis, rank), dim(b, axis, rank)) {
            (a, b) if a == b => Some(a),
            (1, b) => Some(b),
            (a, 1) => Some(a),
            _ => None,
        })
        .collect()
}

/// The extent of `shape` along `axis` of a result of `rank` axes.
fn dim(shape: &[usize], axis: usize, rank: usize) -> usize {
    (axis + shape.len()).checked_sub(rank).map_or(1, |axis| shape[axis])
}

/// Strides of an operand over the axes of a result; 0 where it is repeated.
pub(crate) fn strides(shape: &[usize], result: &[usize]) -> Vec<usize> {
    let rank = result.len();
    let mut stride = 1;
    let mut strides = vec![0; rank];
    for axis in (0..rank).rev() {
        let dim = dim(shape, axis, rank);
        if dim != 1 {
            strides[axis] = stride;
        }
        stride *= dim;
    }
    strides
}

/// `f(a, b)` for each element of the result, whose shape is given.
pub(crate) fn zip<T, R>(
    (a, a_shape): (&[T], &[usize]),
    (b, b_shape): (&[T], &[usize]),
    result: &[usize],
    f: impl Fn(T, T) -> R + Sync,
) -> Vec<R>
where
    T: Copy + Send + Sync,
    R: Copy + Default + Send,
{
    let axes = collapse(result, &strides(a_shape, result), &strides(b_shape, result));
    let count: usize = result.iter().product();
    let mut out = vec![R::default(); count];
    if count == 0 {
        return out;
    }
    let (inner, outer) =
        axes.split_last().map_or((Axis::ONE, &[][..]), |(&axis, rest)| (axis, rest));
    let run = |start: usize, out: &mut [R]| {
        // A block may begin inside a run.
        let mut done = 0;
        while done < out.len() {
            let (row, column) = ((start + done) / inner.len, (start + done) % inner.len);
            let (a_row, b_row) = offsets(outer, row);
            let len = (inner.len - column).min(out.len() - done);
            let (a, b) = (&a[a_row + column * inner.a..], &b[b_row + column * inner.b..]);
            pass(&mut out[done..done + len], a, inner.a, b, inner.b, &f);
            done += len;
        }
    };
    if count >= PARALLEL {
        out.par_chunks_mut(BLOCK).enumerate().for_each(|(i, out)| run(i * BLOCK, out));
    } else {
        run(0, &mut out);
    }
    out
}

/// Elements per block of a pass on several threads.
pub(crate) const BLOCK: usize = 1 << 15;

/// From how many elements on a pass is worth several threads.
pub(crate) const PARALLEL: usize = 1 << 17;

/// One axis of the result and the strides of both operands over it.
#[derive(Clone, Copy)]
struct Axis {
    len: usize,
    a: usize,
    b: usize,
}

impl Axis {
    const ONE: Self = Self { len: 1, a: 0, b: 0 };
}

/// Joins axes over which both operands run on evenly.
fn collapse(result: &[usize], a: &[usize], b: &[usize]) -> Vec<Axis> {
    let mut axes: Vec<Axis> = Vec::new();
    for axis in 0..result.len() {
        let next = Axis { len: result[axis], a: a[axis], b: b[axis] };
        if next.len == 1 {
            continue;
        }
        match axes.last_mut() {
            Some(last) if last.a == next.a * next.len && last.b == next.b * next.len => {
                *last = Axis { len: last.len * next.len, ..next };
            }
            _ => axes.push(next),
        }
    }
    axes
}

/// Where row `row` of the outer axes begins in both operands.
fn offsets(outer: &[Axis], mut row: usize) -> (usize, usize) {
    let (mut a, mut b) = (0, 0);
    for axis in outer.iter().rev() {
        let index = row % axis.len;
        row /= axis.len;
        a += index * axis.a;
        b += index * axis.b;
    }
    (a, b)
}

fn pass<T: Copy, R>(
    out: &mut [R],
    a: &[T],
    a_stride: usize,
    b: &[T],
    b_stride: usize,
    f: &impl Fn(T, T) -> R,
) {
    match (a_stride, b_stride) {
        (1, 1) => out.iter_mut().zip(a).zip(b).for_each(|((out, &a), &b)| *out = f(a, b)),
        (1, 0) => {
            let b = b[0];
            out.iter_mut().zip(a).for_each(|(out, &a)| *out = f(a, b));
        }
        (0, 1) => {
            let a = a[0];
            out.iter_mut().zip(b).for_each(|(out, &b)| *out = f(a, b));
        }
        _ => {
            for (i, out) in out.iter_mut().enumerate() {
                *out = f(a[i * a_stride], b[i * b_stride]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Case<'a> = (&'a [usize], &'a [usize], Option<&'a [usize]>);

    #[test]
    fn shapes() {
        let cases: &[Case<'_>] = &[
            (&[], &[], Some(&[])),
            (&[2, 3], &[], Some(&[2, 3])),
            (&[2, 1, 4], &[3, 1], Some(&[2, 3, 4])),
            (&[0, 3], &[1, 3], Some(&[0, 3])),
            (&[2, 3], &[2], None),
        ];
        for (a, b, expected) in cases {
            assert_eq!(broadcast_shape(a, b).as_deref(), *expected, "{a:?} {b:?}");
            assert_eq!(broadcast_shape(b, a).as_deref(), *expected, "{b:?} {a:?}");
        }
    }

    #[test]
    fn every_layout_against_indices() {
        let shapes: &[(&[usize], &[usize])] = &[
            (&[2, 3, 4], &[2, 3, 4]),
            (&[2, 3, 4], &[]),
            (&[], &[2, 3, 4]),
            (&[2, 3, 4], &[3, 1]),
            (&[2, 3, 4], &[4]),
            (&[2, 1, 4], &[1, 3, 1]),
            (&[3, 1], &[2, 1, 5]),
            (&[1, 1], &[1]),
            (&[300, 1, 70], &[1, 9, 1]),
        ];
        for (a_shape, b_shape) in shapes {
            let values = |shape: &[usize], from: i64| -> Vec<i64> {
                (0..shape.iter().product::<usize>() as i64).map(|i| i + from).collect()
            };
            let (a, b) = (values(a_shape, 1), values(b_shape, 1000));
            let result = broadcast_shape(a_shape, b_shape).unwrap();
            let out = zip((&a, a_shape), (&b, b_shape), &result, |a, b| a * 1_000_000 + b);
            let (sa, sb) = (strides(a_shape, &result), strides(b_shape, &result));
            for (i, &out) in out.iter().enumerate() {
                let (mut rest, mut ia, mut ib) = (i, 0, 0);
                for axis in (0..result.len()).rev() {
                    let index = rest % result[axis];
                    rest /= result[axis];
                    ia += index * sa[axis];
                    ib += index * sb[axis];
                }
                assert_eq!(out, a[ia] * 1_000_000 + b[ib], "{a_shape:?} {b_shape:?} at {i}");
            }
        }
        assert!(zip((&[0i64; 0], &[0, 3]), (&[1, 2, 3], &[3]), &[0, 3], |a, b| a + b).is_empty());
    }
}
