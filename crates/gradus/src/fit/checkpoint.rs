//! Checkpoints: what they keep of a run, when they are written, and how a run goes on from one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gradus_kernels::vectorize;
use serde_json::json;

use super::run::TrainingRun;
use super::{Fit, freeze, group};
use crate::callback::CallbackState;
use crate::data::{Dataset, Target};
use crate::error::plural;
use crate::history::History;
use crate::random::nth;
use crate::registry::{Member, described};
use crate::save::checkpoint::{self, Checkpoint, Progress};
use crate::{Error, Float, Network, Result};

/// The settings that describe the data.
const TRAINING: &str = "training data";
const VALIDATION: &str = "validation data";

/// Where checkpoints are written, and when.
#[derive(Debug)]
pub(super) struct Checkpoints {
    pub path: PathBuf,
    pub every: Duration,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Position {
    /// Epochs finished, and steps of the next.
    pub epoch: usize,
    pub step: usize,
    /// The sum of the losses of the present epoch's samples so far, and its seconds.
    pub total: f64,
    pub seconds: f64,
    /// Whether the last epoch was the last one.
    pub ended: bool,
}

/// How many samples stood for all of a data set in the first checkpoints.
const PROBES: usize = 64;

impl TrainingRun<'_> {
    /// Writes a checkpoint, if it is time for one.
    pub(super) fn checkpoint_if_due(&mut self) -> Result<()> {
        let since = || (self.clock)().saturating_sub(self.written);
        let due = (self.fit.checkpoints.as_ref()).is_some_and(|to| since() >= to.every);
        if due {
            self.checkpoint()?;
        }
        Ok(())
    }

    /// Writes a checkpoint, if somebody wants any. In the middle of an epoch there is none if a metric can't say what it knows.
    pub(super) fn checkpoint(&mut self) -> Result<()> {
        let position = self.position;
        let (Some(checkpoints), Some(settings)) = (&self.fit.checkpoints, &self.settings) else {
            return Ok(());
        };
        let meters = if position.step == 0 {
            Vec::new()
        } else {
            match self.meters.iter().map(|meter| meter.saved()).collect() {
                Some(meters) => meters,
                None => return Ok(()),
            }
        };
        let mut memory = CallbackState::default();
        for callback in &self.fit.callbacks {
            callback.save(&mut memory);
        }
        let progress = Progress {
            settings: settings.clone(),
            seed: self.network.seed(),
            epoch: position.epoch,
            step: position.step,
            steps: self.trainer.count(),
            ended: position.ended,
            total: position.total,
            seconds: position.seconds,
            meters,
        };
        for callback in &mut self.fit.callbacks {
            callback.on_checkpoint()?;
        }
        let slots = self.trainer.slots();
        checkpoint::write(
            &checkpoints.path,
            &progress,
            &self.history,
            self.network.weights(),
            slots,
            &memory,
        )?;
        self.written = (self.clock)();
        Ok(())
    }

    /// Refuses a checkpoint whose settings were others.
    fn check_settings(&self, saved: &BTreeMap<String, String>, refused: impl Fn(String) -> Error) -> Result<()> {
        let earlier = earlier_settings(&self.fit, self.network);
        for (name, value) in self.settings.iter().flatten() {
            let before = saved.get(name).map_or("nothing", String::as_str);
            let data = match name.as_str() {
                TRAINING => Some(&*self.train),
                VALIDATION => self.validation.as_deref(),
                _ => None,
            };
            let probed = data.map(probed).transpose()?;
            let same = before == value || earlier.get(&**name).is_some_and(|earlier| before == earlier);
            if !same && probed.is_none_or(|probed| before != probed) {
                return Err(refused(format!(
                    "this training can't go on from it: the {name} was {before}, and is now {value}"
                )));
            }
        }
        Ok(())
    }

    /// Takes up what a checkpoint kept; returns what callbacks remember.
    pub(super) fn resume(&mut self, path: &Path) -> Result<CallbackState> {
        let saved = Checkpoint::load(path)?;
        let refused = |message: String| Error::file(path, message);
        self.check_settings(&saved.progress.settings, refused)?;
        let Checkpoint {
            progress,
            history,
            weights,
            slots,
            memory,
        } = saved;
        if progress.epoch > self.fit.epochs {
            return Err(refused(format!(
                "it has {} behind it, more than the {} asked for",
                plural(progress.epoch, "epoch"),
                self.fit.epochs
            )));
        }
        let steps_per_epoch = self.steps_per_epoch();
        let possible = history.columns == self.history.columns
            && progress.step < steps_per_epoch.max(1)
            && progress.steps == (progress.epoch * steps_per_epoch + progress.step) as u64
            && (progress.step == 0 || progress.meters.len() == self.meters.len())
            && memory
                .weights
                .values()
                .all(|kept| kept.same_sizes(self.network.weights()));
        if !possible {
            return Err(refused("it is of another training, or damaged".into()));
        }
        if !self.trainer.restore(progress.steps, &slots) {
            return Err(refused(format!(
                "what it keeps for the optimizer, {} tensors, is not for this one",
                slots.len()
            )));
        }
        for (meter, saved) in self.meters.iter_mut().zip(&progress.meters) {
            if !meter.restore(saved) {
                return Err(refused("what it keeps for a metric is not for this one".into()));
            }
        }
        (self.network.set_weights(&weights)).map_err(|e| refused(e.to_string()))?;
        self.network.seed = progress.seed;
        self.history = History {
            epochs: history.epochs,
            ..std::mem::take(&mut self.history)
        };
        self.position = Position {
            epoch: progress.epoch,
            step: progress.step,
            total: progress.total,
            seconds: progress.seconds,
            ended: progress.ended,
        };
        Ok(memory)
    }
}

/// What decides how a run goes on, beside what a checkpoint keeps.
pub(super) fn settings(
    fit: &Fit<'_>,
    network: &Network,
    train: &dyn Dataset,
    validation: Option<&dyn Dataset>,
    seed: u64,
) -> Result<BTreeMap<String, String>> {
    let metrics: Vec<String> = (fit.metrics.iter())
        .map(|metric| described(&**metric).unwrap_or_else(|| metric.name()))
        .collect();
    let schedule = fit.schedule.as_deref().filter(|schedule| schedule.name() != "constant");
    let mut settings = BTreeMap::from([
        ("network".to_string(), network.architecture()?.to_string()),
        ("loss".to_string(), needed("Loss", &*fit.loss)?),
        ("optimizer".to_string(), needed("Optimizer", &*fit.optimizer)?),
        (
            "clipping".to_string(),
            fit.clip.map_or("nothing".into(), |clip| json!(clip).to_string()),
        ),
        (
            "frozen parameters".to_string(),
            freeze::described(network, &fit.frozen)?,
        ),
        ("parameter groups".to_string(), group::described_groups(fit, network)?),
        ("batch size".to_string(), fit.batch_size.to_string()),
        (
            "precision of products".to_string(),
            if fit.bfloat16 { "bfloat16" } else { "full" }.to_string(),
        ),
        (
            "augmentation".to_string(),
            (fit.augmentation.as_deref()).map_or(Ok("nothing".into()), |one| needed("Augmentation", one))?,
        ),
        ("metrics".to_string(), metrics.join(", ")),
        ("seed".to_string(), seed.to_string()),
        (TRAINING.to_string(), digest(train)?),
        (VALIDATION.to_string(), validation.map_or(Ok("nothing".into()), digest)?),
        (
            "schedule".to_string(),
            schedule.map_or(Ok("constant".into()), |schedule| needed("Schedule", schedule))?,
        ),
    ]);
    if schedule.is_some_and(|schedule| schedule.reads_steps()) {
        settings.insert("number of epochs".to_string(), fit.epochs.to_string());
    }
    Ok(settings)
}

/// An item and its settings, by which a checkpoint knows it again.
pub(super) fn needed<T: Member + ?Sized>(of: &str, item: &T) -> Result<String> {
    described(item).ok_or_else(|| {
        Error::invalid(format!(
            "a checkpoint needs the settings of the {} {}, to know whether training goes on with the same: implement {of}::settings, \
             which returns null if there are none",
            T::WHAT,
            item.own_name()
        ))
    })
}

/// The settings as earlier checkpoints have them: as the types printed themselves for debugging.
fn earlier_settings(fit: &Fit<'_>, network: &Network) -> BTreeMap<&'static str, String> {
    let layers: Vec<String> = network.graph.layers().map(|op| format!("{:?}", op.layer)).collect();
    let schedule = fit.schedule.as_deref().filter(|schedule| schedule.name() != "constant");
    let metrics: Vec<String> = fit.metrics.iter().map(|metric| metric.name()).collect();
    BTreeMap::from([
        ("network", format!("{} → {}", network.input_shape(), layers.join(", "))),
        ("loss", format!("{:?}", fit.loss)),
        ("optimizer", format!("{:?}", fit.optimizer)),
        ("clipping", format!("{:?}", fit.clip)),
        ("augmentation", format!("{:?}", fit.augmentation)),
        ("metrics", metrics.join(", ")),
        ("schedule", format!("{schedule:?}")),
    ])
}

/// A data set in short: its size, and a digest of the bits of all samples and targets.
fn digest(data: &dyn Dataset) -> Result<String> {
    let mut x = vec![0.0; data.shape().size()];
    // Each value is hashed with its position, and by itself: the sum becomes vector code.
    let hashed = |values: &[Float]| {
        let hashes = values
            .iter()
            .enumerate()
            .map(|(i, v)| nth(v.to_bits().into(), i as u64 + 1));
        vectorize!(|| hashes.fold(0, u64::wrapping_add))
    };
    let mut digest = 0;
    for i in 0..data.len() {
        data.read(i, &mut x)?;
        let target = match data.target(i) {
            Target::Class(class) => class as u64,
            Target::Values(values) => hashed(values),
        };
        digest = nth(nth(digest, hashed(&x)), target);
    }
    Ok(format!("{} samples (digest {digest:016x})", data.len()))
}

/// A data set as the first checkpoints described it: its size, and a number from the bits of some of its samples.
fn probed(data: &dyn Dataset) -> Result<String> {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    // FNV-1a (Fowler, Noll and Vo), by words.
    let mut add = |word: u64| hash = (hash ^ word).wrapping_mul(0x0100_0000_01b3);
    let mut x = vec![0.0; data.shape().size()];
    for i in (0..data.len()).step_by(data.len().div_ceil(PROBES).max(1)) {
        data.read(i, &mut x)?;
        x.iter().for_each(|v: &Float| add(v.to_bits().into()));
        match data.target(i) {
            Target::Class(class) => add(class as u64),
            Target::Values(values) => values.iter().for_each(|v| add(v.to_bits().into())),
        }
    }
    Ok(format!("{} samples ({hash:016x})", data.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Arrays;
    use crate::prelude::*;
    use ndarray::Array2;

    /// 200 samples, of which the probes of the first checkpoints are every fourth.
    fn data(change: impl FnOnce(&mut Array2<Float>, &mut Vec<Float>)) -> Arrays {
        let mut x = Array2::from_shape_fn((200, 3), |(i, j)| ((i * 3 + j) as Float).sin());
        let mut t = (0..200).map(|i| (i as Float).cos()).collect();
        change(&mut x, &mut t);
        Arrays::values(x, ndarray::Array1::from_vec(t)).unwrap()
    }

    fn fit<'a>(validation: &'a Arrays) -> Fit<'a> {
        Fit::new(MeanSquaredError, Adam::new(0.01))
            .epochs(2)
            .batch_size(50)
            .seed(1)
            .validation(validation)
    }

    fn network() -> Network {
        Sequential::new([3]).layer(Dense::new(1)).build(1).unwrap()
    }

    /// Checkpoints had the settings as the types print themselves for debugging.
    #[test]
    fn earlier_checkpoints_go_on() {
        let train = data(|_, _| ());
        let folder = std::env::temp_dir().join(format!("gradus-{}-earlier", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("checkpoint");
        let fit = |rate| {
            Fit::new(Huber::new(0.5), Adam::new(rate))
                .epochs(2)
                .batch_size(50)
                .seed(1)
                .clip(Clip::Norm(1.0))
                .schedule(crate::schedule::Exponential::new(0.5))
        };
        fit(0.01)
            .checkpoint(&file, Duration::ZERO)
            .run(&mut network(), &train)
            .unwrap();
        let mut saved = Checkpoint::load(&file).unwrap();
        for (name, now, earlier) in [
            ("loss", r#"huber {"delta":0.5}"#, "Huber { delta: 0.5 }"),
            (
                "optimizer",
                r#"adam {"beta1":0.9,"beta2":0.999,"epsilon":1e-8,"learning_rate":0.01,"weight_decay":0.0}"#,
                "Adam { learning_rate: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 }",
            ),
            ("clipping", r#"{"norm":1.0}"#, "Some(Norm(1.0))"),
            ("augmentation", "nothing", "None"),
            (
                "schedule",
                r#"exponential {"per_epoch":0.5}"#,
                "Some(Exponential { per_epoch: 0.5 })",
            ),
        ] {
            let before = saved.progress.settings.insert(name.into(), earlier.into());
            assert_eq!(before.as_deref(), Some(now));
        }
        let layers = "3 → Dense { units: 1, bias: true, init: Init(HeNormal) }";
        saved.progress.settings.insert("network".into(), layers.into());
        write(&file, &saved);
        fit(0.01).resume(&file).run(&mut network(), &train).unwrap();
        let error = fit(0.02)
            .resume(&file)
            .run(&mut network(), &train)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("the optimizer was Adam { learning_rate: 0.01, "),
            "{error}"
        );
        std::fs::remove_dir_all(folder).unwrap();
    }

    fn write(file: &Path, saved: &Checkpoint) {
        let (history, weights, slots) = (&saved.history, &saved.weights, saved.slots.iter());
        checkpoint::write(file, &saved.progress, history, weights, slots, &saved.memory).unwrap();
    }

    #[test]
    fn any_changed_sample_or_target_is_noticed() {
        let same = data(|_, _| ());
        let folder = std::env::temp_dir().join(format!("gradus-{}-changed", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("checkpoint");
        fit(&same)
            .checkpoint(&file, Duration::ZERO)
            .run(&mut network(), &same)
            .unwrap();
        let resume = |train: &Arrays, validation: &Arrays| fit(validation).resume(&file).run(&mut network(), train);
        resume(&same, &same).unwrap();
        let unprobed = data(|_, t| t[3] = 0.0);
        assert_eq!(probed(&unprobed).unwrap(), probed(&same).unwrap());
        for changed in [
            unprobed,
            data(|x, _| x[[1, 2]] += 1e-3),
            data(|x, _| x.swap([2, 0], [2, 1])),
            data(|x, _| x.swap([5, 0], [9, 0])),
            data(|x, _| x[[199, 0]] *= -1.0),
            data(|_, t| t.swap(6, 7)),
        ] {
            let error = resume(&changed, &same).unwrap_err().to_string();
            assert!(error.contains("the training data was 200 samples (digest "), "{error}");
            let error = resume(&same, &changed).unwrap_err().to_string();
            assert!(error.contains("the validation data was 200 samples"), "{error}");
        }

        // A checkpoint from before there were digests.
        let mut saved = Checkpoint::load(&file).unwrap();
        for name in [TRAINING, VALIDATION] {
            saved.progress.settings.insert(name.into(), probed(&same).unwrap());
        }
        write(&file, &saved);
        resume(&same, &same).unwrap();
        let error = resume(&data(|_, t| t[4] = 0.0), &same).unwrap_err().to_string();
        assert!(error.contains("the training data was 200 samples ("), "{error}");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
