//! The same computations, with either of the two libraries and on any device.

/// Everything that is computed, written once and compiled for each library.
macro_rules! computations {
    ($nn:ident) => {
        use $nn::config::{Architecture, NetworkConfig};
        use $nn::network::{Clipping, Network, Pass};
        use $nn::ops::{self, MinifloatGradient, Outside, Quantized, Rule, Statistic, Window};
        use $nn::quantizer::Restriction;
        use $nn::{Device, Tensor};

        use fewbit_formats::{CounterRng, Format, IntegerFormat, RoundingMode};

        use crate::agreement::{Agreement, Computed};
        use crate::computations::Training;

        /// Numbers from -2.5 to 2.5; every eighth is a multiple of a quarter, where ties are.
        fn numbers(stream: u64, len: usize) -> Vec<f32> {
            let mut values = vec![0.0; len];
            CounterRng::new(20, stream).fill_uniform(0, &mut values);
            let spread = values.into_iter().map(|v| 5.0 * v - 2.5).enumerate();
            spread
                .map(|(i, v)| if i % 8 == 3 { (4.0 * v).round_ties_even() / 4.0 } else { v })
                .collect()
        }

        fn tensor(stream: u64, shape: &[usize], device: &Device) -> Tensor {
            Tensor::from_vec(numbers(stream, shape.iter().product()), shape, device)
        }

        /// The output of `f` and, for a sum of it with weights, the gradients of its inputs.
        fn computed(
            name: impl Into<String>,
            agreement: Agreement,
            inputs: Vec<Tensor>,
            f: impl Fn(&[Tensor]) -> Tensor,
        ) -> Computed {
            let leaves: Vec<Tensor> = inputs.into_iter().map(Tensor::with_grad).collect();
            let output = f(&leaves);
            let mut tensors = vec![output.to_vec()];
            let upstream = tensor(77, &output.shape(), &output.device());
            let gradients = output.mul(&upstream).sum().backward();
            for leaf in &leaves {
                tensors.push(gradients.of(leaf).map_or_else(Vec::new, |g| g.to_vec()));
            }
            Computed { name: name.into(), tensors, agreement }
        }

        /// Every operation, with its gradients.
        pub fn operations(device: &Device) -> Vec<Computed> {
            let mut all = quantizers(device);
            all.extend(layers(device));
            all.extend(norms(device));
            all.extend(scales(device));
            all.extend(losses(device));
            all.extend(optimizers(device));
            all
        }

        fn rules() -> Vec<(String, Rule)> {
            let mut rules = vec![];
            for name in ["e4m3", "e3m1", "e5m2", "e2m0", "ue4m3", "e8m7"] {
                let Ok(Format::Float(format)) = name.parse() else {
                    panic!("{name} is a minifloat")
                };
                for gradient in [MinifloatGradient::Brevitas, MinifloatGradient::Ste] {
                    rules.push((
                        format!("{name} {gradient:?}"),
                        Rule::Minifloat { format, gradient },
                    ));
                }
            }
            for outside in [Outside::Pass, Outside::Block] {
                for name in ["int2-narrow", "int4", "uint4", "int8"] {
                    let format: IntegerFormat = name.parse().unwrap();
                    rules.push((format!("{name} {outside:?}"), Rule::integer(format, outside)));
                }
                rules.push((format!("bipolar {outside:?}"), Rule::Bipolar { outside }));
            }
            rules.push(("ternary".to_owned(), Rule::Ternary { threshold: 0.5 }));
            rules
        }

        fn quantizers(device: &Device) -> Vec<Computed> {
            let shape = [3, 5, 2, 7];
            let mut all = vec![];
            for (name, rule) in rules() {
                // Down to the subnormals of e3m1, and beyond the range of int2.
                for scale in [1.0, 0.37, 0.25, 7.0] {
                    let name = format!("fake_quantize {name}, scale {scale}");
                    let inputs = vec![tensor(1, &shape, device)];
                    all.push(computed(name, Agreement::Exact, inputs, |inputs| {
                        ops::fake_quantize(inputs[0].clone(), scale, rule)
                    }));
                }
                for (kind, scale_shape) in [("one", vec![1]), ("channels", vec![1, 5, 1, 1])] {
                    let name = format!("fake_quantize_scaled {name}, {kind}");
                    let len = scale_shape.iter().product();
                    let scale = numbers(2, len).iter().map(|v| 0.1 + v.abs()).collect();
                    let scale = Tensor::from_vec(scale, &scale_shape, device);
                    let inputs = vec![tensor(1, &shape, device), scale];
                    all.push(computed(name, Agreement::ExactOutput, inputs, |inputs| {
                        ops::fake_quantize_scaled(inputs[0].clone(), &inputs[1], rule)
                    }));
                }
            }
            all
        }

        fn layers(device: &Device) -> Vec<Computed> {
            let plain = |x: &Tensor| Quantized::plain(x.clone());
            let mut all = vec![];
            let image = || tensor(3, &[2, 3, 7, 6], device);
            all.push(computed("relu", Agreement::Exact, vec![image()], |x| {
                ops::relu(x[0].clone())
            }));
            all.push(computed("scale_shift", Agreement::Exact, vec![image()], |x| {
                ops::scale_shift(x[0].clone(), 2.0, -1.0)
            }));
            let inputs = || vec![tensor(4, &[6, 50], device), tensor(5, &[9, 50], device)];
            all.push(computed("linear", Agreement::Sums, inputs(), |t| {
                ops::linear(&plain(&t[0]), &plain(&t[1]), None).unwrap()
            }));
            let mut inputs = inputs();
            inputs.push(tensor(6, &[9], device));
            all.push(computed("linear with bias", Agreement::Sums, inputs, |t| {
                ops::linear(&plain(&t[0]), &plain(&t[1]), Some(&t[2])).unwrap()
            }));
            for (size, stride, padding) in [(3, 1, 1), (3, 2, 1), (3, 1, 0), (1, 2, 0)] {
                let window = Window { stride, padding };
                let inputs = vec![image(), tensor(7, &[4, 3, size, size], device)];
                let name = format!("conv2d {size}x{size}, stride {stride}, padding {padding}");
                all.push(computed(name, Agreement::Sums, inputs, |t| {
                    ops::conv2d(&plain(&t[0]), &plain(&t[1]), window).unwrap()
                }));
            }
            // Few values, so that windows have several largest ones.
            let ties = || {
                let values =
                    numbers(8, 2 * 3 * 7 * 6).iter().map(|v| v.round_ties_even()).collect();
                vec![Tensor::from_vec(values, &[2, 3, 7, 6], device)]
            };
            for size in [2, 3] {
                all.push(computed(format!("max_pool {size}"), Agreement::Exact, ties(), |x| {
                    ops::max_pool(&plain(&x[0]), size).unwrap().value
                }));
                let name = format!("average_pool {size}");
                all.push(computed(name, Agreement::Sums, vec![image()], |x| {
                    ops::average_pool(&x[0], size).unwrap()
                }));
            }
            all.push(computed("dropout", Agreement::Exact, vec![image()], |x| {
                ops::dropout(&plain(&x[0]), 0.3, 5, 9).value
            }));
            for rounding_mode in [RoundingMode::Floor, RoundingMode::HalfEven] {
                let (scale, divisor) = (0.125, 4.0);
                let truncation =
                    ops::Truncation { scale, divisor, rounding_mode, min: -3.0, max: 3.0 };
                let name = format!("truncate {rounding_mode:?}");
                all.push(computed(name, Agreement::Exact, vec![image()], |x| {
                    ops::truncate(x[0].clone(), truncation)
                }));
                let name = format!("truncate_scaled {rounding_mode:?}");
                let inputs = vec![image(), Tensor::full(scale, &[1], device)];
                all.push(computed(name, Agreement::Exact, inputs, |x| {
                    ops::truncate_scaled(x[0].clone(), &x[1], truncation)
                }));
            }
            all
        }

        fn norms(device: &Device) -> Vec<Computed> {
            let image = || tensor(9, &[4, 3, 5, 2], device);
            let pair = |channels: usize| {
                [tensor(10, &[channels], device), tensor(11, &[channels], device)]
            };
            let positive = |channels: usize| {
                let values = numbers(12, channels).iter().map(|v| v.abs() + 0.1).collect();
                Tensor::from_vec(values, &[channels], device)
            };
            let inputs = |channels| {
                let [weight, bias] = pair(channels);
                vec![image(), weight, bias]
            };
            let mut all = vec![];
            for output in 0..3 {
                let name = format!("batch_norm_training, output {output}");
                all.push(computed(name, Agreement::Sums, inputs(3), |t| {
                    let found = ops::batch_norm_training(t[0].clone(), &t[1], &t[2], 1e-5).unwrap();
                    let statistics = found.statistics;
                    // Statistics are outside of the graph: the sum keeps them in it.
                    let with = |s: Tensor| t[1].clone().mul_scalar(0.0).add(&s);
                    match output {
                        0 => found.value,
                        1 => with(statistics.mean),
                        _ => with(statistics.variance),
                    }
                }));
            }
            all.push(computed("batch_norm_inference", Agreement::Sums, inputs(3), |t| {
                let (mean, variance) = (tensor(13, &[3], device), positive(3));
                let (weight, bias) = (&t[1], &t[2]);
                let affine =
                    ops::Affine { weight, bias, mean: &mean, variance: &variance, eps: 1e-5 };
                ops::batch_norm_inference(t[0].clone(), affine, ops::Formula::TwoRoundings).unwrap()
            }));
            all.push(computed("tensor_norm_training", Agreement::Sums, inputs(1), |t| {
                ops::tensor_norm_training(t[0].clone(), &t[1], &t[2], 1e-4).unwrap().value
            }));
            all.push(computed("tensor_norm_inference", Agreement::Sums, inputs(1), |t| {
                let (mean, variance) = (tensor(14, &[1], device), positive(1));
                let (weight, bias) = (&t[1], &t[2]);
                let affine =
                    ops::Affine { weight, bias, mean: &mean, variance: &variance, eps: 1e-4 };
                ops::tensor_norm_inference(t[0].clone(), affine).unwrap()
            }));
            all
        }

        fn scales(device: &Device) -> Vec<Computed> {
            let mut all = vec![];
            // Several elements have the largest magnitude.
            let weight = || {
                let values =
                    numbers(15, 4 * 3 * 5).iter().map(|v| (v * 2.0).round_ties_even()).collect();
                vec![Tensor::from_vec(values, &[4, 3, 5], device)]
            };
            for magnitude in [Statistic::AbsMax, Statistic::AbsPercentile(80.0)] {
                let name = format!("statistic {magnitude:?}");
                all.push(computed(name, Agreement::Exact, weight(), |x| {
                    ops::statistic(&x[0], magnitude)
                }));
            }
            for channel in 0..3 {
                let name = format!("channel_absmax of dimension {channel}");
                all.push(computed(name, Agreement::Exact, weight(), |x| {
                    ops::channel_absmax(&x[0], channel)
                }));
            }
            for restriction in
                [Restriction::None, Restriction::Round, Restriction::Ceil, Restriction::Floor]
            {
                let name = format!("threshold_to_scale {restriction:?}");
                let thresholds = vec![tensor(16, &[9], device)];
                all.push(computed(name, Agreement::Exact, thresholds, |x| {
                    ops::threshold_to_scale(x[0].clone(), 1e-10, restriction, 7.0)
                }));
            }
            all
        }

        fn losses(device: &Device) -> Vec<Computed> {
            let labels = [3, 0, 9, 9, 1];
            let logits = || vec![tensor(17, &[5, 10], device)];
            vec![
                computed("square_hinge_loss", Agreement::Sums, logits(), |t| {
                    ops::square_hinge_loss(&t[0], &labels).unwrap()
                }),
                computed("cross_entropy_loss", Agreement::Sums, logits(), |t| {
                    ops::cross_entropy_loss(&t[0], &labels).unwrap()
                }),
                computed("smoothed_cross_entropy_loss", Agreement::Sums, logits(), |t| {
                    ops::smoothed_cross_entropy_loss(&t[0], &labels, 0.1).unwrap()
                }),
            ]
        }

        fn optimizers(device: &Device) -> Vec<Computed> {
            let start = || tensor(18, &[7, 3], device);
            let mut adam = (start(), ops::AdamMoments::zero(&start()));
            let mut sgd = (start(), ops::SgdMomentum::zero(&start()));
            let clip = ops::Clip::Symmetric(2.0);
            for step in 0..3 {
                let gradient = tensor(30 + step, &[7, 3], device);
                let settings = ops::Adam {
                    learning_rate: 0.01,
                    weight_decay: 1e-2,
                    decoupled_weight_decay: 1e-2,
                    ..ops::Adam::default()
                };
                ops::adam_step(&mut adam.0, &gradient, &mut adam.1, &settings, clip);
                let settings = ops::Sgd {
                    learning_rate: 0.1,
                    momentum: 0.9,
                    nesterov: true,
                    weight_decay: 1e-2,
                };
                ops::sgd_step(&mut sgd.0, &gradient, &mut sgd.1, &settings, clip);
            }
            let moments = [adam.1.first.to_vec(), adam.1.second.to_vec()];
            let [first, second] = moments;
            vec![
                Computed {
                    name: "adam_step".to_owned(),
                    tensors: vec![adam.0.to_vec(), first, second],
                    agreement: Agreement::Sums,
                },
                Computed {
                    name: "sgd_step".to_owned(),
                    tensors: vec![sgd.0.to_vec(), sgd.1.velocity.to_vec()],
                    agreement: Agreement::Sums,
                },
            ]
        }

        /// The network of a name; RESNET18 has few channels.
        fn network(name: &str, device: &Device) -> Network {
            let mut config = NetworkConfig::named(name).unwrap();
            match &mut config.architecture {
                Architecture::Resnet18 { widths, .. } => {
                    widths.clone_from_slice(&[4, 8, 8, 16]);
                }
                Architecture::Resnet18Integer { widths, collection_steps, .. } => {
                    widths.clone_from_slice(&[4, 8, 8, 16]);
                    // So that scales are measured, then learned.
                    *collection_steps = 2;
                }
                Architecture::Cnv { .. } | Architecture::Fc { .. } => {}
            }
            Network::new(&config, 11, device).unwrap()
        }

        /// A few steps with Adam on one batch, then an evaluation.
        pub fn training(name: &str, steps: u64, device: &Device) -> Training {
            let mut network = network(name, device);
            let [channels, height, width] = network.config().image_shape;
            // Six images: with eight, means of integers can be integers, and the last bit of a mean then
            // decides whether a rectifier passes.
            let shape = [6, channels, height, width];
            let pixels =
                numbers(40, shape.iter().product()).iter().map(|v| v / 5.0 + 0.5).collect();
            let images = Tensor::from_vec(pixels, &shape, device);
            let labels: Vec<u8> = (0..6).map(|image| image * 7 % 10).collect();
            let mut training = Training::default();
            let mut moments = std::collections::BTreeMap::new();
            for step in 0..steps {
                let logits = network.forward(&images, Pass::Training { step }).unwrap();
                let loss = ops::cross_entropy_loss(&logits, &labels).unwrap();
                training.losses.push(loss.item());
                let mut gradients = loss.backward();
                for (name, parameter) in network.parameters_mut() {
                    let gradient = parameter.take_gradient(&mut gradients).unwrap();
                    let moments = moments
                        .entry(name.clone())
                        .or_insert_with(|| ops::AdamMoments::zero(parameter.value()));
                    let clip = match parameter.clipping() {
                        Clipping::To { high, .. } => ops::Clip::Symmetric(high),
                        Clipping::None => ops::Clip::None,
                    };
                    let settings = ops::Adam { learning_rate: 1e-3, ..ops::Adam::default() };
                    parameter.update(|mut value| {
                        ops::adam_step(&mut value, &gradient, moments, &settings, clip);
                        value
                    });
                    if step == 0 {
                        training.gradients.push((name, gradient.to_vec()));
                    }
                }
            }
            training.logits = network.forward(&images, Pass::Evaluation).unwrap().to_vec();
            training
        }
    };
}

/// What a short training gave.
#[derive(Clone, Debug, Default)]
pub struct Training {
    /// The loss of each step.
    pub losses: Vec<f32>,
    /// The gradients of the first step, by parameter.
    pub gradients: Vec<(String, Vec<f32>)>,
    /// The logits of the evaluation at the end.
    pub logits: Vec<f32>,
}

/// How far two trainings are apart, each relative to the size of what is compared.
#[derive(Clone, Copy, Debug)]
pub struct Distance {
    /// The largest, over the steps.
    pub losses: f32,
    /// That of all gradients of the first step together.
    pub gradients: f32,
    /// That of the logits at the end.
    pub logits: f32,
}

impl Distance {
    /// Whether nothing is further apart than there, and nothing is NaN.
    pub fn is_within(self, limits: Self) -> bool {
        self.losses <= limits.losses
            && self.gradients <= limits.gradients
            && self.logits <= limits.logits
    }
}

impl Training {
    /// How far another training is apart.
    pub fn distance(&self, other: &Self) -> Distance {
        let names = |training: &Self| -> Vec<String> {
            training.gradients.iter().map(|(name, _)| name.clone()).collect()
        };
        assert_eq!(names(self), names(other));
        let all = |training: &Self| -> Vec<f32> {
            training.gradients.iter().flat_map(|(_, values)| values.clone()).collect()
        };
        let losses = self.losses.iter().zip(&other.losses);
        Distance {
            losses: losses.map(|(a, b)| (a - b).abs() / a).fold(0.0, f32::max),
            gradients: relative(&all(self), &all(other)),
            logits: relative(&self.logits, &other.logits),
        }
    }
}

/// The length of the difference of two vectors, as a part of the length of the first.
fn relative(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let square = |v: f32| f64::from(v) * f64::from(v);
    let difference: f64 = a.iter().zip(b).map(|(a, b)| square(a - b)).sum();
    let length: f64 = a.iter().map(|&a| square(a)).sum();
    (difference / length).sqrt() as f32
}

/// With the implementations that the processor has of its own.
pub mod fused {
    computations!(fewbit_nn);
}

/// With the defaults.
pub mod portable {
    computations!(fewbit_nn_portable);
}
