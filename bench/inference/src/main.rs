//! Inference in Rust: the variants `tract` and `rten`, on the ONNX files.

use std::thread;

use anyhow::{Result, anyhow, bail};
use bench_protocol::{Args, CHECKED_IMAGES, MANY, Report, calls, passes};
use rten::{RunOptions, ThreadPool, ValueOrView};
use rten_tensor::{AsView, TensorView};
use tract_onnx::prelude::*;

/// The outputs for images that lie one after the other.
type Run = Box<dyn Fn(&[f32]) -> Result<Vec<f32>> + Sync>;

/// Loads the network for batches of so many images.
type Make = fn(&Args, usize) -> Result<Run>;

fn main() -> Result<()> {
    let args = Args::parse()?;
    let samples = args.samples(args.work()?.set)?;
    let (x, size) = (samples.floats(), samples.size);
    let images = |first: usize, count: usize| &x[first * size..(first + count) * size];
    let one = args.work.starts_with("one");
    let (version, make): (&str, Make) = match args.variant.as_str() {
        "tract" => ("0.23.9", tract),
        "rten" => ("0.27.0", rten),
        other => bail!("there is no variant {other}"),
    };
    let mut report = Report::new(&args, &args.variant, version);
    report.set("outputs", make(&args, CHECKED_IMAGES)?(images(0, CHECKED_IMAGES))?);
    if one {
        let run = make(&args, 1)?;
        report.set_calls(&calls(|i| run(images(i, 1)).map(drop))?);
        return report.print();
    }
    report.set_best(&[20, 125, 1000, MANY / args.threads], |batch| {
        let run = make(&args, batch)?;
        // rten has threads of its own; for tract every thread takes its share of the images.
        let threads = if args.variant == "rten" { 1 } else { args.threads };
        let share = |thread: usize| -> Result<()> {
            (thread * batch..MANY)
                .step_by(batch * threads)
                .try_for_each(|first| run(images(first, batch)).map(drop))
        };
        passes(&args, || {
            thread::scope(|scope| {
                let others: Vec<_> = (1..threads).map(|i| scope.spawn(move || share(i))).collect();
                share(0)?;
                (others.into_iter()).try_for_each(|t| t.join().map_err(|_| anyhow!("a thread failed"))?)
            })
        })
    })?;
    report.print()
}

fn shape(args: &Args, batch: usize) -> Result<Vec<usize>> {
    Ok([&[batch], args.work()?.shape()].concat())
}

fn tract(args: &Args, batch: usize) -> Result<Run> {
    let shape = shape(args, batch)?;
    let model = tract_onnx::onnx()
        .model_for_path(args.file("onnx")?)?
        .with_input_fact(0, f32::fact(&shape).into())?
        .into_optimized()?
        .into_runnable()?;
    Ok(Box::new(move |x| {
        let outputs = model.run(tvec!(Tensor::from_shape(&shape, x)?.into()))?;
        Ok(outputs[0].to_plain_array_view::<f32>()?.iter().copied().collect())
    }))
}

fn rten(args: &Args, batch: usize) -> Result<Run> {
    let shape = shape(args, batch)?;
    let model = rten::ModelOptions::with_all_ops()
        .prepack_weights(true)
        .load_file(args.file("onnx")?)?;
    // A single image is faster without a second thread.
    let threads = if batch == 1 { 1 } else { args.threads };
    let pool = std::sync::Arc::new(ThreadPool::with_num_threads(threads));
    Ok(Box::new(move |x| {
        let options = RunOptions::default().with_thread_pool(Some(pool.clone()));
        let image = ValueOrView::from(TensorView::from_data(&shape, x));
        let output = model.run_one(image, Some(options))?;
        Ok(output.into_tensor::<f32>().ok_or_else(|| anyhow!("no f32"))?.to_vec())
    }))
}
