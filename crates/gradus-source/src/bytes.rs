//! What bytes stand for.

use crate::kernels::integer;
use crate::scaling::Scaling;

/// What bytes stand for: x = scale · (q - zero).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// The distance of neighboring values.
    pub scale: f32,
    /// The byte of 0.
    pub zero: u8,
}

impl Scale {
    /// From 0 to 1, which the bytes of sigmoid and softmax stand for.
    pub(crate) const SHARES: Scale = Scale {
        scale: 1.0 / 256.0,
        zero: 0,
    };
    /// From -1 to 1, which the bytes of tanh stand for.
    pub(crate) const SIGNED: Scale = Scale {
        scale: 1.0 / 128.0,
        zero: 128,
    };

    /// What this byte stands for.
    pub fn value(self, byte: u8) -> f32 {
        self.scale * (f32::from(byte) - f32::from(self.zero))
    }

    /// The nearest byte; 0 for NaN.
    pub fn byte(self, value: f32) -> u8 {
        integer::nearest(value, 0.0, self.scale, f32::from(self.zero))
    }

    pub(crate) fn zero(self) -> i32 {
        i32::from(self.zero)
    }
}

/// The values that calibration saw; 0 is always among them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Range {
    smallest: f64,
    largest: f64,
    pub(crate) infinite: bool,
}

impl Range {
    pub(crate) fn include(&mut self, x: f64) {
        self.smallest = self.smallest.min(x);
        self.largest = self.largest.max(x);
        self.infinite |= !x.is_finite();
    }

    /// Leaves out what is beyond these bounds; 0 stays.
    pub(crate) fn limit(&mut self, low: f64, high: f64) {
        self.smallest = self.smallest.max(low.min(0.0));
        self.largest = self.largest.min(high.max(0.0));
    }

    /// The values of both.
    pub(crate) fn and(mut self, other: Range) -> Range {
        self.include(other.smallest);
        self.include(other.largest);
        self
    }

    /// The scale on which the range takes all bytes.
    pub(crate) fn scale(&self) -> Scale {
        let width = self.largest - self.smallest;
        let scale = if width > 1e-30 { width / 255.0 } else { 1.0 / 255.0 };
        Scale {
            scale: scale as f32,
            zero: (-self.smallest / scale).round().clamp(0.0, 255.0) as u8,
        }
    }
}

/// What the bytes of an input or output stand for outside the network: byte q of value i for scaleᵢ · (q - zero) + meanᵢ.
#[derive(Debug, Clone)]
pub(crate) struct Units {
    /// In the network.
    pub(crate) inside: Scale,
    /// Scale and mean of each value, if the network's own are scaled.
    pub(crate) each: Option<[Vec<f32>; 2]>,
}

impl Units {
    pub(crate) fn new(inside: Scale, scaling: Option<&Scaling>) -> Units {
        let each = scaling.map(|Scaling { mean, deviation }| {
            let scale = |&deviation: &f32| {
                let scale = f64::from(deviation) * f64::from(inside.scale);
                scale.clamp(f64::from(f32::MIN_POSITIVE), f64::from(f32::MAX)) as f32
            };
            [deviation.iter().map(scale).collect(), mean.clone()]
        });
        Units { inside, each }
    }

    fn scale_and_mean(&self, i: usize) -> (f32, f32) {
        match &self.each {
            Some([scale, mean]) => (scale[i], mean[i]),
            None => (self.inside.scale, 0.0),
        }
    }

    /// The byte of value `i`.
    pub(crate) fn byte(&self, i: usize, value: f32) -> u8 {
        let (scale, mean) = self.scale_and_mean(i);
        integer::nearest(value, mean, scale, f32::from(self.inside.zero))
    }

    /// What this byte of value `i` stands for.
    pub(crate) fn value(&self, i: usize, byte: u8) -> f32 {
        let (scale, mean) = self.scale_and_mean(i);
        scale * (f32::from(byte) - f32::from(self.inside.zero)) + mean
    }

    /// The bytes of its tables.
    pub(crate) fn table_bytes(&self) -> usize {
        self.each.iter().flatten().map(|table| 4 * table.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_a_byte_of_every_scale() {
        for (smallest, largest) in [(0.0, 7.0), (-3.0, 0.0), (-0.3, 12.7), (0.0, 0.0)] {
            let range = Range {
                smallest,
                largest,
                infinite: false,
            };
            let scale = range.scale();
            assert_eq!(scale.value(scale.zero), 0.0);
            assert_eq!(scale.byte(0.0), scale.zero);
            for x in [smallest, largest] {
                let error = f64::from(scale.value(scale.byte(x as f32))) - x;
                assert!(error.abs() <= 0.51 * f64::from(scale.scale), "{error}");
            }
        }
    }

    #[test]
    fn values_outside_and_nan_have_bytes() {
        let scale = Scale { scale: 0.1, zero: 7 };
        for (x, byte) in [
            (f32::NAN, 0),
            (f32::NEG_INFINITY, 0),
            (f32::INFINITY, 255),
            (-1e30, 0),
            (24.8, 255),
        ] {
            assert_eq!(scale.byte(x), byte, "{x}");
        }
    }
}
