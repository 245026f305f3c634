//! Parts of data sets: some samples for training, others held out.

use std::collections::BTreeMap;

use rand::RngExt;
use rand::seq::SliceRandom;

use super::{Dataset, Target, Targets, check_index};
use crate::error::plural;
use crate::random::{Purpose, stream};
use crate::{Error, Float, Result, Shape};

/// Some samples of another data set, in a given order. Nothing is copied.
///
/// ```
/// use gradus::data::{Dataset, Subset, digits};
/// let digits = digits::all()?;
/// let few = Subset::new(&digits, [3, 1, 4])?;
/// assert_eq!(few.len(), 3);
/// assert_eq!(few.target(0), digits.target(3));
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Subset<D> {
    data: D,
    indices: Vec<usize>,
}

impl<D: Dataset> Subset<D> {
    /// The samples of `data` at these positions.
    ///
    /// # Errors
    /// If a position is not in the data, or there are none.
    pub fn new(data: D, indices: impl IntoIterator<Item = usize>) -> Result<Self> {
        let indices = indices.into_iter().collect::<Vec<_>>();
        if indices.is_empty() {
            return Err(Error::invalid("a subset without samples was asked for"));
        }
        indices.iter().try_for_each(|&index| check_index(index, data.len()))?;
        Ok(Subset { data, indices })
    }

    /// The positions of its samples in the whole set.
    pub fn indices(&self) -> &[usize] {
        &self.indices
    }
}

impl<D: Dataset> Dataset for Subset<D> {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn shape(&self) -> Shape {
        self.data.shape()
    }

    fn targets(&self) -> Targets {
        self.data.targets()
    }

    fn read(&self, index: usize, x: &mut [Float]) -> Result<()> {
        check_index(index, self.len())?;
        self.data.read(self.indices[index], x)
    }

    fn prefetch(&self, index: usize) {
        if let Some(&index) = self.indices.get(index) {
            self.data.prefetch(index);
        }
    }

    fn target(&self, index: usize) -> Target<'_> {
        (self.indices.get(index)).map_or(Target::NONE, |&index| self.data.target(index))
    }

    fn class_names(&self) -> Option<&[String]> {
        self.data.class_names()
    }
}

/// Divides a data set at random into one part for training and one to hold out, which has `fraction` of the samples (rounded).
///
/// If the targets are classes, each class is divided in that proportion (stratified), as nearly as whole samples allow: its exact
/// share is rounded up or down at random, so that no class is favored, and the shares of all make the number that is held out. The
/// only sample of a class, or the last that it has left, stays for training, unless the others are too few to be held out. Both
/// parts keep the order of the samples. The division follows from the seed alone.
///
/// ```
/// use gradus::data::{Dataset, digits, split};
/// let digits = digits::all()?;
/// let (train, held_out) = split(&digits, 0.2, 42)?;
/// assert_eq!((train.len(), held_out.len()), (1438, 359));
/// # Ok::<(), gradus::Error>(())
/// ```
///
/// # Errors
/// If the fraction is not between 0 and 1, or a part would have no samples.
pub fn split<D: Dataset + Clone>(data: D, fraction: f64, seed: u64) -> Result<(Subset<D>, Subset<D>)> {
    if !(fraction > 0.0 && fraction < 1.0) {
        return Err(Error::invalid(format!(
            "the fraction of samples to hold out is {fraction}, and should lie between 0 and 1: 0.1 for a tenth"
        )));
    }
    let count = data.len();
    let held_out = (count as f64 * fraction).round() as usize;
    if held_out == 0 || held_out == count {
        return Err(Error::invalid(format!(
            "holding out {fraction} of {} leaves {held_out} held out and {} for training: both need some",
            plural(count, "sample"),
            count - held_out
        )));
    }
    let groups = groups(&data);
    let sizes = groups.values().map(Vec::len).collect::<Vec<_>>();
    let mut is_held_out = vec![false; count];
    for ((class, mut group), share) in groups.into_iter().zip(proportional(&sizes, held_out, seed)) {
        group.shuffle(&mut stream(seed, Purpose::Split, &[class as u64]));
        for &index in &group[..share] {
            is_held_out[index] = true;
        }
    }
    let part = |held_out: bool| (0..count).filter(|&i| is_held_out[i] == held_out).collect::<Vec<_>>();
    Ok((Subset::new(data.clone(), part(false))?, Subset::new(data, part(true))?))
}

/// The samples of each class; all under one if the targets are not classes.
fn groups(data: &impl Dataset) -> BTreeMap<usize, Vec<usize>> {
    let mut groups = BTreeMap::<usize, Vec<usize>>::new();
    for index in 0..data.len() {
        let class = match data.target(index) {
            Target::Class(class) => class,
            Target::Values(_) => 0,
        };
        groups.entry(class).or_default().push(index);
    }
    groups
}

/// Divides `total`, which is at most their sum, among groups in proportion to their sizes, at random where that is no whole number:
/// each share is the exact one rounded up or down, and the exact one on average (systematic sampling; W. G. Madow, 1949).
///
/// A group keeps one of its own, as far as the others can give `total` without it.
fn proportional(sizes: &[usize], total: usize, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..sizes.len()).filter(|&i| sizes[i] > 0).collect();
    let mut random = stream(seed, Purpose::Split, &[]);
    order.shuffle(&mut random);
    let mut shares = vec![0; sizes.len()];
    let mut left = total as u128;
    // In whole numbers, so that there is nothing to round: the exact share is size · left / sum.
    let sum = |open: &[usize]| open.iter().map(|&i| sizes[i] as u128).sum::<u128>();
    if total <= order.iter().map(|&i| sizes[i] - 1).sum() {
        loop {
            let all = sum(&order);
            let gives_all = |&i: &usize| sizes[i] as u128 * left > (sizes[i] as u128 - 1) * all;
            let (full, open): (Vec<usize>, Vec<usize>) = order.iter().partition(|i| gives_all(i));
            for &i in &full {
                shares[i] = sizes[i] - 1;
                left -= shares[i] as u128;
            }
            order = open;
            if full.is_empty() {
                break;
            }
        }
    }
    // The shares lie side by side on a line, and each whole number on it, counted from a random start, is one sample.
    let all = sum(&order).max(1);
    let mut end = random.random_range(0..all);
    for i in order {
        let start = end;
        end += sizes[i] as u128 * left;
        shares[i] = (end / all - start / all) as usize;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Arrays, Bytes};

    /// A set with `sizes[c]` samples of each class c, mixed.
    fn classes(sizes: &[usize]) -> Bytes {
        let mut labels = sizes
            .iter()
            .enumerate()
            .flat_map(|(class, &n)| vec![class; n])
            .collect::<Vec<_>>();
        labels.shuffle(&mut stream(1, Purpose::User, &[]));
        Bytes::new(1, vec![0; labels.len()], labels, sizes.len()).unwrap()
    }

    fn counts(data: &impl Dataset, classes: usize) -> Vec<usize> {
        let mut counts = vec![0; classes];
        for i in 0..data.len() {
            if let Target::Class(class) = data.target(i) {
                counts[class] += 1;
            }
        }
        counts
    }

    #[test]
    fn every_sample_is_in_one_part_and_every_class_in_proportion() {
        let data = classes(&[50, 0, 30, 7, 13]);
        let (train, held_out) = split(&data, 0.1, 3).unwrap();
        let mut all = [train.indices(), held_out.indices()].concat();
        assert!(train.indices().is_sorted() && held_out.indices().is_sorted());
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
        // Exactly 5, 0, 3, 0.7 and 1.3.
        let counts = counts(&held_out, 5);
        assert!(matches!(counts[..], [5, 0, 3, 0, 2] | [5, 0, 3, 1, 1]), "{counts:?}");
    }

    #[test]
    fn only_samples_of_a_class_stay_for_training() {
        // 20 classes of one sample, 10 of two, and one of 60.
        let sizes = [vec![1; 20], vec![2; 10], vec![60]].concat();
        let data = classes(&sizes);
        for (seed, fraction) in (0..50).flat_map(|seed| [0.1, 0.5, 0.69].map(|fraction| (seed, fraction))) {
            let (train, held_out) = split(&data, fraction, seed).unwrap();
            assert_eq!(held_out.len(), (100.0 * fraction).round() as usize);
            assert!(counts(&train, 31).iter().all(|&n| n > 0), "seed {seed}, {fraction}");
        }
        // There are not enough others.
        let (train, held_out) = split(&data, 0.8, 0).unwrap();
        assert_eq!((train.len(), held_out.len()), (20, 80));
    }

    #[test]
    fn no_class_is_favored() {
        let data = classes(&[2, 3, 4, 5, 6]);
        let mut held_out = [0; 5];
        for seed in 0..2000 {
            let counts = counts(&split(&data, 0.1, seed).unwrap().1, 5);
            (0..5).for_each(|i| held_out[i] += counts[i]);
        }
        // Each class gives a tenth on average.
        for (size, held_out) in (2..).zip(held_out) {
            let expected = 200.0 * f64::from(size);
            assert!(
                (f64::from(held_out as u32) - expected).abs() < 90.0,
                "{size}: {held_out}"
            );
        }
    }

    #[test]
    fn the_seed_decides() {
        let data = classes(&[40, 60]);
        let held_out = |seed| split(&data, 0.25, seed).unwrap().1.indices().to_vec();
        assert_eq!(held_out(1), held_out(1));
        assert_ne!(held_out(1), held_out(2));
        // Every sample is held out by some seed: nothing is left out of the draw.
        let mut ever = [false; 100];
        (0..60).flat_map(held_out).for_each(|i| ever[i] = true);
        assert!(ever.iter().all(|&e| e));
    }

    #[test]
    fn values_are_divided_too() {
        let x = ndarray::Array2::from_shape_fn((10, 1), |(i, _)| i as Float);
        let data = std::sync::Arc::new(Arrays::values(&x, &x).unwrap());
        let (train, held_out) = split(data, 0.3, 0).unwrap();
        assert_eq!((train.len(), held_out.len()), (7, 3));
        for part in [&train, &held_out] {
            for i in 0..part.len() {
                let mut x = [0.0];
                part.read(i, &mut x).unwrap();
                assert_eq!(part.target(i), Target::Values(&x));
                assert_eq!(x[0], part.indices()[i] as Float);
            }
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let data = classes(&[2, 2]);
        for fraction in [0.0, 1.0, -0.5, 2.0, f64::NAN] {
            assert!(
                split(&data, fraction, 0)
                    .unwrap_err()
                    .to_string()
                    .contains("between 0 and 1")
            );
        }
        assert!(
            split(&data, 0.1, 0)
                .unwrap_err()
                .to_string()
                .contains("leaves 0 held out and 4 for training")
        );
        assert!(
            split(&data, 0.9, 0)
                .unwrap_err()
                .to_string()
                .contains("leaves 4 held out and 0 for training")
        );
        assert!(Subset::new(&data, []).is_err());
        assert!(Subset::new(&data, [4]).unwrap_err().to_string().contains("sample 4"));
        let subset = Subset::new(&data, [0]).unwrap();
        assert!(subset.read(1, &mut [0.0]).is_err());
        assert_eq!(
            (subset.target(1), subset.target(usize::MAX)),
            (Target::NONE, Target::NONE)
        );
        subset.prefetch(usize::MAX);
    }

    #[test]
    fn shares_are_the_exact_ones_rounded_up_or_down() {
        for seed in 0..100 {
            assert_eq!(proportional(&[10, 0, 90], 10, seed), [1, 0, 9]);
            let shares = proportional(&[3, 3, 4], 5, seed);
            assert!(
                shares
                    .iter()
                    .zip([1, 1, 2])
                    .all(|(&share, least)| share == least || share == least + 1)
            );
            assert_eq!(shares.iter().sum::<usize>(), 5);
            assert_eq!(shares[2], 2);
            assert_eq!(proportional(&[1, 1, 2], 1, seed), [0, 0, 1]);
            assert_eq!(proportional(&[1, 1], 1, seed).iter().sum::<usize>(), 1);
        }
    }
}
