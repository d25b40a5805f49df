//! One result for all elements along some axes, or a ranking of them.

mod arg_max;
mod cumulative_sum;
mod reduce;
mod top_k;

use super::Table;

/// The operators by name.
pub(super) const OPERATORS: Table = &[
    ("ArgMax", arg_max::arg_max),
    ("ArgMin", arg_max::arg_min),
    ("CumSum", cumulative_sum::new),
    ("ReduceL1", reduce::l1),
    ("ReduceL2", reduce::l2),
    ("ReduceLogSum", reduce::log_sum),
    ("ReduceLogSumExp", reduce::log_sum_exp),
    ("ReduceMax", reduce::max),
    ("ReduceMean", reduce::mean),
    ("ReduceMin", reduce::min),
    ("ReduceProd", reduce::prod),
    ("ReduceSum", reduce::sum),
    ("ReduceSumSquare", reduce::sum_square),
    ("TopK", top_k::new),
];
