//! Several changes, and changes made only sometimes.

use rand::RngExt;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::Augmentation;
use crate::random::Rng;
use crate::registry::{named, read_named};
use crate::{Error, Float, Result, Shape};

/// Changes made one after the other.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compose {
    #[serde(deserialize_with = "read_changes")]
    changes: Vec<Box<dyn Augmentation>>,
}

/// Reads augmentations by their names.
fn read_changes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Box<dyn Augmentation>>, D::Error> {
    let given = Vec::<Value>::deserialize(deserializer)?;
    given
        .into_iter()
        .map(|given| read_named(given).map_err(D::Error::custom))
        .collect()
}

/// Reads an augmentation by its name.
fn read_change<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<dyn Augmentation>, D::Error> {
    read_named(Value::deserialize(deserializer)?).map_err(D::Error::custom)
}

impl Compose {
    /// No change yet.
    pub fn new() -> Self {
        Compose::default()
    }

    /// With a further change after the others.
    pub fn then(mut self, change: impl Augmentation + 'static) -> Self {
        self.changes.push(Box::new(change));
        self
    }
}

impl Augmentation for Compose {
    fn name(&self) -> &'static str {
        "compose"
    }

    fn settings(&self) -> Option<Value> {
        let changes: Option<Vec<Value>> = self.changes.iter().map(|change| named(&**change)).collect();
        Some(json!({ "changes": changes? }))
    }

    fn validate(&self, shape: &Shape) -> Result<()> {
        self.changes.iter().try_for_each(|change| change.validate(shape))
    }

    fn apply(&self, shape: &Shape, x: &mut [Float], rng: &mut Rng, scratch: &mut Vec<Float>) {
        for change in &self.changes {
            change.apply(shape, x, rng, scratch);
        }
    }
}

/// A change made with some probability.
#[derive(Debug)]
pub struct Sometimes<A> {
    probability: f64,
    change: A,
}

impl<'de> Deserialize<'de> for Sometimes<Box<dyn Augmentation>> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Settings {
            probability: f64,
            #[serde(deserialize_with = "read_change")]
            change: Box<dyn Augmentation>,
        }
        let Settings { probability, change } = Settings::deserialize(deserializer)?;
        Ok(Sometimes { probability, change })
    }
}

impl<A: Augmentation> Sometimes<A> {
    /// Makes the change with this probability, from 0 to 1.
    pub fn new(probability: f64, change: A) -> Self {
        Sometimes { probability, change }
    }
}

impl<A: Augmentation + 'static> Augmentation for Sometimes<A> {
    fn name(&self) -> &'static str {
        "sometimes"
    }

    fn settings(&self) -> Option<Value> {
        let change: &dyn Augmentation = &self.change;
        Some(json!({ "probability": self.probability, "change": named(change)? }))
    }

    fn validate(&self, shape: &Shape) -> Result<()> {
        if !(0.0..=1.0).contains(&self.probability) {
            return Err(Error::invalid(format!(
                "the probability of an augmentation is {}, and should be from 0 to 1",
                self.probability
            )));
        }
        self.change.validate(shape)
    }

    fn apply(&self, shape: &Shape, x: &mut [Float], rng: &mut Rng, scratch: &mut Vec<Float>) {
        if rng.random::<f64>() < self.probability {
            self.change.apply(shape, x, rng, scratch);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::{Noise, Warp};
    use crate::random::{Purpose, stream};

    /// A change of a user's own: `x` becomes `factor · x + 1`.
    #[derive(Debug)]
    struct Linear(Float);

    impl Augmentation for Linear {
        fn name(&self) -> &'static str {
            "linear"
        }

        fn validate(&self, _shape: &Shape) -> Result<()> {
            Ok(())
        }

        fn apply(&self, _shape: &Shape, x: &mut [Float], _rng: &mut Rng, _scratch: &mut Vec<Float>) {
            x.iter_mut().for_each(|x| *x = self.0 * *x + 1.0);
        }
    }

    #[test]
    fn changes_come_in_order() {
        let mut x = [1.0, 2.0];
        let rng = &mut stream(1, Purpose::Augment, &[]);
        let boxed: Box<dyn Augmentation> = Box::new(Linear(3.0));
        Compose::new()
            .then(Linear(2.0))
            .then(boxed)
            .apply(&2.into(), &mut x, rng, &mut Vec::new());
        assert_eq!(x, [10.0, 16.0]);
    }

    #[test]
    fn sometimes_is_as_often_as_asked() {
        let count = |probability| {
            let change = Sometimes::new(probability, Linear(0.0));
            let changed = |i| {
                let mut x = [0.0];
                change.apply(
                    &1.into(),
                    &mut x,
                    &mut stream(1, Purpose::Augment, &[i]),
                    &mut Vec::new(),
                );
                x[0] == 1.0
            };
            (0..1000).filter(|&i| changed(i)).count()
        };
        assert_eq!((count(0.0), count(1.0)), (0, 1000));
        // Four standard deviations around 300.
        assert!((242..358).contains(&count(0.3)));
    }

    #[test]
    fn what_one_refuses_all_refuse() {
        let changes = Compose::new()
            .then(Noise::new(0.1))
            .then(Sometimes::new(0.5, Warp::new().shift(1.0)));
        assert!(changes.validate(&[1, 8, 8].into()).is_ok());
        assert!(changes.validate(&64.into()).unwrap_err().to_string().contains("images"));
        for probability in [-0.1, 1.1, f64::NAN] {
            let error = Sometimes::new(probability, Linear(1.0))
                .validate(&1.into())
                .unwrap_err();
            assert!(error.to_string().contains("from 0 to 1"));
        }
    }
}
