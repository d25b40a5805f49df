//! Whole products out of tiles: which rows and columns are computed when, and by which thread.
//!
//! None of this shows in a result: each output has one accumulator, and the blocks of the inner dimension come in order.

use std::ops::Range;

use rayon::prelude::*;

use crate::isa::Level;
use crate::scratch;
use crate::tile::{self, COLUMNS, Finish, Inner, Operands, Output, ROWS, Segment, Start, Words};

/// Words of the inner dimension that are multiplied before the next block: a panel of them and the rows of a block share the L2 cache.
const DEPTH: usize = 2048;

/// Words of `a` in a block of rows.
const BLOCK: usize = 1 << 17;

/// Products of words that are worth a second thread.
const ALONE: usize = 3_000_000;

/// The left operand: `rows` rows, `row_step` apart, their words `step` apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Left<'a> {
    pub(crate) words: &'a [u32],
    pub(crate) rows: usize,
    pub(crate) row_step: usize,
    pub(crate) step: usize,
}

/// The right operand, by panels of 32 columns.
pub(crate) trait Panels: Sync {
    /// Columns in all.
    fn columns(&self) -> usize;

    /// The words `depth` of a panel, and how far apart they are, if they can be used where they lie.
    fn in_place(&self, panel: usize, depth: Range<usize>) -> Option<(&[u32], usize)>;

    /// Packs the words `depth` of a panel: for each, 32 columns side by side.
    fn pack(&self, panel: usize, depth: Range<usize>, packed: &mut [u32]);

    /// What the sums of a panel begin with, if not with zero; asked for once for each block of rows.
    fn start(&self, panel: usize) -> Option<[i32; COLUMNS]>;
}

/// Multiplies: `c = a b`, `depth` words a row.
pub(crate) fn multiply<P: Panels>(
    level: Level,
    words: Words,
    depth: usize,
    a: Left<'_>,
    b: &P,
    c: &mut [f32],
) {
    let columns = b.columns();
    if a.rows == 0 || columns == 0 {
        return;
    }
    let product = Product { level, words, depth, a, b, c: Output::new(c) };
    let panels = columns.div_ceil(COLUMNS);
    let threads = if a.rows * columns.next_multiple_of(16) * depth < ALONE {
        1
    } else {
        rayon::current_num_threads()
    };
    let block_rows = (BLOCK / depth.clamp(1, DEPTH)).next_multiple_of(ROWS);
    if a.rows <= block_rows
        && (threads == 1 || panels.is_multiple_of(threads) || panels > 4 * threads)
    {
        // Each panel is packed by the thread that uses it, just before.
        let rows = 0..a.rows;
        if threads == 1 {
            (0..panels).for_each(|panel| product.panel(panel, rows.clone()));
        } else {
            (0..panels).into_par_iter().for_each(|panel| product.panel(panel, rows.clone()));
        }
        return;
    }
    let tiles = a.rows.div_ceil(ROWS);
    let block_rows =
        if threads == 1 { block_rows } else { block_rows.min(tiles.div_ceil(2 * threads) * ROWS) };
    let blocks = a.rows.div_ceil(block_rows);
    let rows = |block: usize| block * block_rows..((block + 1) * block_rows).min(a.rows);
    let each = |count: usize, job: &(dyn Fn(usize) + Sync)| {
        if threads == 1 {
            (0..count).for_each(job);
        } else {
            (0..count).into_par_iter().for_each(job);
        }
    };
    for part in depths(depth) {
        let len = part.len() * COLUMNS;
        let is_packed = |panel: &usize| b.in_place(*panel, part.clone()).is_none();
        let to_pack: Vec<usize> = (0..panels).filter(is_packed).collect();
        scratch::with(to_pack.len() * len, |packed| {
            let packs: Vec<_> = to_pack.iter().zip(packed.chunks_mut(len.max(1))).collect();
            let pack = |(&panel, packed): (&usize, &mut [u32])| b.pack(panel, part.clone(), packed);
            if threads == 1 {
                packs.into_iter().for_each(pack);
            } else {
                packs.into_par_iter().for_each(pack);
            }
            let packed = &*packed;
            let places: Vec<(&[u32], usize)> = (0..panels)
                .map(|panel| match to_pack.binary_search(&panel) {
                    Ok(i) => (&packed[i * len..][..len], COLUMNS),
                    Err(_) => {
                        b.in_place(panel, part.clone()).expect("what is not packed lies in place")
                    }
                })
                .collect();
            each(blocks, &|block| {
                for (panel, &(words, step)) in places.iter().enumerate() {
                    product.tiles(panel, part.clone(), rows(block), words, step);
                }
            });
        });
    }
}

/// The blocks of the inner dimension; one empty block if there is nothing to add up.
fn depths(depth: usize) -> impl Iterator<Item = Range<usize>> {
    (0..depth.max(1)).step_by(DEPTH).map(move |start| start..(start + DEPTH).min(depth))
}

struct Product<'a, P> {
    level: Level,
    words: Words,
    depth: usize,
    a: Left<'a>,
    b: &'a P,
    c: Output<'a>,
}

impl<P: Panels> Product<'_, P> {
    /// All of one panel.
    fn panel(&self, panel: usize, rows: Range<usize>) {
        for part in depths(self.depth) {
            if let Some((words, step)) = self.b.in_place(panel, part.clone()) {
                self.tiles(panel, part, rows.clone(), words, step);
            } else {
                scratch::with(part.len() * COLUMNS, |packed| {
                    self.b.pack(panel, part.clone(), packed);
                    self.tiles(panel, part, rows.clone(), packed, COLUMNS);
                });
            }
        }
    }

    /// The tiles of some rows in one panel, over one block of the inner dimension.
    fn tiles(
        &self,
        panel: usize,
        depth: Range<usize>,
        rows: Range<usize>,
        b: &[u32],
        b_step: usize,
    ) {
        let segments = [Segment::default()];
        let inner = Inner::new(&segments, depth.len(), self.a.step, b_step);
        let operands = Operands { words: self.words, inner, a: self.a.words, b };
        let columns = (self.b.columns() - panel * COLUMNS).min(COLUMNS);
        let begin = if depth.start == 0 { self.b.start(panel) } else { None };
        let start = match &begin {
            _ if depth.start > 0 => Start::Sums,
            Some(columns) => Start::Columns(columns),
            None => Start::Zero,
        };
        let finish = if depth.end == self.depth { Finish::Float } else { Finish::Sums };
        let mut row = rows.start;
        while row < rows.end {
            let count = (rows.end - row).min(ROWS);
            let first = row * self.a.row_step + depth.start * self.a.step;
            let starts: [usize; ROWS] = std::array::from_fn(|i| first + i * self.a.row_step);
            let column = panel * COLUMNS;
            let outputs: [usize; ROWS] =
                std::array::from_fn(|i| (row + i) * self.b.columns() + column);
            // SAFETY: each tile is computed once for each block of the inner dimension, by one thread; blocks come one after another.
            let outputs = unsafe { self.c.rows(&outputs[..count]) };
            tile::multiply(
                self.level,
                &operands,
                &starts[..count],
                columns,
                start,
                finish,
                outputs,
            );
            row += count;
        }
    }
}
