//! Parts of data sets: some samples for training, others held out.

use std::collections::BTreeMap;

use rand::seq::SliceRandom;

use super::{Dataset, Target, Targets, check_index};
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
/// If the targets are classes, each class is divided in that proportion (stratified), as nearly as whole samples allow: the
/// samples that rounding leaves over go to the classes with the largest remainders (Hamilton's method). Both parts
/// keep the order of the samples. The division follows from the seed alone.
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
            "holding out {fraction} of {count} samples leaves {held_out} held out and {} for training: both need some",
            count - held_out
        )));
    }
    let groups = groups(&data);
    let sizes = groups.values().map(Vec::len).collect::<Vec<_>>();
    let mut is_held_out = vec![false; count];
    for ((class, mut group), share) in groups.into_iter().zip(proportional(&sizes, held_out)) {
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

/// Divides `total` among groups in proportion to their sizes (which are not all zero, and `total` not above their sum) by
/// the method of the largest remainders; of equal ones, the first.
fn proportional(sizes: &[usize], total: usize) -> Vec<usize> {
    // In whole numbers, so that there is nothing to round: size · total = share · sum + remainder.
    let sum = sizes.iter().map(|&size| size as u128).sum::<u128>();
    let exact = sizes
        .iter()
        .map(|&size| size as u128 * total as u128)
        .collect::<Vec<_>>();
    let mut shares = exact.iter().map(|&exact| (exact / sum) as usize).collect::<Vec<_>>();
    let left = total - shares.iter().sum::<usize>();
    let mut order = (0..sizes.len()).collect::<Vec<_>>();
    order.sort_by_key(|&i| std::cmp::Reverse(exact[i] % sum));
    for &i in &order[..left] {
        shares[i] += 1;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Arrays, Bytes};

    /// A set with so many samples of each class, mixed.
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
        // Exactly 5, 0, 3, 0.7 and 1.3; the one left over goes to the largest remainder.
        assert_eq!(counts(&held_out, 5), [5, 0, 3, 1, 1]);
        assert_eq!(counts(&train, 5), [45, 0, 27, 6, 12]);
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
    fn shares_are_exact() {
        assert_eq!(proportional(&[1, 1, 1], 2), [1, 1, 0]);
        assert_eq!(proportional(&[10, 0, 90], 10), [1, 0, 9]);
        assert_eq!(proportional(&[3, 3, 4], 5), [2, 1, 2]);
    }
}
