//! Which samples a network was trained on. They are known by their content, so that neither a path nor their order matters.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use gradus::Float;
use gradus::data::{Dataset, Subset, Target};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::data_source::{DataSource, is_published};
use crate::data_splits::{DataSplits, ReadOptions, XOR, hold_out, sha256};
use crate::metadata::{DataOrigin, Metadata};
use crate::numbers::plural;
use crate::plot::count;

/// Of more samples, no digests are kept: they would take more than 11 MB of a network's file.
const MAX_DIGESTS: usize = 1 << 20;
/// The bits of a digest that are of the target; the others are of the sample.
const TARGET_BITS: u32 = 16;

/// What a network's file says of the samples that it was trained on, those for validation among them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingFingerprint {
    /// The SHA-256 of all samples, in their order.
    pub sha256: String,
    /// The digests of the samples, each of 8 bytes, in ascending order and as base64. A published set never changes, and has none
    /// here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digests: Option<String>,
}

impl TrainingFingerprint {
    /// Those of a data set for training that was read from this place.
    ///
    /// # Errors
    /// If the samples can't be read.
    pub fn of(train: &dyn Dataset, origin: &DataOrigin) -> Result<TrainingFingerprint> {
        let digests = if origin.name == XOR || is_published(&origin.name) || train.len() > MAX_DIGESTS {
            None
        } else {
            let mut digests = digests(train)?;
            digests.sort_unstable();
            let bytes: Vec<u8> = digests.iter().flat_map(|digest| digest.to_be_bytes()).collect();
            Some(BASE64_STANDARD.encode(bytes))
        };
        Ok(TrainingFingerprint {
            sha256: sha256(train)?,
            digests,
        })
    }

    /// The digests, if the file has them.
    fn digests(&self) -> Result<Option<Vec<u64>>> {
        let Some(text) = &self.digests else { return Ok(None) };
        let bytes = BASE64_STANDARD.decode(text).context("the digests are not base64")?;
        let (digests, rest) = bytes.as_chunks::<8>();
        ensure!(
            rest.is_empty(),
            "the digests are {}, not 8 a sample",
            plural(bytes.len(), "byte")
        );
        Ok(Some(digests.iter().map(|&digest| u64::from_be_bytes(digest)).collect()))
    }
}

/// Which of the samples at hand a network was trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// It is known.
    Known {
        /// The number of samples to test on before those were left out that it was trained on.
        all: usize,
        /// How many are left out.
        left_out: usize,
        /// Whether those are the very samples that it was trained on; otherwise they have the same values as some of these, which
        /// in a table of few distinct rows may be by chance.
        same: bool,
        /// How many of the others are equal to one that it was trained on: such samples are in the data more than once.
        alike: usize,
        /// How many of the samples for training it was trained on.
        train: usize,
    },
    /// It can't be known.
    Unknown {
        /// Whether the network's file says anything of them.
        noted: bool,
    },
}

impl Overlap {
    /// Whether no sample is left to test on.
    pub fn is_all(&self) -> bool {
        matches!(self, Overlap::Known { all, left_out, .. } if all == left_out)
    }
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |samples: usize| count(samples as u64);
        match *self {
            Overlap::Known {
                all, left_out, same, ..
            } if left_out == all => {
                let overlap = overlap_phrase(all, same);
                match all {
                    1 => write!(f, "The only sample {overlap}."),
                    _ => write!(f, "All {} samples {overlap}.", count(all)),
                }
            }
            Overlap::Known {
                all,
                left_out,
                same,
                alike,
                ..
            } => {
                if (left_out, all) == (0, 1) {
                    write!(f, "The only sample was not used in training or validation.")?;
                } else if left_out == 0 {
                    write!(
                        f,
                        "None of the {} samples was used in training or validation.",
                        count(all)
                    )?;
                } else {
                    write!(
                        f,
                        "{} of the {} samples {} and {} left out.",
                        count(left_out),
                        count(all),
                        overlap_phrase(left_out, same),
                        if left_out == 1 { "is" } else { "are" }
                    )?;
                }
                match alike {
                    0 => Ok(()),
                    1 => write!(f, " Of the others, 1 is equal to one that was used."),
                    _ => write!(f, " Of the others, {} are equal to one that was used.", count(alike)),
                }
            }
            Overlap::Unknown { noted: true } => write!(
                f,
                "Which of the samples were used in training cannot be known: the network's file does not list them, and the data \
                 that it was trained on are not at hand as they were."
            ),
            Overlap::Unknown { noted: false } => write!(
                f,
                "Which of the samples were used in training cannot be known: the network's file does not say."
            ),
        }
    }
}

/// What is known of so many samples, as a part of a sentence: that they are `same` as learned ones, or equal to them.
pub fn overlap_phrase(samples: usize, same: bool) -> &'static str {
    match (same, samples) {
        (true, 1) => "was used in training or validation",
        (true, _) => "were used in training or validation",
        (false, 1) => "has the same values as samples of training or validation",
        (false, _) => "have the same values as samples of training or validation",
    }
}

/// Divides samples into those that the network was trained on and others; data that have a part for testing keep it, but for
/// samples that the network was trained on. `splits` has all samples in both parts, if the data have no part for testing.
///
/// # Errors
/// If the samples can't be read, or the network's file is damaged.
pub fn divide(
    splits: DataSplits,
    metadata: &Metadata,
    read_options: &ReadOptions<'_>,
    source: &DataSource,
) -> Result<(DataSplits, Overlap)> {
    let noted = metadata.origin.as_ref();
    let by_position = noted.and_then(|noted| at_positions(&splits, noted));
    let Some(fingerprint) = &metadata.fingerprint else {
        return Ok((by_position.unwrap_or(splits), Overlap::Unknown { noted: false }));
    };
    let digests_of_noted = fingerprint.digests().context("the network's note `data.learned`")?;

    // The same samples in the same order.
    let whole = (!splits.divided).then(|| splits.clone());
    for parts in by_position.iter().chain(&whole) {
        if sha256(&*parts.train)? == fingerprint.sha256 {
            let (all, left_out) = match (splits.divided, parts.train.len() == splits.train.len()) {
                (true, _) => (splits.test.len(), 0),
                (false, true) => (splits.train.len(), splits.train.len()),
                (false, false) => (splits.train.len(), parts.train.len()),
            };
            let alike = match &digests_of_noted {
                Some(learned) if left_out < all => alike(&digests(&*parts.test)?, learned),
                _ => 0,
            };
            let overlap = Overlap::Known {
                all,
                left_out,
                same: true,
                alike,
                train: parts.train.len(),
            };
            return Ok((parts.clone(), overlap));
        }
    }

    let again = || noted.and_then(|noted| read_again(noted, fingerprint, read_options, source));
    match digests_of_noted.or_else(again) {
        Some(learned) => by_content(splits, &learned),
        None => {
            // What was read from the same place may be the same.
            let same = by_position.filter(|_| noted.is_some_and(|noted| noted.name == splits.origin.name));
            Ok((same.unwrap_or(splits), Overlap::Unknown { noted: true }))
        }
    }
}

/// Divides samples as those at another place were divided, by their positions.
fn at_positions(splits: &DataSplits, origin: &DataOrigin) -> Option<DataSplits> {
    if splits.divided {
        return Some(splits.clone());
    }
    origin.held_out?;
    // Data of another size may be too small for that.
    let [train, test] = hold_out(&*splits.train, origin).ok()?;
    parts(splits, train, test).ok()
}

/// The task with these positions of its samples in its parts; a part of none stays as it is.
fn parts(splits: &DataSplits, train: Vec<usize>, test: Vec<usize>) -> Result<DataSplits> {
    let part = |data: &Arc<dyn Dataset>, positions: Vec<usize>| -> Result<Arc<dyn Dataset>> {
        Ok(match positions[..] {
            [] => data.clone(),
            _ => Arc::new(Subset::new(data.clone(), positions)?),
        })
    };
    Ok(DataSplits {
        train: part(&splits.train, train)?,
        test: part(&splits.test, test)?,
        ..splits.clone()
    })
}

/// The digests of the samples that a network was trained on, if they are still where they were, as they were.
fn read_again(
    origin: &DataOrigin,
    fingerprint: &TrainingFingerprint,
    read_options: &ReadOptions<'_>,
    source: &DataSource,
) -> Option<Vec<u64>> {
    let source = DataSource {
        offline: true,
        quiet: true,
        ..source.clone()
    };
    let splits = DataSplits::load(origin, &source, read_options).ok()?;
    let same = sha256(&*splits.train).ok()? == fingerprint.sha256;
    same.then(|| digests(&*splits.train).ok()).flatten()
}

/// Divides samples by their content alone. Equal samples are taken for the ones that were learned as often as they were learned.
fn by_content(splits: DataSplits, learned: &[u64]) -> Result<(DataSplits, Overlap)> {
    let mut all = digests(&*splits.train)?;
    let first_to_test = if splits.divided { all.len() } else { 0 };
    if splits.divided {
        all.extend(digests(&*splits.test)?);
    }
    let mut left = HashMap::<u64, usize>::new();
    learned.iter().for_each(|&digest| *left.entry(digest).or_default() += 1);
    let take = |left: &mut HashMap<u64, usize>, digest| match left.get_mut(&digest) {
        Some(n @ 1..) => {
            *n -= 1;
            true
        }
        _ => false,
    };
    let mut was_learned: Vec<bool> = all.iter().map(|&digest| take(&mut left, digest)).collect();
    // All that it was trained on, and no two of those equal: that is not by chance.
    let same = left.len() == learned.len() && left.values().all(|&n| n == 0);
    // The same samples with other targets were learned too.
    let mut left_samples = HashMap::<u64, usize>::new();
    for (digest, n) in left {
        *left_samples.entry(digest >> TARGET_BITS).or_default() += n;
    }
    for (was_learned, digest) in was_learned.iter_mut().zip(&all) {
        *was_learned = *was_learned || take(&mut left_samples, digest >> TARGET_BITS);
    }

    let (of_train, of_test) = match splits.divided {
        true => was_learned.split_at(first_to_test),
        false => (&was_learned[..], &was_learned[..]),
    };
    let (test, left_out): (Vec<usize>, Vec<usize>) = (0..of_test.len()).partition(|&i| !of_test[i]);
    let others: Vec<u64> = test.iter().map(|&i| all[first_to_test + i]).collect();
    let train: Vec<usize> = (0..of_train.len()).filter(|&i| of_train[i]).collect();
    let overlap = Overlap::Known {
        all: of_test.len(),
        left_out: left_out.len(),
        same,
        alike: alike(&others, learned),
        train: train.len(),
    };
    let train = if splits.divided { Vec::new() } else { train };
    Ok((parts(&splits, train, test)?, overlap))
}

/// How many samples of these digests are equal to learned ones, whatever their targets.
fn alike(samples: &[u64], learned: &[u64]) -> usize {
    let learned: HashSet<u64> = learned.iter().map(|digest| digest >> TARGET_BITS).collect();
    let alike = samples
        .iter()
        .filter(|&digest| learned.contains(&(digest >> TARGET_BITS)));
    alike.count()
}

/// A number for the content of each sample: 48 bits of the SHA-256 of its values in 32 bits, then 16 of that of its values and its
/// target. A sample that was not learned is taken for one of a million that were with a probability of 4 · 10⁻⁹.
fn digests(data: &dyn Dataset) -> Result<Vec<u64>> {
    let mut x = vec![0.0; data.shape().size()];
    let mut bytes = Vec::new();
    let first = |hash: Sha256| {
        let hash = hash.finalize();
        (0..8).fold(0, |bits, i| bits << 8 | u64::from(hash[i]))
    };
    let mut digest = |i| -> Result<u64> {
        data.read(i, &mut x)?;
        bytes.resize(4 * x.len(), 0);
        for (bytes, &value) in bytes.chunks_exact_mut(4).zip(&x) {
            bytes.copy_from_slice(&value_bytes(value));
        }
        let mut hash = Sha256::new();
        hash.update(&bytes);
        let sample = first(hash.clone());
        match data.target(i) {
            Target::Class(class) => hash.update((class as u64).to_le_bytes()),
            Target::Values(values) => values.iter().for_each(|&v| hash.update(value_bytes(v))),
        }
        Ok(sample >> TARGET_BITS << TARGET_BITS | first(hash) >> (64 - TARGET_BITS))
    };
    (0..data.len()).map(&mut digest).collect()
}

/// A value as 4 bytes, in which negative zero is zero.
#[allow(clippy::unnecessary_cast, reason = "values have 64 bits in some builds")]
fn value_bytes(value: Float) -> [u8; 4] {
    (value as f32 + 0.0).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use gradus::data::Arrays;

    /// Samples of one number, with their classes.
    fn samples(samples: &[(Float, usize)]) -> Arc<dyn Dataset> {
        let (x, classes): (Vec<Float>, Vec<usize>) = samples.iter().copied().unzip();
        let x = gradus::ndarray::Array2::from_shape_vec((x.len(), 1), x).unwrap();
        Arc::new(Arrays::classes(x, classes, 2).unwrap())
    }

    fn splits(train: &[(Float, usize)], test: Option<&[(Float, usize)]>) -> DataSplits {
        let source = DataSource::default();
        let splits = DataSplits::load(&DataOrigin::named(XOR), &source, &ReadOptions::default()).unwrap();
        DataSplits {
            train: samples(train),
            test: samples(test.unwrap_or(train)),
            divided: test.is_some(),
            origin: DataOrigin::named("samples"),
            ..splits
        }
    }

    fn metadata(learned: &[(Float, usize)]) -> Metadata {
        let origin = DataOrigin {
            held_out: Some(0.5),
            ..DataOrigin::named("other samples")
        };
        Metadata {
            fingerprint: Some(TrainingFingerprint::of(&*samples(learned), &origin).unwrap()),
            origin: Some(origin),
            ..Metadata::default()
        }
    }

    fn values(data: &dyn Dataset) -> Vec<Float> {
        let mut x = [0.0];
        let value = |i| data.read(i, &mut x).map(|()| x[0]).unwrap();
        (0..data.len()).map(value).collect()
    }

    fn divided(splits: DataSplits, metadata: &Metadata) -> ([Vec<Float>; 2], Overlap) {
        let (splits, overlap) = divide(splits, metadata, &ReadOptions::default(), &DataSource::default()).unwrap();
        ([values(&*splits.train), values(&*splits.test)], overlap)
    }

    #[test]
    fn samples_are_known_by_their_content_in_any_order() {
        let metadata = metadata(&[(1.0, 0), (2.0, 1), (0.0, 0)]);
        let (parts, overlap) = divided(
            splits(&[(2.0, 1), (4.0, 0), (-0.0, 0), (1.0, 0), (3.0, 1)], None),
            &metadata,
        );
        assert_eq!(parts, [vec![2.0, 0.0, 1.0], vec![4.0, 3.0]]);
        let expected = "3 of the 5 samples were used in training or validation and are left out.";
        assert_eq!(overlap.to_string(), expected);

        let (parts, overlap) = divided(splits(&[(7.0, 1), (4.0, 0)], None), &metadata);
        assert_eq!(parts[1], [7.0, 4.0]);
        assert_eq!(
            overlap.to_string(),
            "None of the 2 samples was used in training or validation."
        );

        let (_, overlap) = divided(splits(&[(2.0, 1), (0.0, 0), (1.0, 0)], None), &metadata);
        assert!(overlap.is_all());
        assert_eq!(
            overlap.to_string(),
            "All 3 samples were used in training or validation."
        );
    }

    /// A part of what was learned, or samples of few values that were learned more than once: they may be equal by chance.
    #[test]
    fn equal_samples_are_not_taken_for_learned_ones() {
        let (_, overlap) = divided(
            splits(&[(2.0, 1), (1.0, 0)], None),
            &metadata(&[(1.0, 0), (2.0, 1), (0.0, 0)]),
        );
        assert_eq!(
            overlap.to_string(),
            "All 2 samples have the same values as samples of training or validation."
        );
        let few = metadata(&[(0.0, 0), (1.0, 1), (1.0, 1)]);
        let (parts, overlap) = divided(splits(&[(1.0, 1), (2.0, 0), (0.0, 0), (1.0, 1), (1.0, 1)], None), &few);
        assert_eq!(parts[1], [2.0, 1.0]);
        assert_eq!(
            overlap.to_string(),
            "3 of the 5 samples have the same values as samples of training or validation and are left out. Of the \
             others, 1 is equal to one that was used."
        );
    }

    /// The same sample with another target was learned; of equal ones, those with the same target first.
    #[test]
    fn targets_do_not_hide_a_sample() {
        let (parts, overlap) = divided(splits(&[(1.0, 1), (2.0, 0)], None), &metadata(&[(1.0, 0)]));
        assert_eq!(parts, [[1.0], [2.0]]);
        assert_eq!(
            overlap.to_string(),
            "1 of the 2 samples has the same values as samples of training or validation and is left out."
        );
        let (splits, overlap) = divide(
            splits(&[(1.0, 1), (1.0, 0), (1.0, 0)], None),
            &metadata(&[(1.0, 0), (1.0, 0)]),
            &ReadOptions::default(),
            &DataSource::default(),
        )
        .unwrap();
        assert_eq!((splits.test.len(), splits.test.target(0)), (1, Target::Class(1)));
        assert!(
            overlap
                .to_string()
                .ends_with("Of the others, 1 is equal to one that was used.")
        );
    }

    #[test]
    fn a_part_for_testing_loses_what_was_learned() {
        let metadata = metadata(&[(1.0, 0), (2.0, 1), (3.0, 0)]);
        // Samples were moved from one part to the other.
        let (parts, overlap) = divided(
            splits(&[(1.0, 0), (9.0, 1)], Some(&[(3.0, 0), (5.0, 1), (2.0, 1)])),
            &metadata,
        );
        assert_eq!(parts, [vec![1.0, 9.0], vec![5.0]]);
        let expected = Overlap::Known {
            all: 3,
            left_out: 2,
            same: true,
            alike: 0,
            train: 1,
        };
        assert_eq!(overlap, expected);
        // The same part for training: the other stays whole, though it has an equal sample.
        let (parts, overlap) = divided(
            splits(&[(1.0, 0), (2.0, 1), (3.0, 0)], Some(&[(3.0, 0), (5.0, 1)])),
            &metadata,
        );
        assert_eq!(parts[1], [3.0, 5.0]);
        let expected =
            "None of the 2 samples was used in training or validation. Of the others, 1 is equal to one that was used.";
        assert_eq!(overlap.to_string(), expected);
    }

    #[test]
    fn without_digests_it_cannot_be_known() {
        let mut metadata = metadata(&[(1.0, 0), (2.0, 1)]);
        let fingerprint = metadata.fingerprint.as_mut().unwrap();
        fingerprint.digests = None;
        let (parts, overlap) = divided(splits(&[(2.0, 1), (1.0, 0), (3.0, 1)], None), &metadata);
        assert_eq!(parts[1], [2.0, 1.0, 3.0]);
        assert_eq!(overlap, Overlap::Unknown { noted: true });
        // All that it learned, in its order.
        let (_, overlap) = divided(splits(&[(1.0, 0), (2.0, 1)], None), &metadata);
        assert!(overlap.is_all());
        metadata.fingerprint = None;
        assert_eq!(
            divided(splits(&[(1.0, 0)], None), &metadata).1,
            Overlap::Unknown { noted: false }
        );
    }

    #[test]
    fn damaged_digests_are_an_error() {
        let mut metadata = metadata(&[(1.0, 0), (2.0, 1)]);
        for (text, sentence) in [("?", "are not base64"), ("AAAA", "are 3 bytes, not 8 a sample")] {
            metadata.fingerprint.as_mut().unwrap().digests = Some(text.into());
            let error = divide(
                splits(&[(1.0, 0)], None),
                &metadata,
                &ReadOptions::default(),
                &DataSource::default(),
            );
            let error = format!("{:#}", error.err().unwrap());
            assert!(error.contains("`data.learned`") && error.contains(sentence), "{error}");
        }
    }
}
