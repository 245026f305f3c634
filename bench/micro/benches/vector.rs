//! Functions of slices.

use bench_micro::{bench, criterion, numbers};
use criterion::{Criterion, criterion_group, criterion_main};
use gradus_kernels::{exp, softmax, sum, tanh};

fn functions(criterion: &mut Criterion) {
    type Function = fn(&[f32], &mut [f32]);
    let functions: [(&str, Function); 3] = [("exp", exp), ("tanh", tanh), ("softmax", softmax)];
    for (name, function) in functions {
        for length in [10, 4096] {
            bench(criterion, name, &length.to_string(), || {
                let (x, mut y) = (numbers(length), numbers(length));
                move || function(&x, &mut y)
            });
        }
    }
    bench(criterion, "sum", "4096", || {
        let x = numbers(4096);
        move || {
            std::hint::black_box(sum(&x));
        }
    });
}

criterion_group! { name = benches; config = criterion(); targets = functions }
criterion_main!(benches);
