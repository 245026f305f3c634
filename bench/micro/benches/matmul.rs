//! Matrix products of the shapes of the MLP's and LeNet's dense layers.

use bench_micro::{bench, criterion, numbers};
use criterion::{Criterion, criterion_group, criterion_main};
use gradus_kernels::{Matrix, Accumulate, matmul, matmul_scratch};

/// Samples, inputs and units.
const LAYERS: [[usize; 3]; 6] = [
    [100, 784, 256],
    [100, 256, 256],
    [100, 256, 10],
    [16, 256, 120],
    [16, 120, 84],
    [1, 784, 256],
];

fn products(criterion: &mut Criterion) {
    for [samples, inputs, units] in LAYERS {
        let name = format!("{samples}x{inputs}x{units}");
        let (x, w, y) = (samples * inputs, inputs * units, samples * units);
        bench(criterion, "matmul forward", &name, || {
            let (x, w, mut y) = (numbers(x), numbers(w), numbers(y));
            let mut scratch = vec![0.0; matmul_scratch(samples, units, inputs)];
            move || {
                let (x, w) = (Matrix::new(&x, inputs), Matrix::new(&w, units));
                matmul(samples, units, inputs, x, w, &mut y, units, Accumulate::Zero, &mut scratch);
            }
        });
        if samples == 1 {
            continue;
        }
        bench(criterion, "matmul input gradient", &name, || {
            let (mut dx, w, dy) = (numbers(x), numbers(w), numbers(y));
            let mut scratch = vec![0.0; matmul_scratch(samples, inputs, units)];
            move || {
                let (dy, w) = (Matrix::new(&dy, units), Matrix::new(&w, units).transposed());
                matmul(
                    samples,
                    inputs,
                    units,
                    dy,
                    w,
                    &mut dx,
                    inputs,
                    Accumulate::Zero,
                    &mut scratch,
                );
            }
        });
        bench(criterion, "matmul weight gradient", &name, || {
            let (x, mut dw, dy) = (numbers(x), vec![0.0; w], numbers(y));
            let mut scratch = vec![0.0; matmul_scratch(inputs, units, samples)];
            move || {
                let (x, dy) = (Matrix::new(&x, inputs).transposed(), Matrix::new(&dy, units));
                matmul(inputs, units, samples, x, dy, &mut dw, units, Accumulate::Sum, &mut scratch);
            }
        });
    }
}

criterion_group! { name = benches; config = criterion(); targets = products }
criterion_main!(benches);
