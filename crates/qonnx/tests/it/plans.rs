//! The plan of a model against its run step by step, bit for bit.
//!
//! A run that keeps an inner tensor goes step by step; one that keeps none follows the plan.

use fewbit_kernels::Isa;
use fewbit_onnx::proto::{AttributeProto, ModelProto, NodeProto};
use fewbit_qonnx::{Model, Options, Value};

use crate::graphs::{Graph, float, info, int, ints, node, string};
use crate::{floats, shared};

const DOMAIN: &str = "qonnx.custom_op.general";

/// Numbers between -1 and 1.
fn numbers(count: usize, seed: usize) -> Vec<f32> {
    let mut state = seed as u64 * 2 + 0x9e37_79b9_7f4a_7c15;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// How a network quantizes.
#[derive(Clone, Copy, Debug)]
enum Format {
    Float { e: f32, m: f32, bias: f32, max: f32 },
    Integer { bits: f32 },
    Bipolar,
    None,
}

const FORMATS: [(&str, Format); 8] = [
    ("e4m3", Format::Float { e: 4.0, m: 3.0, bias: 7.0, max: 448.0 }),
    ("e3m1", Format::Float { e: 3.0, m: 1.0, bias: 3.0, max: 24.0 }),
    ("e5m2", Format::Float { e: 5.0, m: 2.0, bias: 15.0, max: 57344.0 }),
    ("int8", Format::Integer { bits: 8.0 }),
    ("int4", Format::Integer { bits: 4.0 }),
    ("int2", Format::Integer { bits: 2.0 }),
    ("bipolar", Format::Bipolar),
    ("fp32", Format::None),
];

/// A graph that grows node by node.
struct Network {
    graph: Graph,
    format: Format,
    scale: f32,
    count: usize,
}

impl Network {
    fn new(channels: usize, size: usize, format: Format, scale: f32) -> Self {
        let mut graph = Graph::new()
            .input(info("x", &[1, channels as i64, size as i64, size as i64]))
            .stored("zero", &[], vec![0.0f32])
            .stored("scale", &[], vec![scale]);
        graph = match format {
            Format::Float { e, m, bias, max } => graph
                .stored("e", &[], vec![e])
                .stored("m", &[], vec![m])
                .stored("bias", &[], vec![bias])
                .stored("max", &[], vec![max]),
            Format::Integer { bits } => graph.stored("bits", &[], vec![bits]),
            Format::Bipolar | Format::None => graph,
        };
        Self { graph, format, scale, count: 0 }
    }

    fn name(&mut self) -> String {
        self.count += 1;
        format!("t{}", self.count)
    }

    fn stored(&mut self, shape: &[usize], values: Vec<f32>) -> String {
        let name = self.name();
        let graph = std::mem::replace(&mut self.graph, Graph::new());
        self.graph = graph.stored(&name, shape, values);
        name
    }

    fn node(
        &mut self,
        domain: &str,
        operator: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) -> String {
        let name = self.name();
        let node: NodeProto = node(domain, operator, inputs, &[&name]);
        let graph = std::mem::replace(&mut self.graph, Graph::new());
        self.graph = graph.node(node, attributes);
        name
    }

    fn quantize(&mut self, x: &str, signed: bool) -> String {
        let flag = |name, value: bool| int(name, i64::from(value));
        match self.format {
            Format::Float { .. } => {
                let attributes = vec![
                    int("has_inf", 0),
                    int("has_nan", 1),
                    int("has_subnormal", 1),
                    int("saturation", 1),
                    string("rounding_mode", "ROUND"),
                ];
                self.node(DOMAIN, "FloatQuant", &[x, "scale", "e", "m", "bias", "max"], attributes)
            }
            Format::Integer { .. } => {
                let attributes = vec![
                    flag("signed", signed),
                    int("narrow", 0),
                    string("rounding_mode", "ROUND"),
                ];
                self.node(DOMAIN, "Quant", &[x, "scale", "zero", "bits"], attributes)
            }
            Format::Bipolar => self.node(DOMAIN, "BipolarQuant", &[x, "scale"], vec![]),
            Format::None => x.to_owned(),
        }
    }

    fn relu(&mut self, x: &str) -> String {
        self.node("", "Relu", &[x], vec![])
    }

    fn add(&mut self, a: &str, b: &str) -> String {
        self.node("", "Add", &[a, b], vec![])
    }

    fn batch_norm(&mut self, x: &str, channels: usize) -> String {
        let seed = self.count;
        let weight = self.stored(&[channels], numbers(channels, seed));
        let bias = self.stored(&[channels], numbers(channels, seed + 1));
        let mean = self.stored(&[channels], numbers(channels, seed + 2));
        let variance = numbers(channels, seed + 3).iter().map(|v| v.abs() + 0.5).collect();
        let variance = self.stored(&[channels], variance);
        let inputs = [x, &weight, &bias, &mean, &variance];
        self.node("", "BatchNormalization", &inputs, vec![float("epsilon", 1e-5)])
    }

    /// A convolution of quantized weights.
    fn conv(
        &mut self,
        x: &str,
        w: [usize; 4],
        stride: i64,
        pads: &[i64],
        groups: i64,
        bias: bool,
    ) -> String {
        let seed = self.count + 77;
        let spread = 4.0 * self.scale;
        let values = numbers(w.iter().product(), seed).iter().map(|v| v * spread).collect();
        let weight = self.stored(&w, values);
        let weight = self.quantize(&weight, true);
        let attributes = vec![
            ints("kernel_shape", &[w[2] as i64, w[3] as i64]),
            ints("strides", &[stride, stride]),
            ints("pads", pads),
            int("group", groups),
        ];
        if bias {
            let bias = self.stored(&[w[0]], numbers(w[0], seed + 1));
            return self.node("", "Conv", &[x, &weight, &bias], attributes);
        }
        self.node("", "Conv", &[x, &weight], attributes)
    }

    fn linear(&mut self, x: &str, outputs: usize, inputs: usize) -> String {
        let seed = self.count + 99;
        let spread = 4.0 * self.scale;
        let values = numbers(outputs * inputs, seed).iter().map(|v| v * spread).collect();
        let weight = self.stored(&[outputs, inputs], values);
        let weight = self.quantize(&weight, true);
        let bias = self.stored(&[outputs], numbers(outputs, seed + 1));
        self.node("", "Gemm", &[x, &weight, &bias], vec![int("transB", 1)])
    }

    fn flatten(&mut self, x: &str) -> String {
        self.node("", "Flatten", &[x], vec![int("axis", 1)])
    }

    fn done(self, output: &str) -> ModelProto {
        self.graph.output(output).done()
    }
}

/// Two convolutions, a residual sum with a convolution of one tap, a pooling, a linear layer; odd channels.
fn residual(format: Format, scale: f32, channels: usize, groups: i64) -> ModelProto {
    let mut n = Network::new(3, 9, format, scale);
    let x = n.quantize("x", true);
    let x = n.conv(&x, [channels, 3, 3, 3], 1, &[1, 1, 1, 1], 1, true);
    let x = n.batch_norm(&x, channels);
    let x = n.relu(&x);
    let first = n.quantize(&x, false);
    let inner = channels / groups as usize;
    let x = n.conv(&first, [channels + 1, channels, 3, 3], 2, &[1, 1, 1, 1], 1, false);
    let x = n.quantize(&x, true);
    let x = n.batch_norm(&x, channels + 1);
    let x = n.relu(&x);
    let main = n.quantize(&x, false);
    let x = n.conv(&first, [channels, inner, 1, 1], 2, &[0, 0, 0, 0], groups, false);
    let x = n.conv_to(&x, channels);
    let x = n.batch_norm(&x, channels + 1);
    let side = n.quantize(&x, true);
    let x = n.add(&main, &side);
    let x = n.relu(&x);
    let wide = n.quantize(&x, false);
    let x = n.conv(&wide, [channels + 1, channels + 1, 3, 3], 1, &[1, 1, 1, 1], 1, false);
    let x = n.batch_norm(&x, channels + 1);
    let x = n.quantize(&x, true);
    let x = n.add(&x, &wide);
    let x = n.relu(&x);
    let x = n.quantize(&x, false);
    let x = n.node(
        "",
        "AveragePool",
        &[&x],
        vec![ints("kernel_shape", &[5, 5]), ints("strides", &[5, 5])],
    );
    let x = n.flatten(&x);
    let x = n.quantize(&x, true);
    let x = n.linear(&x, 10, channels + 1);
    n.done(&x)
}

impl Network {
    /// One more channel, by a convolution of one tap on a quantized tensor.
    fn conv_to(&mut self, x: &str, channels: usize) -> String {
        let x = self.quantize(x, true);
        self.conv(&x, [channels + 1, channels, 1, 1], 1, &[0, 0, 0, 0], 1, false)
    }
}

/// Convolutions without padding, a largest value, a linear layer over all pixels.
fn pooled(format: Format, scale: f32, channels: usize) -> ModelProto {
    let mut n = Network::new(2, 10, format, scale);
    let two = n.stored(&[], vec![2.0]);
    let x = n.node("", "Mul", &["x", &two], vec![]);
    let one = n.stored(&[1], vec![1.0]);
    let x = n.node("", "Sub", &[&x, &one], vec![]);
    let x = n.quantize(&x, true);
    let x = n.conv(&x, [channels, 2, 3, 3], 1, &[0, 0, 0, 0], 1, false);
    let x = n.batch_norm(&x, channels);
    let x = n.quantize(&x, true);
    let x =
        n.node("", "MaxPool", &[&x], vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])]);
    let x = n.conv(&x, [channels, channels, 3, 3], 1, &[0, 0, 0, 0], 1, false);
    let x = n.batch_norm(&x, channels);
    let x = n.quantize(&x, true);
    let x = n.flatten(&x);
    let x = n.linear(&x, 33, 4 * channels);
    let x = n.batch_norm(&x, 33);
    let x = n.quantize(&x, true);
    let x = n.linear(&x, 5, 33);
    let p = n.stored(&[1], vec![1.7]);
    let x = n.node("", "Div", &[&x, &p], vec![]);
    n.done(&x)
}

/// Integer weights between thresholds, those of each channel and those of all: what FINN is given.
fn thresholds(channels: usize, out_scale: f32, out_bias: f32) -> ModelProto {
    let mut n = Network::new(3, 8, Format::Integer { bits: 4.0 }, 1.0);
    let passed = |n: &mut Network, x: &str, rows: usize, count: usize| {
        let seed = n.count;
        let mut table = numbers(rows * count, seed);
        table.iter_mut().for_each(|v| *v *= 9.0);
        table.chunks_mut(count).for_each(|row| row.sort_by(f32::total_cmp));
        let table = n.stored(&[rows, count], table);
        let attributes = vec![
            string("out_dtype", "INT8"),
            float("out_scale", out_scale),
            float("out_bias", out_bias),
        ];
        n.node(DOMAIN, "MultiThreshold", &[x, &table], attributes)
    };
    let x = passed(&mut n, "x", 1, 7);
    let x = n.conv(&x, [channels, 3, 3, 3], 1, &[1, 1, 1, 1], 1, false);
    let x = passed(&mut n, &x, channels, 15);
    let x = n.conv(&x, [channels, channels, 3, 3], 2, &[1, 1, 1, 1], 1, false);
    let x = passed(&mut n, &x, channels, 3);
    let x = n.flatten(&x);
    let x = n.linear(&x, 9, 16 * channels);
    n.done(&x)
}

#[test]
fn thresholds_are_counted_in_plans() {
    limited();
    let mut cases = 0;
    for channels in [5, 40] {
        for (scale, bias) in [(1.0, 0.0), (0.25, 0.0), (2.0, -1.0), (0.173, 0.0)] {
            let network = thresholds(channels, scale, bias);
            let model = Model::from_proto(&network, Options::default()).unwrap();
            for batch in [1, 3, 20] {
                let what = format!("{channels} {scale} {bias} {batch}");
                compare(&model, &images(&model, batch, batch), &what);
                assert_eq!(model.planned_stages(), Some(4), "{what}");
                cases += 1;
            }
        }
    }
    assert_eq!(cases, 2 * 4 * 3);
}

/// Poolings with padding, with windows that overlap, and with some that are only partly there.
fn padded(format: Format, scale: f32, channels: usize) -> ModelProto {
    let mut n = Network::new(3, 11, format, scale);
    let x = n.quantize("x", true);
    let x = n.conv(&x, [channels, 3, 3, 3], 1, &[1, 1, 1, 1], 1, false);
    let x = n.batch_norm(&x, channels);
    let x = n.quantize(&x, true);
    let windows = |kernel: i64, stride: i64, pads: &[i64], ceil: i64| {
        vec![
            ints("kernel_shape", &[kernel, kernel]),
            ints("strides", &[stride, stride]),
            ints("pads", pads),
            int("ceil_mode", ceil),
        ]
    };
    let x = n.node("", "MaxPool", &[&x], windows(3, 2, &[1, 1, 1, 1], 0));
    let x = n.conv(&x, [channels + 1, channels, 3, 3], 1, &[1, 1, 1, 1], 1, false);
    let x = n.quantize(&x, true);
    let x = n.relu(&x);
    let x = n.node("", "MaxPool", &[&x], windows(2, 2, &[0, 1, 0, 0], 1));
    let counted = |count| [windows(3, 1, &[1, 1, 1, 1], 0), vec![int("count_include_pad", count)]];
    let a = n.node("", "AveragePool", &[&x], counted(1).concat());
    let b = n.node("", "AveragePool", &[&x], counted(0).concat());
    let x = n.add(&a, &b);
    let x = n.quantize(&x, true);
    let x = n.node("", "GlobalMaxPool", &[&x], vec![]);
    let x = n.flatten(&x);
    let x = n.linear(&x, 7, channels + 1);
    n.done(&x)
}

/// The outputs that follow the plan and those computed step by step.
fn both(model: &Model, x: &Value) -> (Vec<u32>, Vec<u32>) {
    let name = model.inputs()[0].name();
    let bits = |keep: &[&str]| {
        let outputs = model.run(&[(name, x.clone())], keep).unwrap();
        // -0 and +0 are the same number.
        let bits = |v: &f32| if v.is_nan() { f32::NAN.to_bits() } else { (v + 0.0).to_bits() };
        floats(outputs.first()).iter().map(bits).collect()
    };
    let inner =
        model.tensor_names().find(|inner| model.constant(inner).is_none() && *inner != name);
    (bits(&[]), bits(&[inner.unwrap()]))
}

fn compare(model: &Model, x: &Value, what: &str) {
    let (plan, steps) = both(model, x);
    let differ = plan.iter().zip(&steps).filter(|(a, b)| a != b).count();
    assert_eq!((differ, plan.len()), (0, steps.len()), "{what} on {:?}", Isa::current());
    assert!(plan.iter().any(|bits| *bits != plan[0]), "{what}: all outputs are the same");
}

fn images(model: &Model, count: usize, seed: usize) -> Value {
    let shape = model.inputs()[0].shape().unwrap();
    let mut shape: Vec<usize> = shape.iter().map(|extent| extent.unwrap()).collect();
    shape[0] = count;
    let values = numbers(shape.iter().product(), seed).iter().map(|v| v * 3.0).collect::<Vec<_>>();
    Value::new(shape, values).unwrap()
}

/// Lowers the instruction set to the one that [`every_level`] asks for.
fn limited() {
    if let Ok(isa) = std::env::var(ISA) {
        fewbit_kernels::limit_isa(isa.parse().unwrap());
        assert_eq!(Isa::current().name(), isa);
    }
}

const ISA: &str = "FEWBIT_TEST_ISA";

#[test]
fn plans_have_the_bits_of_the_steps() {
    limited();
    let mut cases = 0;
    for threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            for (name, format) in FORMATS {
                for scale in [1.0, 0.25, 0.173] {
                    for channels in [5, 40] {
                        let networks = [
                            (residual(format, scale, channels, 1), 8),
                            (pooled(format, scale, channels), 6),
                            (padded(format, scale, channels), 8),
                        ];
                        for (i, (network, stages)) in networks.iter().enumerate() {
                            let model = Model::from_proto(network, Options::default()).unwrap();
                            for batch in [1, 2, 3, 13, 50] {
                                let what =
                                    format!("{name} {scale} {channels} {i} {batch} {threads}");
                                compare(&model, &images(&model, batch, batch), &what);
                                // Sums that are not of integers depend on the order in which all pixels come.
                                let exact =
                                    matches!(format, Format::Integer { .. } | Format::Bipolar)
                                        || name == "e3m1";
                                let planned = i != 1 || exact;
                                let found = model.planned_stages();
                                assert_eq!(found.is_some(), planned, "{what}");
                                assert!(
                                    found.is_none_or(|found| found >= *stages),
                                    "{what}: {found:?}"
                                );
                                cases += 1;
                            }
                        }
                    }
                }
            }
        });
    }
    assert_eq!(cases, 2 * 8 * 3 * 2 * 3 * 5);
}

#[test]
fn every_level() {
    if std::env::var_os(ISA).is_some() {
        return;
    }
    let mut levels = 0;
    for isa in Isa::ALL.into_iter().filter(|isa| *isa < Isa::detected()) {
        let test = std::env::current_exe().unwrap();
        let run = std::process::Command::new(test)
            .args([
                "plans::plans_have_the_bits_of_the_steps",
                "plans::thresholds_are_counted_in_plans",
            ])
            .arg("--exact")
            .env(ISA, isa.name())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&run.stdout);
        assert!(run.status.success() && said.contains("2 passed"), "{isa}: {said}");
        levels += 1;
    }
    assert_eq!(levels, Isa::ALL.iter().filter(|isa| **isa < Isa::detected()).count());
}

#[test]
fn values_that_do_not_fit_are_computed_step_by_step() {
    for (name, format) in FORMATS {
        let model = Model::from_proto(&residual(format, 1.0, 5, 1), Options::default()).unwrap();
        let usual = images(&model, 4, 1);
        for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30, 1e-40] {
            let mut values = floats(&usual).to_vec();
            values[300] = odd;
            let x = Value::new(usual.shape().to_vec(), values).unwrap();
            let (plan, steps) = both(&model, &x);
            assert_eq!(plan, steps, "{name} {odd}");
            // The next run is as if nothing had been.
            compare(&model, &usual, name);
        }
    }
}

#[test]
fn graphs_without_a_plan_run_step_by_step() {
    let model = Model::from_proto(&residual(FORMATS[4].1, 1.0, 6, 2), Options::default()).unwrap();
    compare(&model, &images(&model, 3, 1), "groups");
    assert_eq!(model.planned_stages(), None);
}

#[test]
fn stored_networks_have_plans() {
    let Some(shared) = shared() else { return };
    let mut networks = 0;
    for (file, stages) in [
        ("golden/nets/resnet18_e3m1_clean.onnx", 23),
        ("golden/nets/resnet18w16_e4m3.onnx", 23),
        ("golden/nets/cnv_1w1a_clean.onnx", 12),
        ("golden/nets/cnv_2w2a_clean.onnx", 12),
        ("golden/d_nets/tfc_2w2a.onnx", 5),
        ("models/zoo_tfc/TFC_1W1A.onnx", 5),
    ] {
        let model = Model::load(&shared.join(file), Options::default()).unwrap();
        for batch in [1, 7, 40] {
            compare(&model, &images(&model, batch, batch), file);
        }
        assert_eq!(model.planned_stages(), Some(stages), "{file}");
        networks += 1;
    }
    assert_eq!(networks, 6);
}
