//! Axes: negative ones, and index arithmetic over them.

use crate::error::Fault;

/// An axis of a tensor of `rank` axes, counted from the end if negative.
pub(crate) fn axis(axis: i64, rank: usize, what: &str) -> Result<usize, Fault> {
    let signed = rank as i64;
    if (-signed..signed).contains(&axis) {
        return Ok((if axis < 0 { axis + signed } else { axis }) as usize);
    }
    Err(Fault::value(what, axis, format_args!("an axis of a tensor of rank {rank}")))
}

/// Several different axes of a tensor of `rank` axes.
pub(crate) fn distinct(axes: &[i64], rank: usize, what: &str) -> Result<Vec<usize>, Fault> {
    let mut found = Vec::with_capacity(axes.len());
    for &one in axes {
        let one = axis(one, rank, what)?;
        if found.contains(&one) {
            return Err(Fault::value(what, format_args!("{axes:?}"), "every axis once"));
        }
        found.push(one);
    }
    Ok(found)
}

/// A tensor seen along one axis: `outer` blocks of `len` runs of `inner` elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Along {
    pub(crate) outer: usize,
    pub(crate) len: usize,
    pub(crate) inner: usize,
}

impl Along {
    pub(crate) fn new(shape: &[usize], axis: usize) -> Self {
        Self {
            outer: shape[..axis].iter().product(),
            len: shape[axis],
            inner: shape[axis + 1..].iter().product(),
        }
    }

    /// Indices of the elements of one lane, ascending along the axis; lanes are counted over outer and inner elements.
    pub(crate) fn lane(self, lane: usize) -> impl Iterator<Item = usize> {
        let first = lane / self.inner * self.len * self.inner + lane % self.inner;
        (0..self.len).map(move |i| first + i * self.inner)
    }

    pub(crate) fn lanes(self) -> usize {
        self.outer * self.inner
    }
}

/// Row-major strides.
pub(crate) fn row_major(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}

/// Calls `f` with each index of a shape, the last axis fastest.
pub(crate) fn indices(shape: &[usize], mut f: impl FnMut(&[usize])) {
    if shape.contains(&0) {
        return;
    }
    let mut index = vec![0; shape.len()];
    loop {
        f(&index);
        let Some(axis) = (0..shape.len()).rev().find(|&axis| index[axis] + 1 < shape[axis]) else {
            return;
        };
        index[axis] += 1;
        index[axis + 1..].fill(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negative_axes() {
        assert_eq!(axis(-1, 3, "axis").unwrap(), 2);
        assert!(axis(3, 3, "axis").is_err());
        assert!(axis(i64::MIN, 3, "axis").is_err());
        assert!(distinct(&[0, -3], 3, "axes").is_err());
    }

    #[test]
    fn lanes_cover_everything_once() {
        let along = Along::new(&[2, 3, 4], 1);
        let mut seen: Vec<usize> = (0..along.lanes()).flat_map(|lane| along.lane(lane)).collect();
        assert_eq!(along.lane(5).collect::<Vec<_>>(), [13, 17, 21]);
        seen.sort_unstable();
        assert_eq!(seen, (0..24).collect::<Vec<_>>());
    }

    #[test]
    fn indices_in_order() {
        let mut seen = Vec::new();
        indices(&[2, 1, 2], |index| seen.push(index.to_vec()));
        assert_eq!(seen, [[0, 0, 0], [0, 0, 1], [1, 0, 0], [1, 0, 1]]);
        indices(&[2, 0], |_| panic!("no index"));
        let mut scalars = 0;
        indices(&[], |_| scalars += 1);
        assert_eq!(scalars, 1);
    }
}
