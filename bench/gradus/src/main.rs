//! Our side of the comparison, by the library's public interface alone.
//!
//! `bench-gradus prepare --data DIR` writes the data, the orders and the first weights that every side reads.

mod prepare;

use std::time::Instant;

use anyhow::Result;
use bench_gradus::works;
use bench_protocol::{Args, CHECKED_IMAGES, CHECKED_STEPS, MANY, Report, Samples, calls, passes, steps};
use gradus::callback::{Callback, EpochEnd, Flow};
use gradus::data::{Bytes, Target};
use gradus::loss::CrossEntropy;
use gradus::{Fit, Network};

fn main() -> Result<()> {
    let args = Args::parse()?;
    match args.work.as_str() {
        "prepare" => prepare::all(&args.data),
        "ceiling" => ceiling(&args),
        _ => measure(&args),
    }
}

fn report(args: &Args) -> Report {
    let mut report = Report::new(args, "gradus", env!("CARGO_PKG_VERSION"));
    report.set("arch", format!("{:?}", gradus_kernels::arch()));
    report
}

fn measure(args: &Args) -> Result<()> {
    let work = args.work()?;
    let mut network = Network::load(args.file("safetensors")?)?;
    let mut report = report(args);
    let samples = args.samples(work.set)?;
    if work.is_prediction() {
        predict(args, &network, &samples, &mut report)?;
        return report.print();
    }
    let fit = || {
        Fit::new(CrossEntropy::new(), works::optimizer(work))
            .batch_size(work.batch)
            .threads(args.threads)
    };
    report.set(
        "losses",
        checked_losses(&mut network.clone(), &samples, work.batch, &fit())?,
    );
    report.set("flops", works::training_flops(&network));
    let times = if work.is_small() {
        let (x, classes) = batch(&samples, 0, work.batch);
        let targets: Vec<Target<'_>> = classes.iter().map(|&class| Target::Class(class)).collect();
        let mut trainer = fit().trainer(&mut network)?;
        steps(args, || Ok(trainer.step(&x, &targets).map(drop)?))?
    } else {
        let Samples { pixels, labels, .. } = samples;
        let data = Bytes::new(
            network.input_shape().clone(),
            pixels,
            labels.into_iter().map(usize::from),
            10,
        )?;
        let mut clock = Clock::new();
        fit()
            .epochs(args.epochs + 1)
            .callback(&mut clock)
            .run(&mut network, &data)?;
        clock.times.split_off(1)
    };
    report.set("times", times);
    report.print()
}

/// The samples of a checked step, and their classes.
fn batch(samples: &Samples, step: usize, size: usize) -> (Vec<f32>, Vec<usize>) {
    let indices = samples.checked(step, size);
    let pixels = |&i: &usize| &samples.pixels[i * samples.size..(i + 1) * samples.size];
    let x = indices.iter().flat_map(pixels).map(|&v| f32::from(v) / 255.0);
    (x.collect(), indices.iter().map(|&i| samples.labels[i].into()).collect())
}

fn checked_losses(network: &mut Network, samples: &Samples, size: usize, fit: &Fit<'_>) -> Result<Vec<f64>> {
    let mut trainer = fit.trainer(network)?;
    (0..CHECKED_STEPS)
        .map(|step| {
            let (x, classes) = batch(samples, step, size);
            let targets: Vec<Target<'_>> = classes.into_iter().map(Target::Class).collect();
            Ok(trainer.step(&x, &targets)?)
        })
        .collect()
}

/// The seconds of every epoch.
struct Clock {
    last: Instant,
    times: Vec<f64>,
}

impl Clock {
    fn new() -> Self {
        Clock {
            last: Instant::now(),
            times: Vec::new(),
        }
    }
}

impl Callback for Clock {
    fn on_epoch(&mut self, _end: &EpochEnd<'_>) -> gradus::Result<Flow> {
        let now = Instant::now();
        self.times.push((now - self.last).as_secs_f64());
        self.last = now;
        Ok(Flow::Continue)
    }
}

fn predict(args: &Args, network: &Network, samples: &Samples, report: &mut Report) -> Result<()> {
    let (x, size) = (samples.floats(), samples.size);
    let mut predictor = network.predictor(CHECKED_IMAGES, args.threads)?;
    let outputs = predictor.run(&x[..CHECKED_IMAGES * size])?;
    report.set("outputs", outputs.to_vec());
    if args.work.starts_with("one") {
        let mut predictor = network.predictor(1, args.threads)?;
        let times = calls(|i| Ok(predictor.run(&x[i * size..(i + 1) * size]).map(drop)?))?;
        report.set_calls(&times);
    } else {
        report.set_best(&[128, 1000, MANY], |batch| {
            let mut predictor = network.predictor(batch, args.threads)?;
            let mut run = |x: &[f32]| Ok(predictor.run(x).map(drop)?);
            passes(args, || x[..MANY * size].chunks(batch * size).try_for_each(&mut run))
        })?;
    }
    Ok(())
}

/// The most multiply-adds that the machine does, on one thread and on all.
fn ceiling(args: &Args) -> Result<()> {
    let mut report = report(args);
    report.set("one", works::ceiling(1));
    report.set("all", works::ceiling(args.threads));
    report.print()
}
