//! Sequences, samples of shape `[channels, length]`, and windows that slide over them.
//!
//! A sequence is an image of height 1, so that what is fast for images serves sequences too.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::checked_size;
use super::window::{Geometry, MOST_TAPS};
use crate::Shape;
use crate::layer::WindowAxis;

/// What surrounds a sequence, so that windows can reach over its ends. A number pads both ends alike.
///
/// The formulas are those of [`Padding`](super::Padding), along one axis. `Explicit` padding before the sequence alone makes a
/// convolution causal: an output sees nothing after it.
///
/// In files it is `"valid"`, `"same"`, a number, or `{"explicit": {"before": 2, "after": 0}}`.
///
/// ```
/// use gradus::layers::{Conv1d, Padding1d};
/// use gradus::{Layer, Shape};
/// let causal = Conv1d::new(8, 3).padding(Padding1d::Explicit { before: 2, after: 0 });
/// assert_eq!(causal.bind(&Shape::from([1, 100])).unwrap().output(), &Shape::from([8, 100]));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", remote = "Self")]
pub enum Padding1d {
    /// Nothing.
    #[default]
    Valid,
    /// As much as makes output = ⌈input / stride⌉, half of it at each end; where it is odd, one more after the sequence.
    Same,
    /// This many zeros.
    Explicit {
        /// Before the first value.
        before: usize,
        /// After the last value.
        after: usize,
    },
}

impl From<usize> for Padding1d {
    fn from(size: usize) -> Self {
        Padding1d::Explicit {
            before: size,
            after: size,
        }
    }
}

impl Serialize for Padding1d {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Padding1d::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Padding1d {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Padding1dFile)
    }
}

/// Reads a [`Padding1d`] from a file.
struct Padding1dFile;

impl<'de> Visitor<'de> for Padding1dFile {
    type Value = Padding1d;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"valid\", \"same\", a number of values for both ends, or `explicit` with before and after")
    }

    fn visit_u64<E: de::Error>(self, size: u64) -> Result<Padding1d, E> {
        let size = usize::try_from(size).map_err(|_| E::invalid_value(de::Unexpected::Unsigned(size), &self))?;
        Ok(size.into())
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Padding1d, E> {
        Padding1d::deserialize(StrDeserializer::new(name))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Padding1d, A::Error> {
        Padding1d::deserialize(MapAccessDeserializer::new(map))
    }
}

impl Geometry {
    /// The geometry of this window over the sequence `input`, as an image of height 1, for the layer named `kind`; or a sentence
    /// that says why there is none.
    pub(super) fn of_sequence(
        kind: &str,
        input: &Shape,
        kernel: usize,
        stride: usize,
        dilation: usize,
        padding: Padding1d,
    ) -> Result<Self, String> {
        let (channels, length) = sequence(kind, input)?;
        for (name, size) in [("kernel", kernel), ("stride", stride), ("dilation", dilation)] {
            if size == 0 {
                return Err(format!("the {name} of {kind} must be at least 1, not 0"));
            }
        }
        if kernel > MOST_TAPS {
            return Err(format!(
                "the kernel of {kind} is {kernel}, longer than any sequence: more than {MOST_TAPS} values"
            ));
        }
        let padding = match padding {
            Padding1d::Valid => Some((0, 0)),
            Padding1d::Same => None,
            Padding1d::Explicit { before, after } => Some((before, after)),
        };
        let rows = WindowAxis::new("height", 1, 1, 1, 1, Some((0, 0)))?;
        let columns = WindowAxis::new("length", length, kernel, stride, dilation, padding)?;
        checked_size(format_args!("each channel of the output of {kind}"), &[columns.output])?;
        Ok(Geometry {
            channels,
            rows,
            columns,
        })
    }

    /// Refuses padding that leaves a window over a sequence with nothing but padding in it.
    pub(super) fn every_window_sees_the_sequence(&self, kind: &str) -> Result<(), String> {
        let axis = self.columns;
        if axis.inside(0).is_empty() || axis.inside(axis.output - 1).is_empty() {
            return Err(format!(
                "the padding of {kind} leaves windows of length {} that see nothing but padding",
                axis.kernel
            ));
        }
        Ok(())
    }
}

/// The channels and the length of a sequence; or a sentence if `input` is none, or is empty.
pub(super) fn sequence(kind: &str, input: &Shape) -> Result<(usize, usize), String> {
    match *input.dims() {
        [_, _] if input.size() == 0 => Err(format!("{kind} needs a sequence with at least one value, got {input}")),
        [channels, length] => Ok((channels, length)),
        _ => Err(format!(
            "{kind} needs a sequence of shape channels×length, got {input}: put a Reshape before it"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_in_a_file_pads_both_ends() {
        let read = |text: &str| serde_json::from_str::<Padding1d>(text).map_err(|e| e.to_string());
        assert_eq!(read("1"), Ok(Padding1d::from(1)));
        let explicit = Padding1d::Explicit { before: 1, after: 2 };
        for padding in [Padding1d::Valid, Padding1d::Same, Padding1d::from(2), explicit] {
            let file = serde_json::to_string(&padding).unwrap();
            assert_eq!(read(&file), Ok(padding), "{file}");
        }
        assert_eq!(
            serde_json::to_string(&explicit).unwrap(),
            r#"{"explicit":{"before":1,"after":2}}"#
        );
        for (file, expected) in [
            ("-1", "a number of values for both ends"),
            ("[1, 2]", "`explicit` with before and after"),
            ("\"smae\"", "unknown variant `smae`"),
            ("{\"explicit\": {\"top\": 1}}", "missing field"),
        ] {
            let found = read(file).unwrap_err();
            assert!(found.contains(expected), "{found}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let refuse = |input: &[usize], kernel: usize, stride: usize, dilation: usize, padding: Padding1d| {
            Geometry::of_sequence("conv1d", &Shape::from(input), kernel, stride, dilation, padding).unwrap_err()
        };
        let valid = Padding1d::Valid;
        assert_eq!(
            refuse(&[7], 3, 1, 1, valid),
            "conv1d needs a sequence of shape channels×length, got 7: put a Reshape before it"
        );
        assert_eq!(
            refuse(&[2, 0], 3, 1, 1, valid),
            "conv1d needs a sequence with at least one value, got 2×0"
        );
        assert_eq!(
            refuse(&[2, 5], 6, 1, 1, valid),
            "the kernel's length is 6, more than the length of the padded input, 5"
        );
        assert_eq!(
            refuse(&[2, 5], 3, 1, 3, valid),
            "the kernel's length with its dilation is 7, more than the length of the padded input, 5"
        );
        assert_eq!(
            refuse(&[2, 5], 3, 0, 1, valid),
            "the stride of conv1d must be at least 1, not 0"
        );
        assert!(refuse(&[2, 5], usize::MAX, 1, 1, Padding1d::Same).contains("longer than any sequence"));
        assert!(refuse(&[2, 5], 3, 1, usize::MAX, Padding1d::Same).contains("larger than any image"));
        assert!(refuse(&[2, 5], 3, 1, 1, usize::MAX.into()).contains("larger than any image"));
    }
}
