//! Convolution and max pooling of 16 samples side by side, and turning samples.

use bench_micro::{bench, criterion, numbers};
use criterion::{Criterion, criterion_group, criterion_main};
use gradus_kernels::interleaved::{Axis, Convolution, LANES, MaxPool, deinterleave, interleave};

/// Name; channels and size of the input, channels of the output, the kernel's size, stride and padding.
const CONVOLUTIONS: [(&str, [usize; 6]); 6] = [
    ("cnn 1x28x28-5, 3x3", [1, 28, 5, 3, 1, 0]),
    ("lenet 1x28x28-6, 5x5", [1, 28, 6, 5, 1, 0]),
    ("lenet 6x12x12-16, 5x5", [6, 12, 16, 5, 1, 0]),
    ("resnet 16x32x32-16, 3x3", [16, 32, 16, 3, 1, 1]),
    ("resnet 16x32x32-32, 3x3 by 2", [16, 32, 32, 3, 2, 1]),
    ("resnet 64x8x8-64, 3x3", [64, 8, 64, 3, 1, 1]),
];

fn axis(input: usize, kernel: usize, stride: usize, padding: usize) -> Axis {
    Axis {
        input,
        kernel,
        stride,
        dilation: 1,
        padding,
        output: (input + 2 * padding - kernel) / stride + 1,
    }
}

fn convolutions(criterion: &mut Criterion) {
    for (name, [in_channels, size, out_channels, kernel, stride, padding]) in CONVOLUTIONS {
        let axis = axis(size, kernel, stride, padding);
        let convolution = Convolution {
            rows: axis,
            columns: axis,
            in_channels,
            out_channels,
            groups: 1,
        };
        let x = in_channels * size * size * LANES;
        let y = out_channels * axis.output * axis.output * LANES;
        let w = out_channels * in_channels * kernel * kernel;
        bench(criterion, "convolution forward", name, || {
            let (x, w, b, mut y) = (numbers(x), numbers(w), numbers(out_channels), numbers(y));
            move || convolution.forward(&x, &w, Some(&b), &mut y)
        });
        bench(criterion, "convolution input gradient", name, || {
            let (mut dx, w, dy) = (numbers(x), numbers(w), numbers(y));
            move || convolution.input_gradient(&w, &dy, &mut dx)
        });
        bench(criterion, "convolution weight gradient", name, || {
            let (x, mut dw, dy) = (numbers(x), vec![0.0; w], numbers(y));
            move || convolution.weight_gradient(&x, &dy, &mut dw)
        });
    }
}

fn pooling(criterion: &mut Criterion) {
    let (channels, size) = (6, 24);
    let axis = axis(size, 2, 2, 0);
    let pool = MaxPool {
        rows: axis,
        columns: axis,
    };
    let (x, y) = (
        channels * size * size * LANES,
        channels * axis.output * axis.output * LANES,
    );
    let name = "lenet 6x24x24, 2x2";
    bench(criterion, "max pooling forward", name, || {
        let (x, mut y, mut taps) = (numbers(x), numbers(y), numbers(y));
        move || pool.forward(&x, &mut y, Some(&mut taps))
    });
    bench(criterion, "max pooling input gradient", name, || {
        let (mut dx, mut taps, dy) = (numbers(x), numbers(y), numbers(y));
        pool.forward(&dx, &mut dy.clone(), Some(&mut taps));
        move || pool.input_gradient(&taps, &dy, &mut dx)
    });
}

fn turning(criterion: &mut Criterion) {
    type Reorder = fn(&[f32], usize, &mut [f32]);
    let turns: [(&str, Reorder); 2] = [("to lanes", interleave), ("from lanes", deinterleave)];
    for (name, turn) in turns {
        bench(criterion, name, "784", || {
            let (x, mut y) = (numbers(784 * LANES), numbers(784 * LANES));
            move || turn(&x, LANES, &mut y)
        });
    }
}

criterion_group! { name = benches; config = criterion(); targets = convolutions, pooling, turning }
criterion_main!(benches);
