//! Random networks, computed in every way that Gradus has and compared with plain loops.
//!
//! A case is a network of a few layers, drawn over every layer, setting and initializer, with a loss, an optimizer, a schedule,
//! clipping, a batch size and a number of threads. It is trained, evaluated, saved and loaded, exported and compiled; and all of it
//! is also computed here, in f64, by loops that follow the documentation and share nothing with the library: a forward pass of every
//! layer and loss (`reference`, `losses`), gradients by the chain rule over every single number (`tape`), every optimizer and
//! schedule (`optimizers`, `schedules`). A kind or a setting that the library lists and that is not drawn fails a test.
//!
//! | what | is compared with |
//! | --- | --- |
//! | first values of weights | the distribution of their initializer |
//! | training, step by step: loss, gradients, running statistics, new weights, with dropout and in bfloat16 too | the plain loops |
//! | the same on several threads | one thread: the same bits |
//! | asking for gradients | changes nothing |
//! | epochs with a schedule | the same steps one by one, at the rates of the formula: the same bits |
//! | predictions | the plain loops |
//! | the same in batches of other sizes on other numbers of threads; saved and loaded | the same bits |
//! | evaluation, and validation in training | the plain loops, the loss from logits where training has it so |
//! | ONNX, run by rten, and imported again; with scaled inputs and outputs, from bytes, with logits | the plain loops |
//! | source, in floats, run here, with scaled inputs and outputs; also of an input that is NaN | the plain loops; the library |
//! | source, in integers, run here | the plain loops with noise of the size of bytes, network by network (`bytes`) |
//! | source of a layer that it does not have | a sentence that begins with the layer |
//! | both, compiled from C and from Rust | what was computed here; integers: the same bytes |
//! | with `--python`: ONNX, run by onnxruntime | the plain loops |
//! | with `--python`: outputs, loss, gradients, running statistics and new weights | PyTorch in f64 |
//!
//! How far a number may be off is what rounding does: the plain loops run again with noise of that size on every layer's output
//! and every product of the chain rule. Where a value comes so close to a kink of its layer that rounding decides on which side it
//! is, that step's gradients are not compared.
//!
//! ```sh
//! cargo run --release -p gradus-trials -- --cases 3000 --seed 7   # without a seed, another every time
//! cargo run --release -p gradus-trials -- --seed 7 --case 41      # one of them again
//!
//! python3 -m venv target/trials && target/trials/bin/pip install numpy onnx onnxruntime torch
//! cargo run --release -p gradus-trials -- --cases 1000 --python target/trials/bin/python
//! ```
//!
//! Where a Python has one of onnxruntime and PyTorch only, the other is left out, with a word. `python/compare.py` has the networks
//! and losses in PyTorch.
//!
//! Faults that it finds: each was put in by hand, and the 300 cases of the test tried (`--cases 300 --seed 1`).
//!
//! | fault | the first sentence |
//! | --- | --- |
//! | source: batch normalization folded into the layer before a change of shape | a panic |
//! | source: max pooling drops NaN | other outputs are NaN than the library's |
//! | source: a transposed convolution refused without the layer's name | refused for something else than layer 4 |
//! | integers: a group norm is not refused | layer 3 (group_norm) is not refused |
//! | integers: a ReLU is lost where the range before sigmoid, softmax or tanh is widened | the root mean square error |
//! | ONNX: logits asked for, and a sigmoid before a change of shape left in | an error |
//! | ONNX: a transposed convolution cuts off one row and column too many | imported again: value 0 |
//! | sigmoid and binary cross entropy on images, not computed together | the gradient of 2.weight |
//! | evaluation from probabilities, not from logits | evaluate: the loss |
//! | logits taken for probabilities | step 1: the loss |
//! | batch normalization's statistics in plain sums | step 1: the gradient of 1.weight |
//! | group norm without the part of the variance in its gradient | step 1: the gradient of 0.bias |
//! | one group instead of several | step 1: the loss |
//! | weight decay of layer norm's weight | step 1: the weights by the optimizer's formula |
//! | the slope of hard swish 4 % off; no end of clamp's | step 1: the gradient of 1.bias |
//! | maxout takes the first; zeros around images are 0.1 | step 1: the loss |
//! | dropout that does not scale what is left; Gaussian noise 1 % larger | step 1: the loss |
//! | schedules one step late | the learning rate of step 1 |
//! | `he_normal` by the number of outputs | the first values of 3.weight |
//!
//! It found `Export::logits` leaving a sigmoid in its place where a change of shape followed, max pooling dropping NaN, means of
//! groups that were rounded before they were taken off, and bytes wasted on what a clamp cuts off.

mod activations;
mod bytes;
mod case;
mod compare;
mod draw;
mod exports;
mod inference;
mod initializers;
mod integers;
mod layer;
mod losses;
mod networks;
mod onnx;
mod optimizers;
pub mod python;
mod randomness;
mod reference;
mod samples;
mod schedules;
mod source;
mod tape;
mod training;
mod windows;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use gradus::Network;

use case::Case;
use compare::Outcome;
use exports::ExportSamples;
use inference::Expected;
use onnx::OnnxFile;
use source::{Compiled, Sources};
use tape::Tape;
use training::RecordedStep;

/// The outcome of some cases.
#[derive(Debug, Default)]
pub struct Report {
    /// The number of cases.
    pub cases: usize,
    /// The seed that they are drawn from.
    pub seed: u64,
    /// The number of training steps with a value at a kink.
    pub kinks: usize,
    /// The failures: the case, and a sentence.
    pub failures: Vec<(Case, String)>,
    /// Each case's error in integers, divided by the standard deviation of the outputs; and by its bound.
    pub integers: Vec<[f64; 2]>,
    /// The outputs and the trainings that were compared with onnxruntime and with PyTorch.
    pub python: python::Counts,
}

/// The comparisons beside those with the plain loops.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Whether source files are compiled.
    pub compiles: bool,
    /// A Python that has onnxruntime or PyTorch.
    pub python: Option<PathBuf>,
}

/// Tries the cases of these numbers of a seed.
pub fn run(seed: u64, numbers: impl Iterator<Item = u64>, options: &Options) -> anyhow::Result<Report> {
    let (mut done, mut tape) = (Vec::new(), Tape::new());
    let mut report = Report {
        seed,
        ..Report::default()
    };
    for number in numbers {
        let case = draw::case(seed, number);
        let mut outcome = Outcome::default();
        report.cases += 1;
        match catch_unwind(AssertUnwindSafe(|| check_case(&case, &mut tape, &mut outcome))) {
            Ok(Ok(results)) if options.compiles || options.python.is_some() => done.push((case.clone(), results)),
            Ok(Ok(_)) => {}
            Ok(Err(e)) => outcome.fail(format!("an error: {e:#}")),
            Err(_) => outcome.fail("a panic"),
        }
        report.add_outcome(&case, outcome);
    }
    if options.compiles {
        let compiled = Compiled::new(done.iter().map(|(_, results)| &results.sources))?;
        for (case, results) in &done {
            let mut outcome = Outcome::default();
            compiled.check(&results.sources, &mut outcome)?;
            report.add_outcome(case, outcome);
        }
    }
    if let Some(python) = &options.python {
        let answers = python::run(python, &done)?;
        report.python = answers.counts;
        for (case, outcome) in answers.outcomes {
            report.add_outcome(case, outcome);
        }
    }
    Ok(report)
}

impl Report {
    /// Adds the outcome of other cases of the seed.
    pub fn add(&mut self, other: Report) {
        self.cases += other.cases;
        self.seed = other.seed;
        self.kinks += other.kinks;
        self.failures.extend(other.failures);
        self.integers.extend(other.integers);
        self.python.add(&other.python);
    }

    fn add_outcome(&mut self, case: &Case, outcome: Outcome) {
        self.kinks += outcome.kinks;
        self.integers.extend(outcome.integers);
        self.failures
            .extend(outcome.failures.into_iter().map(|failure| (case.clone(), failure)));
    }
}

impl fmt::Display for Report {
    /// The failures, each with its case and the command that tries it again, and the errors in integers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut failures: Vec<&(Case, String)> = self.failures.iter().collect();
        failures.sort_by_key(|(case, _)| case.number);
        let mut shown = None;
        for (case, failure) in failures {
            if shown.replace(case.number) != Some(case.number) {
                let (seed, number) = (self.seed, case.number);
                let python = self.python.versions.iter().flatten().next();
                let python = python.map_or("", |_| " --python PATH");
                writeln!(
                    f,
                    "\ncase {number}: cargo run --release -p gradus-trials -- --seed {seed} --case {number}{python}"
                )?;
                writeln!(f, "{}", case.json())?;
                let Case {
                    loss,
                    optimization,
                    schedule,
                    batch,
                    threads,
                    inputs,
                    bfloat16,
                    ..
                } = case;
                let bfloat16 = if *bfloat16 { ", in bfloat16" } else { "" };
                writeln!(
                    f,
                    "{loss:?}, {optimization:?}, {schedule:?}, batch {batch}, {threads} threads, inputs {inputs:?}{bfloat16}"
                )?;
            }
            writeln!(f, "    {failure}")?;
        }
        for (i, what) in ["the standard deviation of the outputs", "its bound"]
            .into_iter()
            .enumerate()
        {
            let mut errors: Vec<f64> = self.integers.iter().map(|errors| errors[i]).collect();
            errors.sort_by(f64::total_cmp);
            if let Some(last) = errors.len().checked_sub(1) {
                let at = |part: f64| errors[(part * last as f64) as usize];
                let [median, most, all] = [0.5, 0.9, 1.0].map(at);
                writeln!(
                    f,
                    "error in integers, divided by {what}: median {median:.3}, 90 % {most:.3}, all {all:.3}"
                )?;
            }
        }
        write!(f, "{}", self.python)
    }
}

/// The results of a case, for other programs to compute again.
struct Results {
    sources: Sources,
    onnx: OnnxFile,
    inputs: ExportSamples,
    network: Network,
    expected: Expected,
    steps: Vec<RecordedStep>,
}

/// Everything but compiled files and Python.
fn check_case(case: &Case, tape: &mut Tape, outcome: &mut Outcome) -> anyhow::Result<Results> {
    initializers::check(case, outcome)?;
    let steps = training::steps(case, tape, outcome)?;
    let trained = match training::epochs(case, outcome) {
        // Whether it may, the steps have shown.
        Err(gradus::Error::Diverged { .. }) => networks::network(case)?,
        trained => trained?,
    };
    inference::check(case, &trained, tape, outcome)?;

    // Files are written in f32, of weights that no training has changed.
    let network = networks::network(case)?;
    let inputs = ExportSamples::draw(case, 20);
    let expected = Expected::of_files(case, &network, &inputs.samples, tape);
    let onnx = onnx::check(case, &network, &inputs, &expected, outcome)?;
    let sources = source::check(case, &network, &inputs, &expected, tape, outcome)?;
    Ok(Results {
        sources,
        onnx,
        inputs,
        network,
        expected,
        steps,
    })
}
