//! Products of matrices whose elements are no `f32`: sums in order, integers wrap around.

use crate::broadcast::{broadcast_shape, strides};
use crate::error::Fault;
use crate::ops::{Context, axes, one};
use crate::tensor::Tensor;
use crate::value::Data;

/// The product of the last two axes, repeated over those before; both operands have two axes or more.
pub(super) fn matmul(
    a: &Tensor,
    (a_shape, b_shape): (&[usize], &[usize]),
    b: &Tensor,
    context: &Context,
) -> Result<Vec<Tensor>, Fault> {
    let ([a_outer @ .., n, k], [b_outer @ .., rows, m]) = (a_shape, b_shape) else {
        return Err(Fault::shape("input 0 (A)", a.shape(), "two axes or more"));
    };
    let outer = broadcast_shape(a_outer, b_outer).filter(|_| k == rows).ok_or_else(|| {
        let expected = format!("a shape that can be multiplied with {a_shape:?}");
        Fault::shape("input 1 (B)", b.shape(), expected)
    })?;
    let (n, k, m) = (*n, *k, *m);
    let shape = [&outer[..], &[n, m]].concat();
    context.check_size(&shape)?;
    let (a_steps, b_steps) = (strides(a_outer, &outer), strides(b_outer, &outer));
    macro_rules! by_type {
        ($($variant:ident $add:expr, $multiply:expr;)*) => {
            match (a.value().data(), b.value().data()) {
                $((Data::$variant(x), Data::$variant(w)) => {
                    let mut y = Vec::with_capacity(shape.iter().product());
                    axes::indices(&outer, |index| {
                        let place = |steps: &[usize]| {
                            index.iter().zip(steps).map(|(i, step)| i * step).sum::<usize>()
                        };
                        let x = &x[place(&a_steps) * n * k..][..n * k];
                        let w = &w[place(&b_steps) * k * m..][..k * m];
                        for row in 0..n {
                            let mut sums = vec![Default::default(); m];
                            for (i, &v) in x[row * k..][..k].iter().enumerate() {
                                let pairs = sums.iter_mut().zip(&w[i * m..][..m]);
                                pairs.for_each(|(sum, &w)| *sum = $add(*sum, $multiply(v, w)));
                            }
                            y.extend(sums);
                        }
                    });
                    Data::from(y)
                })*
                (x, w) if x.dtype() == w.dtype() => {
                    return Err(Fault::unsupported(format_args!("an input of type {}", x.dtype())));
                }
                (x, w) => return Err(Fault::dtype("input 1 (B)", w.dtype(), x.dtype())),
            }
        };
    }
    let data = by_type! {
        F64 |a: f64, b| a + b, |a: f64, b| a * b;
        I32 i32::wrapping_add, i32::wrapping_mul;
        I64 i64::wrapping_add, i64::wrapping_mul;
        U32 u32::wrapping_add, u32::wrapping_mul;
        U64 u64::wrapping_add, u64::wrapping_mul;
    };
    Ok(one(shape, data))
}
