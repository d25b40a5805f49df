//! Relatives of Relu and of the logistic function, each with its parameters: in f64, rounded once.

use super::function::of;
use crate::attributes::Attributes;
use crate::error::Fault;
use crate::ops::Operator;

type Made = Result<Box<dyn Operator>, Fault>;

/// A parameter as the `f32` that it is.
fn parameter(
    attributes: &mut Attributes<'_>,
    name: &'static str,
    default: f32,
) -> Result<f64, Fault> {
    if attributes.version() < 6 {
        attributes.ignore("consumed_inputs");
    }
    Ok(f64::from(attributes.float(name)?.unwrap_or(default)))
}

/// `max(0, x) + min(0, alpha * (exp(x / alpha) - 1))`
pub(crate) fn celu(attributes: &mut Attributes<'_>) -> Made {
    let alpha = parameter(attributes, "alpha", 1.0)?;
    of(move |x| if x > 0.0 { x } else { alpha * (x / alpha).exp_m1() })
}

/// `x`, below 0 `alpha * (exp(x) - 1)`
pub(crate) fn elu(attributes: &mut Attributes<'_>) -> Made {
    let alpha = parameter(attributes, "alpha", 1.0)?;
    of(move |x| if x < 0.0 { alpha * x.exp_m1() } else { x })
}

/// `x * (1 + erf(x / sqrt(2))) / 2`, or its approximation by a hyperbolic tangent.
pub(crate) fn gelu(attributes: &mut Attributes<'_>) -> Made {
    match attributes.string("approximate")? {
        None | Some("none") => {
            of(|x| 0.5 * x * (1.0 + libm::erf(x * std::f64::consts::FRAC_1_SQRT_2)))
        }
        Some("tanh") => {
            let factor = (2.0 / std::f64::consts::PI).sqrt();
            of(move |x| 0.5 * x * (1.0 + (factor * (x + 0.044715 * x * x * x)).tanh()))
        }
        Some(other) => {
            let found = format_args!("{other:?}");
            Err(Fault::value("attribute \"approximate\"", found, "none or tanh"))
        }
    }
}

/// `max(0, min(1, alpha * x + beta))`
pub(crate) fn hard_sigmoid(attributes: &mut Attributes<'_>) -> Made {
    let alpha = parameter(attributes, "alpha", 0.2)?;
    let beta = parameter(attributes, "beta", 0.5)?;
    of(move |x| (alpha * x + beta).clamp(0.0, 1.0))
}

/// `x * max(0, min(1, x / 6 + 1 / 2))`
pub(crate) fn hard_swish(_: &mut Attributes<'_>) -> Made {
    of(|x| x * (x / 6.0 + 0.5).clamp(0.0, 1.0))
}

/// `x`, below 0 `alpha * x`
pub(crate) fn leaky_relu(attributes: &mut Attributes<'_>) -> Made {
    let alpha = parameter(attributes, "alpha", 0.01)?;
    of(move |x| if x < 0.0 { alpha * x } else { x })
}

/// `x * tanh(log(1 + exp(x)))`
pub(crate) fn mish(_: &mut Attributes<'_>) -> Made {
    of(|x| x * log_of_one_and_exp(x).tanh())
}

/// `gamma * x`, below 0 `gamma * alpha * (exp(x) - 1)`
pub(crate) fn selu(attributes: &mut Attributes<'_>) -> Made {
    let (alpha, gamma) = if attributes.version() < 6 {
        (parameter(attributes, "alpha", 1.6732)?, parameter(attributes, "gamma", 1.0507)?)
    } else {
        (parameter(attributes, "alpha", 1.673_263_2)?, parameter(attributes, "gamma", 1.050_701)?)
    };
    of(move |x| if x > 0.0 { gamma * x } else { gamma * alpha * x.exp_m1() })
}

/// `x + bias` below `-lambd`, `x - bias` above `lambd`, 0 between
pub(crate) fn shrink(attributes: &mut Attributes<'_>) -> Made {
    let bias = parameter(attributes, "bias", 0.0)?;
    let limit = parameter(attributes, "lambd", 0.5)?;
    of(move |x| match x {
        _ if x < -limit => x + bias,
        _ if x > limit => x - bias,
        _ if x.is_nan() => x,
        _ => 0.0,
    })
}

/// `log(1 + exp(x))`
pub(crate) fn softplus(_: &mut Attributes<'_>) -> Made {
    of(log_of_one_and_exp)
}

/// `x / (1 + |x|)`
pub(crate) fn softsign(_: &mut Attributes<'_>) -> Made {
    of(|x| x / (1.0 + x.abs()))
}

/// `x / (1 + exp(-alpha * x))`
pub(crate) fn swish(attributes: &mut Attributes<'_>) -> Made {
    let alpha = parameter(attributes, "alpha", 1.0)?;
    of(move |x| x / (1.0 + (-alpha * x).exp()))
}

/// `x` above `alpha`, else 0
pub(crate) fn thresholded_relu(attributes: &mut Attributes<'_>) -> Made {
    let alpha = parameter(attributes, "alpha", 1.0)?;
    of(move |x| if x > alpha || x.is_nan() { x } else { 0.0 })
}

/// Without an overflow where `x` is large.
fn log_of_one_and_exp(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use fewbit_onnx::builder::{GraphBuilder, Node};

    use crate::{Model, Options, Value};

    fn run(operator: &str, x: [f32; 4]) -> Vec<f32> {
        let mut graph = GraphBuilder::new("g");
        graph.input("x", &[4]).unwrap();
        graph.add(Node::standard("a", operator).inputs(["x"]).output("y", &[4])).unwrap();
        graph.output("y").unwrap();
        let model = graph.finish("p", "1").unwrap();
        let model = Model::from_proto(&model, Options::default()).unwrap();
        let outputs = model.run(&[("x", Value::new(vec![4], x.to_vec()).unwrap())], &[]).unwrap();
        outputs.first().as_slice::<f32>().unwrap().to_vec()
    }

    #[test]
    fn defaults_by_hand() {
        assert_eq!(run("LeakyRelu", [-100.0, -0.0, 2.0, 1e30]), [-1.0, -0.0, 2.0, 1e30]);
        assert_eq!(run("HardSigmoid", [-5.0, 0.0, 1.0, 9.0]), [0.0, 0.5, 0.7, 1.0]);
        assert_eq!(run("Softsign", [-1.0, 0.0, 3.0, -3.0]), [-0.5, 0.0, 0.75, -0.75]);
        assert_eq!(run("Elu", [f32::NEG_INFINITY, 0.0, 3.0, 0.5]), [-1.0, 0.0, 3.0, 0.5]);
        let softplus = run("Softplus", [-1e4, 0.0, 1e4, f32::NAN]);
        assert_eq!(softplus[..3], [0.0, std::f32::consts::LN_2, 1e4]);
        assert!(softplus[3].is_nan());
    }
}
