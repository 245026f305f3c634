//! Inputs and outputs that are scaled for the network.

use gradus::{Error, Float, Result};

use crate::bytes::Units;
use crate::kernels::float;
use crate::program::Program;
use crate::quantize::Quantized;

/// How values are scaled for a network, each by its own mean and deviation: z = (x - mean) / deviation.
#[derive(Debug, Clone, PartialEq)]
pub struct Scaling {
    pub(crate) mean: Vec<f32>,
    pub(crate) deviation: Vec<f32>,
}

impl Scaling {
    /// The scaling by these means and deviations.
    ///
    /// # Errors
    /// If there are not as many of both, or one is beyond 32 bits, or a deviation is not positive.
    pub fn new(mean: &[f64], deviation: &[f64]) -> Result<Scaling> {
        if mean.len() != deviation.len() {
            return Err(Error::Invalid(format!(
                "scaling needs a mean and a deviation for each value, got {} means and {} deviations",
                mean.len(),
                deviation.len()
            )));
        }
        for (i, (&mean, &deviation)) in mean.iter().zip(deviation).enumerate() {
            let normal = f64::from(f32::MIN_POSITIVE)..=f64::from(f32::MAX);
            if !(normal.contains(&deviation) && mean.abs() <= *normal.end()) {
                return Err(Error::Invalid(format!(
                    "value {i} can't be scaled in numbers of 32 bits by the mean {mean:e} and the deviation {deviation:e}: \
                     write it in another unit"
                )));
            }
        }
        let rounded = |values: &[f64]| values.iter().map(|&value| value as f32).collect();
        Ok(Scaling {
            mean: rounded(mean),
            deviation: rounded(deviation),
        })
    }

    fn check(self, values: usize, of: &str) -> Result<Option<Scaling>> {
        if self.mean.len() == values {
            Ok(Some(self))
        } else {
            Err(Error::Invalid(format!(
                "the {of} has {values} values, and the scaling is for {}",
                self.mean.len()
            )))
        }
    }
}

impl Program {
    /// The same program for inputs that are not scaled yet: it scales them before the first step. Whatever takes inputs takes
    /// them so then: [`run`](Program::run), [`quantize`](Program::quantize), the exported file, and the program on bytes.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// use gradus_source::{Program, Scaling};
    ///
    /// let mut network = Sequential::new([1]).layer(Dense::new(1)).build(1)?;
    /// network.set("0.weight", &[3.0])?;
    /// let program = Program::of(&network)?
    ///     .with_input_scaling(Scaling::new(&[100.0], &[50.0])?)?
    ///     .with_output_scaling(Scaling::new(&[7.0], &[10.0])?)?;
    /// assert_eq!(program.run(&[200.0]), [67.0]); // 3 · (200 - 100) / 50, · 10 + 7
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the scaling is for another number of values.
    pub fn with_input_scaling(mut self, scaling: Scaling) -> Result<Program> {
        self.input_scaling = scaling.check(self.input.size(), "input")?;
        Ok(self)
    }

    /// The same program with outputs in the units of the targets, which were scaled in training: y · deviation + mean, after the
    /// last step.
    ///
    /// # Errors
    /// If the scaling is for another number of values.
    pub fn with_output_scaling(mut self, scaling: Scaling) -> Result<Program> {
        self.output_scaling = scaling.check(self.output.size(), "output")?;
        Ok(self)
    }

    /// The network's input of this one.
    pub(crate) fn standardized(&self, x: &[Float]) -> Vec<f32> {
        let x: Vec<f32> = x.iter().map(|&x| f64::from(x) as f32).collect();
        let Some(Scaling { mean, deviation }) = &self.input_scaling else {
            return x;
        };
        let mut scaled = vec![0.0; x.len()];
        float::standardize(&x, &mut scaled, mean, deviation);
        scaled
    }
}

impl Quantized {
    /// The same program for inputs that are not scaled yet, as [`Program::with_input_scaling`]: of a program that was quantized
    /// with samples that were scaled already, because they are at hand so.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// use gradus_source::{InputBytes, Program, Scaling};
    ///
    /// let network = Sequential::new([1]).layer(Dense::new(1)).build(1)?;
    /// let (scaled, unscaled) = ([[-1.0], [3.0]], [[50.0], [250.0]]);
    /// let scaling = Scaling::new(&[100.0], &[50.0])?;
    /// let program = Program::of(&network)?;
    /// let one = program.quantize(scaled.iter().map(|x| &x[..]), InputBytes::Calibrated)?.with_input_scaling(scaling.clone())?;
    /// let program = program.with_input_scaling(scaling)?;
    /// let other = program.quantize(unscaled.iter().map(|x| &x[..]), InputBytes::Calibrated)?;
    /// assert_eq!(one.bytes(&[70.0]), other.bytes(&[70.0]));
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the scaling is for another number of values.
    pub fn with_input_scaling(mut self, scaling: Scaling) -> Result<Quantized> {
        self.input_scaling = scaling.check(self.input.size(), "input")?;
        Ok(self)
    }

    /// What the bytes of an input stand for outside the network.
    pub(crate) fn input_units(&self) -> Units {
        Units::new(self.input_scale, self.input_scaling.as_ref())
    }

    /// What the bytes of an output stand for outside the network.
    pub(crate) fn output_units(&self) -> Units {
        Units::new(self.output_scale, self.output_scaling.as_ref())
    }
}
