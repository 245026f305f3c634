//! What the benchmarks share: how long they measure, and numbers to measure with.

use std::time::Duration;

use criterion::Criterion;

/// Measures shortly: noise is fought by taking turns, as `bench/commits` does, not by waiting.
pub fn criterion() -> Criterion {
    Criterion::default()
        .without_plots()
        .sample_size(20)
        .nresamples(1001)
        .warm_up_time(Duration::from_millis(50))
        .measurement_time(Duration::from_millis(300))
}

/// Measures what `prepare` makes, which is made only if this benchmark was asked for.
pub fn bench<W: FnMut()>(criterion: &mut Criterion, group: &str, name: &str, prepare: impl FnOnce() -> W) {
    let mut prepare = Some(prepare);
    let mut work = None;
    criterion.bench_function(&format!("{group}/{name}"), |bencher| {
        let work = work.get_or_insert_with(|| prepare.take().expect("it is prepared once")());
        bencher.iter(work);
    });
}

/// Numbers from -1 to 1 that look random, and are the same every time.
pub fn numbers(count: usize) -> Vec<f32> {
    (0..count as u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32 - 1.0)
        .collect()
}
