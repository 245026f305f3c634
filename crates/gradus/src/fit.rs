//! The training loop.

use std::borrow::BorrowMut;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

mod checkpoint;
mod freeze;
mod group;
mod names;
mod rate_finder;
mod run;

use checkpoint::Checkpoints;
pub use group::ParameterGroup;
pub use rate_finder::{RateCurve, RateFinder, RatePoint};
pub use run::TrainingRun;

use crate::augment::Augmentation;
use crate::callback::Callback;
use crate::data::{Dataset, split};
use crate::error::plural;
use crate::evaluation::{check_samples, check_targets, default_threads};
use crate::graph::Graph;
use crate::history::History;
use crate::loss::Loss;
use crate::metric::Metric;
use crate::optim::{Clip, Optimizer};
use crate::profile::Profile;
use crate::schedule::Schedule;
use crate::trainer::{StepOptions, Trainer, TrainingSteps};
use crate::{Error, Network, Result};

/// How to train a network: declared in one go, then [`run`](Fit::run).
///
/// Every epoch goes through all training samples once, in a new order, in batches; each batch is a step of the optimizer along
/// the gradient of its mean loss. Losses and metrics of an epoch are means over samples: of the training samples as they are
/// met, with the network still changing; of the validation samples at the end of the epoch.
///
/// ```
/// use gradus::prelude::*;
///
/// let (train, test) = digits::load()?;
/// let mut network = Sequential::new([1, 8, 8])
///     .layer(Flatten)
///     .layer(Dense::new(32))
///     .layer(Relu)
///     .layer(Dense::new(10))
///     .layer(Softmax)
///     .build(42)?;
/// let history = Fit::new(CrossEntropy::new(), Sgd::new(0.1))
///     .epochs(20)
///     .batch_size(32)
///     .validation_split(0.2)
///     .metric(Accuracy)
///     .run(&mut network, &train)?;
/// assert!(history.last("val_accuracy").unwrap() > 0.9);
/// let evaluation = network.evaluate(&test, &CrossEntropy::new(), &[&Accuracy])?;
/// assert!(evaluation.metric("accuracy").unwrap() > 0.85);
/// # Ok::<(), gradus::Error>(())
/// ```
pub struct Fit<'a> {
    loss: Arc<dyn Loss>,
    optimizer: Arc<dyn Optimizer>,
    schedule: Option<Box<dyn Schedule>>,
    clip: Option<Clip>,
    /// Names of parameters and layers that are not trained.
    frozen: Vec<String>,
    groups: Vec<ParameterGroup>,
    epochs: usize,
    batch_size: usize,
    validation: Validation<'a>,
    metrics: Vec<Box<dyn Metric>>,
    augmentation: Option<Box<dyn Augmentation>>,
    callbacks: Vec<Box<dyn Callback + 'a>>,
    seed: Option<u64>,
    threads: Option<usize>,
    bfloat16: bool,
    checkpoints: Option<Checkpoints>,
    resume: Option<PathBuf>,
    interrupted: Option<Box<dyn Fn() -> bool + 'a>>,
    clock: Option<Box<dyn Fn() -> Duration + 'a>>,
}

/// Where validation samples come from.
enum Validation<'a> {
    None,
    Split(f64),
    Data(&'a dyn Dataset),
}

impl fmt::Debug for Fit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fit")
            .field("loss", &self.loss)
            .field("optimizer", &self.optimizer)
            .field("schedule", &self.schedule)
            .field("clip", &self.clip)
            .field("groups", &self.groups)
            .field("epochs", &self.epochs)
            .field("batch_size", &self.batch_size)
            .field("metrics", &self.metrics)
            .field("augmentation", &self.augmentation)
            .field("seed", &self.seed)
            .field("threads", &self.threads)
            .field("bfloat16", &self.bfloat16)
            .finish_non_exhaustive()
    }
}

impl<'a> Fit<'a> {
    /// Training with this loss and this optimizer: 10 epochs in batches of 32, unless told otherwise.
    ///
    /// Whatever is chosen at run time, here and below, is given as it is, in its box:
    ///
    /// ```
    /// use gradus::{loss, metric, optim, prelude::*, schedule};
    /// let fit = Fit::new(loss::by_name("cross_entropy")?, optim::by_name("adam", 0.01)?);
    /// let fit = fit.schedule(schedule::by_name("cosine")?).metric(metric::by_name("top_3")?);
    /// # let (train, _) = digits::load()?;
    /// # let mut network = Sequential::new([1, 8, 8]).layer(Flatten).layer(Dense::new(10)).build(1)?;
    /// # assert!(fit.epochs(1).run(&mut network, &train)?.last("top_3") > Some(0.5));
    /// # Ok::<(), gradus::Error>(())
    /// ```
    #[doc(alias = "compile")]
    #[doc(alias = "cost")]
    pub fn new(loss: impl Loss + 'static, optimizer: impl Optimizer + 'static) -> Self {
        Fit {
            loss: Arc::new(loss),
            optimizer: Arc::new(optimizer),
            schedule: None,
            clip: None,
            frozen: Vec::new(),
            groups: Vec::new(),
            epochs: 10,
            batch_size: 32,
            validation: Validation::None,
            metrics: Vec::new(),
            augmentation: None,
            callbacks: Vec::new(),
            seed: None,
            threads: None,
            bfloat16: false,
            checkpoints: None,
            resume: None,
            interrupted: None,
            clock: None,
        }
    }

    /// How often to go through the training samples.
    pub fn epochs(mut self, epochs: usize) -> Self {
        self.epochs = epochs;
        self
    }

    /// How many samples make a step; all, if there are fewer. What is left at the end of an epoch makes a smaller one.
    pub fn batch_size(mut self, samples: usize) -> Self {
        self.batch_size = samples;
        self
    }

    /// How the learning rate changes; without a schedule it stays.
    pub fn schedule(mut self, schedule: impl Schedule + 'static) -> Self {
        self.schedule = Some(Box::new(schedule));
        self
    }

    /// Limits the gradients.
    pub fn clip(mut self, clip: Clip) -> Self {
        self.clip = Some(clip);
        self
    }

    /// Freezes parameters: they keep their values, bit for bit, have no part in the norm by which gradients are clipped, and no weight
    /// decays. A name is that of a parameter (`0.weight`), or of a layer or block (`0`, `2.body`), whose parameters are all frozen;
    /// [`Network::parameters`] has the names, which count the layers: with another layer before it, a layer has another name. The layers before the first one that is trained are not gone through backward. State
    /// such as running statistics changes all the same. Called again, it adds to the names.
    ///
    /// A network that is trained on what another has learned (transfer):
    ///
    /// ```
    /// use gradus::data::{Arrays, Dataset, Target};
    /// use gradus::ndarray::Array4;
    /// use gradus::prelude::*;
    ///
    /// let (train, test) = digits::load()?;
    /// let features = || Sequential::new([1, 8, 8]).layer(Flatten).layer(Dense::new(64)).layer(Relu);
    /// let mut digits = features().layer(Dense::new(10)).layer(Softmax).build(1)?;
    /// Fit::new(CrossEntropy::new(), Adam::new(0.002)).epochs(5).run(&mut digits, &train)?;
    /// let file = std::env::temp_dir().join(format!("digits-{}.safetensors", std::process::id()));
    /// digits.save(&file)?;
    ///
    /// // Odd or even? The first dense layer is that of the digits, the last one is new.
    /// let digits = Network::load(&file)?;
    /// let mut parity = features().layer(Dense::new(2)).layer(Softmax).build(2)?;
    /// for parameter in digits.parameters().filter(|parameter| parameter.name.starts_with("1.")) {
    ///     parity.set_parameter(&parameter.name, parameter.array())?;
    /// }
    /// let odd = |data: &dyn Dataset| -> gradus::Result<Arrays> {
    ///     let mut x = Array4::zeros((data.len(), 1, 8, 8));
    ///     for (i, mut x) in x.outer_iter_mut().enumerate() {
    ///         data.read(i, x.as_slice_mut().expect("a row of a new array"))?;
    ///     }
    ///     let class = |i| match data.target(i) {
    ///         Target::Class(digit) => digit % 2,
    ///         Target::Values(_) => 0,
    ///     };
    ///     Arrays::classes(x, (0..data.len()).map(class), 2)
    /// };
    /// let fit = Fit::new(CrossEntropy::new(), Adam::new(0.002)).freeze(["1"]).epochs(5);
    /// fit.run(&mut parity, &odd(&train)?)?;
    /// assert_eq!(parity.parameter("1.weight")?.values, digits.parameter("1.weight")?.values);
    /// let evaluation = parity.evaluate(&odd(&test)?, &CrossEntropy::new(), &[&Accuracy])?;
    /// assert!(evaluation.metric("accuracy") > Some(0.8), "{evaluation}");
    /// std::fs::remove_file(file).ok();
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// Training refuses a name that nothing has, and to train nothing at all.
    #[doc(alias = "requires_grad")]
    #[doc(alias = "trainable")]
    pub fn freeze(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.frozen.extend(names.into_iter().map(Into::into));
        self
    }

    /// Adds a group of parameters with another learning rate, weight decay or optimizer ([`ParameterGroup`]). Those in no group have
    /// this training's own. The history records the learning rate of these.
    ///
    /// Training refuses a name that nothing has, a parameter in two groups, and a group all of whose parameters are
    /// [frozen](Fit::freeze).
    #[doc(alias = "param_groups")]
    pub fn group(mut self, group: ParameterGroup) -> Self {
        self.groups.push(group);
        self
    }

    /// Sets this fraction of the samples aside for validation: shuffled, each class in proportion, by the seed.
    pub fn validation_split(mut self, fraction: f64) -> Self {
        self.validation = Validation::Split(fraction);
        self
    }

    /// Validates on these samples.
    pub fn validation(mut self, data: &'a dyn Dataset) -> Self {
        self.validation = Validation::Data(data);
        self
    }

    /// Watches a metric, in training and in validation.
    #[doc(alias = "watch")]
    pub fn metric(mut self, metric: impl Metric + 'static) -> Self {
        self.metrics.push(Box::new(metric));
        self
    }

    /// Changes training samples at random as they are met. Validation samples are never changed.
    pub fn augment(mut self, augmentation: impl Augmentation + 'static) -> Self {
        self.augmentation = Some(Box::new(augmentation));
        self
    }

    /// Calls this as training goes on.
    pub fn callback(mut self, callback: impl Callback + 'a) -> Self {
        self.callbacks.push(Box::new(callback));
        self
    }

    /// The seed of shuffling, splitting, dropout and augmentation; without it, the seed that the network was built with.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The number of threads, of which no more than 1,024 are started; without it, as many as the machine gives. The result has the
    /// same bits on any number.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Whether dense layers multiply in bfloat16 as they are trained: numbers with the range of an `f32` and 8 bits of precision,
    /// of which processors with AVX512-BF16 (AMD since Zen 4, Intel's servers since Cooper Lake) multiply twice as many in the
    /// same time. Off unless told otherwise.
    ///
    /// Only what is multiplied is rounded, to the nearest, ties to even, written ‹·› here:
    ///
    /// | | |
    /// | --- | --- |
    /// | forward | y = ‹x›·‹W› + b |
    /// | backward | dx = ‹dy›·‹W›ᵀ |
    /// | | dW = ‹x›ᵀ·‹dy›, db = Σ dy |
    ///
    /// Sums, biases, the weights that the optimizer changes, and everything else stay in [`Float`](crate::Float); so do predictions and
    /// evaluations. Networks learn as well as in `f32` (`bench/BFLOAT16.md` has figures), to other bits, which are the same on
    /// every processor: those without the instruction do it in plain code, several times as slowly as `f32`. Where there are no
    /// dense layers, nothing changes.
    ///
    /// Source: D. Kalamkar et al., "A Study of BFLOAT16 for Deep Learning Training", 2019.
    ///
    /// ```
    /// use gradus::{data::digits, prelude::*};
    /// let (train, _) = digits::load()?;
    /// let layers = Sequential::new([1, 8, 8]).layer(Flatten).layer(Dense::new(32)).layer(Relu).layer(Dense::new(10));
    /// let mut network = layers.layer(Softmax).build(42)?;
    /// let fit = Fit::new(CrossEntropy::new(), Sgd::new(0.1)).metric(Accuracy);
    /// let history = fit.bfloat16(true).epochs(20).run(&mut network, &train)?;
    /// assert!(history.last("accuracy").unwrap() > 0.9);
    /// # Ok::<(), gradus::Error>(())
    /// ```
    #[doc(alias = "mixed_precision")]
    #[doc(alias = "autocast")]
    pub fn bfloat16(mut self, bfloat16: bool) -> Self {
        self.bfloat16 = bfloat16;
        self
    }

    /// Writes into this file where training stands, whenever it was last done so long ago, and at the end: everything that a run
    /// needs to [go on](Fit::resume) from there, bit for bit. The file is whole at every moment.
    ///
    /// A file of a network with Adam is four times that of the network; written every ten seconds it takes no noticeable time.
    pub fn checkpoint(mut self, path: impl Into<PathBuf>, every: Duration) -> Self {
        let path = path.into();
        self.checkpoints = Some(Checkpoints { path, every });
        self
    }

    /// Goes on from this [checkpoint](Fit::checkpoint), on the same data with the same settings; the number of threads may be
    /// another, and that of epochs too unless a schedule depends on it. The network and the history become those of a run that
    /// never stopped, bit for bit (but for the seconds).
    ///
    /// ```
    /// use gradus::{data::digits, prelude::*};
    /// use std::{cell::Cell, time::Duration};
    ///
    /// let (train, _) = digits::load()?;
    /// let file = std::env::temp_dir().join(format!("gradus-doc-{}.safetensors", std::process::id()));
    /// let fresh = || Sequential::new([1, 8, 8]).layer(Flatten).layer(Dense::new(10)).layer(Softmax).build(1);
    /// let fit = || Fit::new(CrossEntropy::new(), Adam::new(0.01)).epochs(3).metric(Accuracy);
    ///
    /// let mut whole = fresh()?;
    /// fit().run(&mut whole, &train)?;
    ///
    /// let (mut stopped, steps) = (fresh()?, Cell::new(0));
    /// let interrupted = || steps.replace(steps.get() + 1) == 60;
    /// let result = fit().checkpoint(&file, Duration::from_secs(10)).interrupt_when(interrupted).run(&mut stopped, &train);
    /// assert!(result.unwrap_err().to_string().starts_with("training was interrupted in epoch 2"));
    ///
    /// let mut resumed = fresh()?;
    /// fit().resume(&file).run(&mut resumed, &train)?;
    /// assert_eq!(resumed.weights(), whole.weights());
    /// # std::fs::remove_file(file).ok();
    /// # Ok::<(), gradus::Error>(())
    /// ```
    pub fn resume(mut self, path: impl Into<PathBuf>) -> Self {
        self.resume = Some(path.into());
        self
    }

    /// Asks after every step whether to stop there: training then ends with [`Error::Interrupted`], after it has written a
    /// [checkpoint](Fit::checkpoint). A metric of one's own that doesn't say [what it knows](crate::metric::Meter::saved) has it stand
    /// at the last one before.
    pub fn interrupt_when(mut self, interrupted: impl Fn() -> bool + 'a) -> Self {
        self.interrupted = Some(Box::new(interrupted));
        self
    }

    /// Measures time by this clock instead of the system's: it returns the time since any moment, and never goes back. Seconds in the
    /// history, and when a checkpoint is due, go by it; where there is no clock, as in WebAssembly, both stand still without one.
    pub fn clock(mut self, clock: impl Fn() -> Duration + 'a) -> Self {
        self.clock = Some(Box::new(clock));
        self
    }

    /// What trains a network step by step, for a loop of one's own. It borrows the network (`&mut network`), or owns it. It has this
    /// loss, optimizer, batch size, clipping, groups, frozen parameters, seed, threads and bfloat16; epochs, schedule, validation, metrics, augmentation and
    /// callbacks are the loop's.
    ///
    /// # Errors
    /// If a setting makes no sense.
    pub fn trainer<N: BorrowMut<Network>>(&self, network: N) -> Result<Trainer<N>> {
        let steps = self.steps(network.borrow())?;
        Ok(Trainer::new(network, steps))
    }

    /// The memory of steps on this network.
    fn steps(&self, network: &Network) -> Result<TrainingSteps> {
        if self.batch_size == 0 {
            return Err(Error::invalid("the batch size is 0: a batch needs at least one sample"));
        }
        if let Some(clip) = self.clip {
            clip.validate()?;
        }
        let options = StepOptions {
            batch: self.batch_size,
            threads: self.threads.unwrap_or_else(default_threads),
            bfloat16: self.bfloat16,
            clip: self.clip,
            seed: self.seed.unwrap_or(network.seed()),
        };
        let assignment = group::assignment(self, network, &freeze::frozen(network, &self.frozen)?)?;
        TrainingSteps::new(network, self.loss.clone(), assignment, options)
    }

    /// Trains the network. Run again with the same seed, it meets the samples in the same orders again: to go on with
    /// training in new ones, set another [seed](Fit::seed).
    ///
    /// # Errors
    /// If a setting makes no sense; if a batch, be it the last of an epoch, has one sample where batch normalization needs two;
    /// if the data is empty, doesn't fit the network, the loss or a metric, has
    /// values that are not finite, or can't be read; if a callback fails; or if the loss, of training or validation, stops
    /// being finite, which [`Error::Diverged`] reports with the layer in which that began.
    pub fn run(self, network: &mut Network, data: &dyn Dataset) -> Result<History> {
        let mut run = self.start(network, data)?;
        while run.step()? {}
        run.finish()
    }

    /// Begins to train, step by step; goes on from a checkpoint, if there is one to [resume](Fit::resume) from.
    ///
    /// # Errors
    /// As [`run`](Fit::run), before the first step.
    pub fn start<'r>(mut self, network: &'r mut Network, data: &'r dyn Dataset) -> Result<TrainingRun<'r>>
    where
        'a: 'r,
    {
        self.check(network, data)?;
        let seed = self.seed.unwrap_or(network.seed());
        let source = std::mem::replace(&mut self.validation, Validation::None);
        let (train, validation): (Box<dyn Dataset + 'r>, Option<Box<dyn Dataset + 'r>>) = match source {
            Validation::Split(fraction) => {
                let (train, validation) = split(data, fraction, seed)?;
                (Box::new(train), Some(Box::new(validation)))
            }
            Validation::Data(validation) => (Box::new(data), Some(Box::new(validation))),
            Validation::None => (Box::new(data), None),
        };
        self.batch_size = self.batch_size.min(train.len());
        let (samples, batch) = (train.len(), self.batch_size);
        let mut run = TrainingRun::new(self, network, train, validation, seed)?;
        check_batches(&run.network().graph, samples, batch)?;
        run.begin()?;
        Ok(run)
    }

    /// Trains as [`run`](Fit::run) does, and tells where the time went, layer by layer.
    ///
    /// ```
    /// use gradus::{data::digits, prelude::*};
    /// let (train, _) = digits::load()?;
    /// let mut network = Sequential::new([1, 8, 8])
    ///     .layer(Conv2d::new(4, 3))
    ///     .layer(Relu)
    ///     .layer(Flatten)
    ///     .layer(Dense::new(10))
    ///     .layer(Softmax)
    ///     .build(1)?;
    /// let (_, profile) = Fit::new(CrossEntropy::new(), Sgd::new(0.1)).epochs(1).profile(&mut network, &train)?;
    /// println!("{profile}");
    /// assert!(profile.layers[0].forward.as_nanos() > 0);
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`run`](Fit::run).
    pub fn profile(self, network: &mut Network, data: &dyn Dataset) -> Result<(History, Profile)> {
        let mut run = self.start(network, data)?;
        run.profile();
        while run.step()? {}
        run.finish_profiled()
    }

    fn check(&self, network: &Network, data: &dyn Dataset) -> Result<()> {
        if self.epochs == 0 {
            return Err(Error::invalid("the number of epochs is 0: training needs at least one"));
        }
        if let Some(schedule) = &self.schedule {
            schedule.validate()?;
        }
        run::check_names(&self.metrics)?;
        check_samples(network, data)?;
        self.check_targets(network, data)?;
        if let Validation::Data(validation) = self.validation {
            check_samples(network, validation)?;
            self.check_targets(network, validation)?;
        }
        if let Some(augmentation) = &self.augmentation {
            augmentation.validate(network.input_shape())?;
        }
        Ok(())
    }

    fn check_targets(&self, network: &Network, data: &dyn Dataset) -> Result<()> {
        let (output, targets) = (network.output_shape(), data.targets());
        self.loss.validate(output, &targets)?;
        check_targets(data)?;
        self.metrics
            .iter()
            .try_for_each(|metric| metric.validate(output, &targets))
    }
}

/// Refuses a division into batches of which the last one has fewer samples than a layer needs; before training, and not at the end of
/// the first epoch.
fn check_batches(graph: &Graph, samples: usize, batch: usize) -> Result<()> {
    let (least, layer) = graph.least_batch();
    let fits = |batch: usize| matches!(samples % batch, left if left == 0 || left >= least);
    if fits(batch) {
        return Ok(());
    }
    let left = samples % batch;
    let near = (1..samples).flat_map(|d| [batch.saturating_add(d), batch.saturating_sub(d)]);
    let other = near.filter(|n| (least..=samples).contains(n)).find(|&n| fits(n));
    Err(Error::invalid(format!(
        "{samples} training samples in batches of {batch} leave {} for the last batch, but {layer} takes statistics over each \
         batch, which needs at least {least} samples for them: choose another batch size{}, or leave {} out",
        plural(left, "sample"),
        other.map_or(String::new(), |n| format!(", such as {n}")),
        plural(left, "sample")
    )))
}
