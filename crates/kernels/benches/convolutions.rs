//! Floating-point operations per second of convolutions and their gradients: the best and the median of some runs, two per multiply-add.
//!
//! An argument is part of the names to run; `--threads=1` runs on one core.

mod harness;

use std::hint::black_box;

use fewbit_kernels::Accumulation;
use fewbit_kernels::conv2d::{Conv2dShape, Padding, conv2d, conv2d_grad_input, conv2d_grad_weight};

fn main() {
    let bench = harness::Bench::new();
    // Channels, size, outputs, kernel, stride, padding: layers of ResNet18, CNV on images of 32 x 32.
    let layers = [
        (3, 32, 64, 3, 1, 1),
        (64, 32, 64, 3, 1, 1),
        (64, 32, 128, 3, 2, 1),
        (64, 32, 128, 1, 2, 0),
        (128, 16, 128, 3, 1, 1),
        (256, 8, 256, 3, 1, 1),
        (256, 8, 512, 3, 2, 1),
        (512, 4, 512, 3, 1, 1),
        (64, 30, 64, 3, 1, 0),
        (256, 3, 256, 3, 1, 0),
    ];
    for (c, h, o, kernel, stride, padding) in layers {
        for n in [100, 1] {
            let shape = Conv2dShape {
                n,
                c,
                h,
                w: h,
                o,
                kh: kernel,
                kw: kernel,
                stride: (stride, stride),
                pad: Padding::same(padding),
                dilation: (1, 1),
                groups: 1,
            };
            let (oh, ow) = shape.output_size().expect("layers have outputs");
            let name = format!("{n}x{c}x{h}x{h} {o} k{kernel} s{stride}");
            let (x_len, w_len, y_len) = (n * c * h * h, o * c * kernel * kernel, n * o * oh * ow);
            let operations = 2.0 * (y_len * c * kernel * kernel) as f64;
            for (kind, accumulation, x_codes, w_codes) in [
                ("i8", Accumulation::Integer { x_max_abs: 3, w_max_abs: 1 }, 3.0, 1.0),
                ("bf16", Accumulation::Paired, 64.0, 64.0),
                ("f32", Accumulation::Sequential, 0.0, 0.0),
            ] {
                let (x, w) =
                    (harness::values(1, x_len, x_codes), harness::values(2, w_len, w_codes));
                let mut y = vec![0.0; y_len];
                bench.run(&format!("{kind} {name}"), operations, "op", || {
                    conv2d(black_box(&x), &w, &mut y, &shape, accumulation);
                });
            }
            let (x, w, dy) = (
                harness::values(1, x_len, 0.0),
                harness::values(2, w_len, 0.0),
                harness::values(3, y_len, 0.0),
            );
            let (mut dx, mut dw) = (vec![0.0; x_len], vec![0.0; w_len]);
            bench.run(&format!("dx {name}"), operations, "op", || {
                conv2d_grad_input(black_box(&dy), &w, &mut dx, &shape);
            });
            bench.run(&format!("dw {name}"), operations, "op", || {
                conv2d_grad_weight(black_box(&x), &dy, &mut dw, &shape);
            });
        }
    }
}
