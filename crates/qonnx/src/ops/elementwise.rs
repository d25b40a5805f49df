//! Functions of each element: of one tensor, of several, with repetition as in NumPy.

pub(super) mod arithmetic;
mod choice;
mod clip;
mod compare;
mod function;
mod legacy;
mod logic;
mod modulo;
mod pow;
mod prelu;
mod relatives;
pub(super) mod unary;
mod variadic;

use super::Table;

/// The operators by name.
pub(super) const OPERATORS: Table = &[
    ("Abs", unary::abs),
    ("Acos", function::acos),
    ("Acosh", function::acosh),
    ("Add", arithmetic::add),
    ("And", logic::and),
    ("Asin", function::asin),
    ("Asinh", function::asinh),
    ("Atan", function::atan),
    ("Atanh", function::atanh),
    ("Ceil", function::ceil),
    ("Celu", relatives::celu),
    ("Clip", clip::new),
    ("Cos", function::cos),
    ("Cosh", function::cosh),
    ("Div", arithmetic::div),
    ("Elu", relatives::elu),
    ("Equal", compare::equal),
    ("Erf", function::erf),
    ("Exp", function::exp),
    ("Floor", function::floor),
    ("Gelu", relatives::gelu),
    ("Greater", compare::greater),
    ("GreaterOrEqual", compare::greater_or_equal),
    ("HardSigmoid", relatives::hard_sigmoid),
    ("HardSwish", relatives::hard_swish),
    ("IsInf", logic::is_inf),
    ("IsNaN", logic::is_nan),
    ("LeakyRelu", relatives::leaky_relu),
    ("Less", compare::less),
    ("LessOrEqual", compare::less_or_equal),
    ("Log", function::log),
    ("Max", variadic::max),
    ("Mean", variadic::mean),
    ("Min", variadic::min),
    ("Mish", relatives::mish),
    ("Mod", modulo::new),
    ("Mul", arithmetic::mul),
    ("Neg", unary::neg),
    ("Not", logic::not),
    ("Or", logic::or),
    ("PRelu", prelu::new),
    ("Pow", pow::new),
    ("Reciprocal", function::reciprocal),
    ("Relu", unary::relu),
    ("Round", function::round),
    ("Selu", relatives::selu),
    ("Shrink", relatives::shrink),
    ("Sigmoid", function::sigmoid),
    ("Sign", unary::sign),
    ("Sin", function::sin),
    ("Sinh", function::sinh),
    ("Softplus", relatives::softplus),
    ("Softsign", relatives::softsign),
    ("Sqrt", function::sqrt),
    ("Sub", arithmetic::sub),
    ("Sum", variadic::sum),
    ("Swish", relatives::swish),
    ("Tan", function::tan),
    ("Tanh", function::tanh),
    ("ThresholdedRelu", relatives::thresholded_relu),
    ("Where", choice::new),
    ("Xor", logic::xor),
];
