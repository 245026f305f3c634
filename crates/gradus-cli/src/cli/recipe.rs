//! The options that say how a network is trained, and what of the library they stand for.

mod group;

use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use gradus::augment::{Augmentation, Compose, Noise, Warp};
use gradus::data::Targets;
use gradus::layer::OutputKind;
use gradus::loss::{Loss, OutputActivation};
use gradus::metric::Metric;
use gradus::optim::{Clip, Optimizer};
use gradus::schedule::{Schedule, Warmup};
use gradus::{Network, ParameterGroup};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::metadata::Metadata;
use crate::registry::{or_list, registry};
use crate::target_units::last_kind;

pub use group::GroupSpec;

/// How a network is trained.
#[derive(Debug, Clone, Args, Serialize)]
#[command(next_help_heading = "Training")]
pub struct Recipe {
    /// How often training goes through all samples [default: 10; xor: 500]
    #[arg(long, value_name = "N")]
    pub epochs: Option<usize>,
    /// Samples between two updates of the parameters [default: 128, or all if there are fewer]
    #[arg(long, value_name = "N")]
    pub batch_size: Option<usize>,
    /// What is minimized.
    #[arg(long, value_name = "NAME[:SETTINGS]", help = format!(
        "What is minimized: {}, with settings after a colon, as in cross_entropy:label_smoothing=0.1 or huber:delta=0.5 (delta is in \
         the units of the targets) [default: cross_entropy for classes, nll if the network ends in log_softmax, binary_cross_entropy for two classes and one output, \
         mean_squared_error for values]",
        or_list(registry().losses.names())
    ))]
    pub loss: Option<Spec>,
    /// How parameters follow their gradients.
    #[arg(long, value_name = "NAME[:SETTINGS]", default_value = "adam", help = format!(
        "How parameters follow their gradients: {}, with settings after a colon, as in adam:beta1=0.8,epsilon=1e-6",
        or_list(registry().optimizers.names())
    ))]
    pub optimizer: Spec,
    /// The learning rate, before a schedule [default: the optimizer's own]
    #[arg(long, value_name = "RATE", allow_negative_numbers = true)]
    pub learning_rate: Option<f64>,
    /// Momentum, for sgd and rmsprop
    #[arg(long, value_name = "M", allow_negative_numbers = true)]
    pub momentum: Option<f64>,
    /// Nesterov's momentum, for sgd
    #[arg(long)]
    pub nesterov: bool,
    /// Weight decay, which leaves biases and norms alone
    #[arg(long, value_name = "RATE", allow_negative_numbers = true)]
    pub weight_decay: Option<f64>,
    /// Scale gradients down where their norm exceeds this
    #[arg(
        long,
        value_name = "NORM",
        allow_negative_numbers = true,
        conflicts_with = "clip_value"
    )]
    pub clip_norm: Option<f64>,
    /// Clamp each gradient to between minus this and this
    #[arg(long, value_name = "VALUE", allow_negative_numbers = true)]
    pub clip_value: Option<f64>,
    /// How the learning rate changes.
    #[arg(long, value_name = "NAME[:SETTINGS]", default_value = "constant", help = format!(
        "How the learning rate changes: {}, with settings after a colon, as in cosine:to=0.01, step_decay:every=5,factor=0.5 or \
         warmup:epochs=2,then=linear",
        or_list(registry().schedules.names())
    ))]
    pub schedule: Spec,
    /// Raise the learning rate from zero over this number of steps, before the schedule
    #[arg(long, value_name = "STEPS")]
    pub warmup: Option<u64>,
    /// Round what dense layers multiply to bfloat16, and nothing else: faster on processors with AVX512-BF16, several times
    /// slower on others
    #[arg(long)]
    pub bfloat16: bool,
    /// How training samples are changed.
    #[arg(long, value_name = "SETTINGS|NAME[:SETTINGS]", help = format!(
        "Change training images at random, a little: any of shift (pixels), rotate and shear (degrees), scale (a fraction), elastic \
         (with sigma, in pixels) and noise (standard deviation), as in shift=2,rotate=10,scale=0.1; or one augmentation by its \
         name, of {}, as in noise:std=0.1",
        or_list(registry().augmentations.names())
    ))]
    pub augment: Option<String>,
    /// Layers, blocks or parameters that keep their values, by name, as in 0,2.body,4.weight (`gradus summary` numbers the layers);
    /// running statistics change all the same
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub freeze: Vec<String>,
    /// Give layers, blocks or parameters another learning rate, weight decay or optimizer, as in
    /// 0,2.body:learning_rate_factor=0.1,weight_decay=0 or 4:optimizer=adamw,learning_rate=0.001; once for each group
    #[arg(long, value_name = "NAMES:SETTINGS")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub group: Vec<GroupSpec>,
}

/// A name with settings, as in `cosine:to=0.01`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(into = "String")]
pub struct Spec {
    /// The name.
    pub name: String,
    /// The settings; numbers and truth values as such, all else as text.
    pub settings: Map<String, Value>,
}

impl FromStr for Spec {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, settings) = text.split_once(':').unwrap_or((text, ""));
        Ok(Spec {
            name: name.trim().to_string(),
            settings: parse_settings(settings)?,
        })
    }
}

impl From<Spec> for String {
    fn from(spec: Spec) -> String {
        let settings: Vec<String> = (spec.settings.iter())
            .map(|(name, value)| match value {
                Value::String(text) => format!("{name}={text}"),
                value => format!("{name}={value}"),
            })
            .collect();
        if settings.is_empty() {
            spec.name
        } else {
            format!("{}:{}", spec.name, settings.join(","))
        }
    }
}

impl Spec {
    /// The loss of this name, with these settings.
    ///
    /// # Errors
    /// If there is none of this name, or a setting is unknown or no number.
    pub fn loss(&self) -> Result<Arc<dyn Loss>> {
        let loss = registry().loss(&self.name, self.settings());
        Ok(Arc::from(loss?))
    }

    /// The settings as the library takes them.
    fn settings(&self) -> Value {
        Value::Object(self.settings.clone())
    }
}

/// The metric that is named so, with settings after a colon.
///
/// # Errors
/// If there is none of this name, or it has no such setting.
pub fn metric(text: &str) -> Result<Box<dyn Metric>> {
    let spec = Spec::from_str(text)?;
    Ok(registry().metric(&spec.name, spec.settings())?)
}

/// Parses `a=1,b=2`.
fn parse_settings(text: &str) -> Result<Map<String, Value>> {
    let mut settings = Map::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (key, value) = part
            .split_once('=')
            .ok_or_else(|| anyhow!("`{part}` is no setting: it should be like `name=value`"))?;
        let value = value.trim();
        // Numbers beyond JSON's (.5, 1., +2) are read too; NaN and infinities stay text, and are refused as such.
        let number = || {
            value
                .parse()
                .ok()
                .and_then(serde_json::Number::from_f64)
                .map(Value::Number)
        };
        let value = serde_json::from_str(value)
            .ok()
            .or_else(number)
            .unwrap_or_else(|| Value::String(value.into()));
        if settings.insert(key.trim().to_string(), value).is_some() {
            bail!("`{}` is set twice", key.trim());
        }
    }
    Ok(settings)
}

fn read<T: DeserializeOwned>(settings: &Map<String, Value>) -> Result<T> {
    serde_json::from_value(Value::Object(settings.clone()))
        .map_err(|error| anyhow!("{}", error.to_string().replace("field", "setting")))
}

impl Recipe {
    /// What was asked for, as JSON, without the options that were not used.
    pub fn to_json(&self) -> Value {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        if let Value::Object(options) = &mut value {
            options.retain(|_, value| !value.is_null() && *value != false);
        }
        value
    }

    /// Refuses names and settings that do not exist.
    ///
    /// # Errors
    /// The sentence names the option or the setting.
    pub fn check(&self) -> Result<()> {
        self.optimizer()?;
        self.schedule()?;
        self.clip()?;
        self.augmentation()?;
        self.groups()?;
        self.loss.as_ref().map(Spec::loss).transpose()?;
        Ok(())
    }

    /// The optimizer.
    ///
    /// # Errors
    /// If there is none of this name, or it has no such setting, or a setting makes no sense.
    pub fn optimizer(&self) -> Result<Arc<dyn Optimizer>> {
        let mut spec = self.optimizer.clone();
        let rates = [
            ("learning_rate", self.learning_rate.map(Value::from)),
            ("momentum", self.momentum.map(Value::from)),
            ("nesterov", self.nesterov.then_some(Value::from(true))),
            ("weight_decay", self.weight_decay.map(Value::from)),
        ];
        let numbers = [
            ("--learning-rate", self.learning_rate),
            ("--momentum", self.momentum),
            ("--weight-decay", self.weight_decay),
        ];
        for (option, value) in numbers {
            if let Some(value) = value.filter(|value| !value.is_finite()) {
                bail!("{option} must be a finite number, got {value}");
            }
        }
        for (setting, value) in rates {
            if let Some(value) = value
                && spec.settings.insert(setting.into(), value).is_some()
            {
                bail!("{}: {setting} is set twice", spec.name);
            }
        }
        let optimizer: Arc<dyn Optimizer> = Arc::from(registry().optimizer(&spec.name, spec.settings())?);
        optimizer.validate()?;
        Ok(optimizer)
    }

    /// The schedule, after the warm-up if there is one.
    ///
    /// # Errors
    /// If there is none of this name, or it has no such setting, or a setting makes no sense.
    pub fn schedule(&self) -> Result<Box<dyn Schedule>> {
        let spec = &self.schedule;
        let schedule = registry().schedule(&spec.name, spec.settings())?;
        schedule.validate()?;
        let Some(steps) = self.warmup else { return Ok(schedule) };
        let warmup = Warmup::new(steps, schedule);
        warmup.validate()?;
        Ok(Box::new(warmup))
    }

    /// The clipping of gradients.
    ///
    /// # Errors
    /// If its limit is no positive number.
    pub fn clip(&self) -> Result<Option<Clip>> {
        let clip = self.clip_norm.map(Clip::Norm).or(self.clip_value.map(Clip::Value));
        if let Some(clip) = &clip {
            clip.validate()?;
        }
        Ok(clip)
    }

    /// The groups of parameters with settings of their own.
    ///
    /// # Errors
    /// If a group has no such setting, or a setting makes no sense; whether the network has the parameters is found when training begins.
    pub fn groups(&self) -> Result<Vec<ParameterGroup>> {
        self.group.iter().map(GroupSpec::group).collect()
    }

    /// The augmentation.
    ///
    /// # Errors
    /// If a setting is unknown or no number; whether it suits the samples is checked when training begins.
    pub fn augmentation(&self) -> Result<Option<Box<dyn Augmentation>>> {
        let Some(text) = &self.augment else { return Ok(None) };
        // A name comes first; settings without one are those of a warp, with noise.
        if !text.split(':').next().is_some_and(|name| name.contains('=')) {
            let spec = Spec::from_str(text).context("--augment")?;
            return Ok(Some(
                registry()
                    .augmentation(&spec.name, spec.settings())
                    .context("--augment")?,
            ));
        }
        let changes: WarpSettings = parse_settings(text)
            .and_then(|settings| read(&settings))
            .context("--augment")?;
        let mut warp = Warp::new()
            .shift(changes.shift)
            .rotate(changes.rotate)
            .scale(changes.scale)
            .shear(changes.shear);
        if changes.elastic != 0.0 {
            warp = warp.elastic(changes.elastic, changes.sigma);
        }
        Ok(Some(if changes.noise == 0.0 {
            Box::new(warp)
        } else {
            Box::new(Compose::new().then(warp).then(Noise::new(changes.noise)))
        }))
    }
}

/// The name of the loss that suits a network and its targets: mean squared error for values, cross entropy for classes, and
/// for two classes and one output binary cross entropy; of logarithms of probabilities, the negative log-likelihood.
pub fn default_loss(network: &Network, targets: &Targets) -> &'static str {
    match targets {
        Targets::Values(_) => "mean_squared_error",
        Targets::Classes(2) if network.output_shape().size() == 1 => "binary_cross_entropy",
        Targets::Classes(_) if network.output_kind() == OutputKind::LogProbabilities => "nll",
        Targets::Classes(_) => "cross_entropy",
    }
}

/// The loss that a network was trained with, as its notes say, or else the one that suits it.
///
/// # Errors
/// If the notes name a loss that does not exist.
pub fn training_loss(network: &Network, metadata: &Metadata, targets: &Targets) -> Result<Arc<dyn Loss>> {
    let noted = metadata
        .training
        .as_ref()
        .and_then(|training| training["loss"].as_str());
    Spec::from_str(noted.unwrap_or_else(|| default_loss(network, targets)))?.loss()
}

/// Refuses to train a network that ends in something else than the probabilities that the loss compares: as it is used and
/// exported, it should give probabilities.
///
/// # Errors
/// The sentence names the layer that is missing.
pub fn check_end(network: &Network, loss: &dyn Loss) -> Result<()> {
    let kind = network.output_kind();
    let needed = match loss.output_activation() {
        Some(OutputActivation::Softmax) if kind != OutputKind::Distribution => OutputActivation::Softmax,
        Some(OutputActivation::Sigmoid) if kind == OutputKind::Real => OutputActivation::Sigmoid,
        _ => return Ok(()),
    };
    let needed = needed.layer();
    let (loss, needed) = (loss.name(), needed.kind());
    if kind == OutputKind::LogProbabilities {
        bail!("{loss} compares probabilities, and the network gives their logarithms: train it with --loss nll");
    }
    match last_kind(network)? {
        last if last == needed => bail!(
            "{loss} compares probabilities, and layers after the one of kind {needed} make other numbers of them: end the network in the \
             layer of kind {needed}"
        ),
        last => bail!(
            "{loss} compares probabilities, and the network ends in a layer of kind {last}: add one of kind {needed}"
        ),
    }
}

/// The settings of `--augment`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WarpSettings {
    shift: f64,
    rotate: f64,
    scale: f64,
    shear: f64,
    elastic: f64,
    sigma: f64,
    noise: f64,
}

impl Default for WarpSettings {
    /// None; and a width of elastic changes that suits digits of 28 pixels (Simard, Steinkraus and Platt, 2003).
    fn default() -> Self {
        WarpSettings {
            shift: 0.0,
            rotate: 0.0,
            scale: 0.0,
            shear: 0.0,
            elastic: 0.0,
            sigma: 4.0,
            noise: 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use gradus::loss::CrossEntropy;
    use gradus::optim::{RmsProp, Sgd};
    use gradus::schedule::StepDecay;

    #[derive(Parser)]
    struct TestCli {
        #[command(flatten)]
        recipe: Recipe,
    }

    fn parse(arguments: &str) -> Recipe {
        TestCli::try_parse_from(["train"].into_iter().chain(arguments.split_whitespace()))
            .unwrap()
            .recipe
    }

    /// How a part of the recipe prints itself, or its error.
    fn show<T: std::fmt::Debug>(part: Result<T>) -> String {
        part.map_or_else(|error| format!("{error:#}"), |part| format!("{part:?}"))
    }

    #[test]
    fn names_and_settings_become_parts_of_the_library() {
        let recipe = parse(
            "--loss cross_entropy:label_smoothing=.1 --optimizer rmsprop:alpha=0.9 --learning-rate 0.5 --momentum 0.25",
        );
        assert_eq!(
            show(recipe.optimizer()),
            format!("{:?}", RmsProp::new(0.5).alpha(0.9).momentum(0.25))
        );
        let loss = recipe.loss.unwrap();
        assert_eq!(
            show(loss.loss()),
            format!("{:?}", CrossEntropy::new().label_smoothing(0.1))
        );
        assert_eq!(String::from(loss), "cross_entropy:label_smoothing=0.1");
        let recipe =
            parse("--optimizer sgd --nesterov --momentum 0.9 --weight-decay 1e-4 --learning-rate 0.1 --clip-norm 5");
        assert_eq!(
            show(recipe.optimizer()),
            format!("{:?}", Sgd::new(0.1).momentum(0.9).nesterov().weight_decay(1e-4))
        );
        assert_eq!(recipe.clip().unwrap(), Some(Clip::Norm(5.0)));
        let recipe = parse("--schedule step_decay:every=5,factor=0.5 --warmup 100");
        let schedule = recipe.schedule().unwrap();
        assert_eq!(schedule.name(), "warmup");
        assert_eq!(
            show(Ok(schedule)),
            format!("{:?}", Warmup::new(100, StepDecay::new(5, 0.5)))
        );
        assert!(!recipe.bfloat16 && parse("--bfloat16").bfloat16);
        assert_eq!(parse("--bfloat16").to_json()["bfloat16"], true);
        let recipe = parse("--augment shift=2,rotate=10,noise=0.1");
        let warp = Warp::new().shift(2.0).rotate(10.0).scale(0.0).shear(0.0);
        let expected = Compose::new().then(warp).then(Noise::new(0.1));
        assert_eq!(show(recipe.augmentation().map(Option::unwrap)), format!("{expected:?}"));
        let recipe = parse("--augment noise:std=0.5");
        assert_eq!(show(recipe.augmentation().map(Option::unwrap)), "Noise { std: 0.5 }");
    }

    #[test]
    fn help_names_all_that_can_be_chosen() {
        let command = <TestCli as clap::CommandFactory>::command();
        let help = |name: &str| {
            command
                .get_arguments()
                .find(|a| a.get_id() == name)
                .unwrap()
                .get_help()
                .unwrap()
                .to_string()
        };
        assert!(help("optimizer").contains("sgd, adam, adamw, rmsprop, nadam, lion or muon, with settings"));
        let all = [
            ("loss", registry().losses.names().last()),
            ("schedule", registry().schedules.names().last()),
        ];
        for (option, last) in all {
            assert!(help(option).contains(last.unwrap()), "{}", help(option));
        }
    }

    #[test]
    fn every_name_of_the_library_is_known() {
        let registry = registry();
        for name in registry.schedules.names().filter(|&name| name != "warmup") {
            assert_eq!(parse(&format!("--schedule {name}")).schedule().unwrap().name(), name);
        }
        for name in registry.optimizers.names() {
            assert_eq!(parse(&format!("--optimizer {name}")).optimizer().unwrap().name(), name);
        }
        for name in registry.losses.names() {
            assert_eq!(Spec::from_str(name).unwrap().loss().unwrap().name(), name);
        }
    }

    #[test]
    fn what_makes_no_sense_is_a_sentence() {
        let optimizer = |arguments| show(parse(arguments).optimizer());
        assert!(optimizer("--optimizer adagrad").starts_with("there is no optimizer \"adagrad\"; choose one of sgd"));
        assert!(
            optimizer("--optimizer adam --momentum 0.9")
                .starts_with("the optimizer adam: unknown setting `momentum`, expected one of")
        );
        assert!(optimizer("--optimizer sgd:learning_rate=1 --learning-rate 2").contains("learning_rate is set twice"));
        assert!(optimizer("--optimizer sgd --learning-rate -1").starts_with("SGD: learning rate must be"));
        let schedule = |arguments| show(parse(arguments).schedule());
        assert!(
            schedule("--schedule cosine:to=low").starts_with("the schedule cosine: to must be a number, got \"low\""),
            "{}",
            schedule("--schedule cosine:to=low")
        );
        assert!(
            schedule("--schedule constant:to=1").contains("the schedule constant: unknown setting `to`, it has none")
        );
        assert!(show(Spec::from_str("mse").unwrap().loss()).starts_with("there is no loss \"mse\""));
        assert_eq!(
            show(parse("--learning-rate nan").optimizer()),
            "--learning-rate must be a finite number, got NaN"
        );
        assert_eq!(
            show(parse("--optimizer sgd --momentum=-inf").optimizer()),
            "--momentum must be a finite number, got -inf"
        );
        assert!(show(parse("--augment turn=3").augmentation()).starts_with("--augment: unknown setting `turn`"));
        let unknown = show(parse("--augment shift").augmentation());
        assert!(
            unknown.starts_with("--augment: there is no augmentation \"shift\"; choose one of warp, noise"),
            "{unknown}"
        );
        assert!(show(parse("--clip-value 0").clip()).contains("clip"));
        assert!(TestCli::try_parse_from(["train", "--schedule", "cosine:to"]).is_err());
        assert!(TestCli::try_parse_from(["train", "--clip-value", "1", "--clip-norm", "1"]).is_err());
    }
}
