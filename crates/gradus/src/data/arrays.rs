//! Samples and targets in memory.

use ndarray::{ArrayView, Axis, CowArray, Dimension};

use super::{Dataset, Target, Targets, check_index, check_labels, check_names, check_room};
use crate::{Error, Float, Result, Shape};

/// A data set in memory, made of arrays whose first axis counts the samples. The arrays may be owned or borrowed, of any
/// memory layout; the values are copied unless they are owned and in row-major order.
///
/// Every value must be finite.
///
/// ```
/// use gradus::data::{Arrays, Dataset};
/// use gradus::ndarray::array;
///
/// let x = array![[0., 0.], [0., 1.], [1., 0.], [1., 1.]];
/// let xor = Arrays::classes(&x, [0, 1, 1, 0], 2)?;
/// assert_eq!((xor.len(), xor.shape().size()), (4, 2));
///
/// let regression = Arrays::values(&x, array![[0.], [1.], [1.], [0.]])?;
/// assert_eq!(regression.len(), 4);
///
/// let error = Arrays::classes(&x, [0, 1, 2, 0], 2).unwrap_err();
/// assert_eq!(error.to_string(), "sample 2 has the label 2, and with 2 classes labels run from 0 to 1");
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Arrays {
    shape: Shape,
    samples: Vec<Float>,
    targets: Stored,
    names: Option<Vec<String>>,
}

#[derive(Debug, Clone)]
enum Stored {
    Classes { labels: Vec<usize>, classes: usize },
    Values { shape: Shape, values: Vec<Float> },
}

impl Arrays {
    /// Samples with a class each, as numbers from 0 to `classes` - 1.
    ///
    /// # Errors
    /// If there are no samples, a value is not finite, the numbers of samples and labels differ, or a label is out of
    /// range.
    pub fn classes<'a, D: Dimension>(
        samples: impl Into<CowArray<'a, Float, D>>,
        labels: impl IntoIterator<Item = usize>,
        classes: usize,
    ) -> Result<Self> {
        let (count, shape, samples) = flatten("sample", samples.into())?;
        let labels = labels.into_iter().collect::<Vec<_>>();
        check_labels(&labels, count, classes)?;
        Ok(Arrays {
            shape,
            samples,
            targets: Stored::Classes { labels, classes },
            names: None,
        })
    }

    /// Samples with a target of values each: what a regression should give, or a probability for each class.
    ///
    /// # Errors
    /// If there are no samples, a value is not finite, or the first axes differ.
    pub fn values<'a, 'b, D: Dimension, E: Dimension>(
        samples: impl Into<CowArray<'a, Float, D>>,
        targets: impl Into<CowArray<'b, Float, E>>,
    ) -> Result<Self> {
        let (count, shape, samples) = flatten("sample", samples.into())?;
        let (target_count, target_shape, values) = flatten("target", targets.into())?;
        if count != target_count {
            return Err(Error::data(format!(
                "there are {count} samples and {target_count} targets (first axes): each sample needs one"
            )));
        }
        Ok(Arrays {
            shape,
            samples,
            targets: Stored::Values {
                shape: target_shape,
                values,
            },
            names: None,
        })
    }

    /// The same set with names for its classes.
    ///
    /// # Errors
    /// If there is not one name for each class, or the targets are values.
    pub fn with_class_names(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Result<Self> {
        let names = names.into_iter().map(Into::into).collect::<Vec<_>>();
        match self.targets {
            Stored::Classes { classes, .. } => check_names(&names, classes)?,
            Stored::Values { .. } => return Err(Error::invalid("class names were given for targets that are values")),
        }
        self.names = Some(names);
        Ok(self)
    }

    /// The same set with its samples seen in another shape of the same size: the 784 columns of a table as 1×28×28 images.
    ///
    /// # Errors
    /// If the sizes differ.
    pub fn with_shape(mut self, shape: impl Into<Shape>) -> Result<Self> {
        let shape = shape.into();
        if shape.size() != self.shape.size() {
            return Err(Error::invalid(format!(
                "samples of {} values can't have the shape {shape}, which has {}",
                self.shape.size(),
                shape.size()
            )));
        }
        self.shape = shape;
        Ok(self)
    }
}

impl Dataset for Arrays {
    fn len(&self) -> usize {
        self.samples.len() / self.shape.size()
    }

    fn shape(&self) -> Shape {
        self.shape.clone()
    }

    fn targets(&self) -> Targets {
        match &self.targets {
            Stored::Classes { classes, .. } => Targets::Classes(*classes),
            Stored::Values { shape, .. } => Targets::Values(shape.clone()),
        }
    }

    fn read(&self, index: usize, x: &mut [Float]) -> Result<()> {
        check_index(index, self.len())?;
        check_room(x.len(), self.shape.size())?;
        x.copy_from_slice(&self.samples[index * x.len()..][..x.len()]);
        Ok(())
    }

    fn target(&self, index: usize) -> Target<'_> {
        match &self.targets {
            Stored::Classes { labels, .. } => labels.get(index).map_or(Target::NONE, |&label| Target::Class(label)),
            Stored::Values { shape, values } => {
                (values.chunks_exact(shape.size()).nth(index)).map_or(Target::NONE, Target::Values)
            }
        }
    }

    fn class_names(&self) -> Option<&[String]> {
        self.names.as_deref()
    }
}

/// The number of samples along the first axis, the shape of one (of a single value: `[1]`), and all values in row-major
/// order.
fn flatten<D: Dimension>(what: &str, array: CowArray<'_, Float, D>) -> Result<(usize, Shape, Vec<Float>)> {
    let array = array.into_dyn();
    let Some((&count, rest)) = array.shape().split_first() else {
        return Err(Error::data(format!(
            "an array of {what}s needs a first axis that counts them, and a single number has none"
        )));
    };
    let shape = if rest.is_empty() {
        Shape::from(1)
    } else {
        Shape::from(rest)
    };
    if array.is_empty() {
        return Err(Error::data(format!(
            "the data set is empty: it has {count} {what}s of shape {shape}"
        )));
    }
    check_finite(what, array.view())?;
    let values = if array.is_standard_layout() {
        // Rows in order, perhaps after some that a slice has cut off.
        let (values, offset) = array.into_owned().into_raw_vec_and_offset();
        let start = offset.unwrap_or(0);
        let size = count * shape.size();
        if values.len() == size {
            values
        } else {
            values[start..start + size].to_vec()
        }
    } else {
        array.iter().copied().collect()
    };
    Ok((count, shape, values))
}

/// Refuses NaN and infinities, naming the sample and the position in it.
fn check_finite<D: Dimension>(what: &str, array: ArrayView<'_, Float, D>) -> Result<()> {
    if array.iter().all(|v| v.is_finite()) {
        return Ok(());
    }
    for (i, sample) in array.into_dyn().axis_iter(Axis(0)).enumerate() {
        if let Some((position, value)) = sample.indexed_iter().find(|(_, v)| !v.is_finite()) {
            let position = match position.ndim() {
                0 => String::new(),
                _ => format!(" at {:?}", position.slice()),
            };
            return Err(Error::data(format!(
                "{what} {i} has the value {value}{position}: every value must be finite"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, Array2, Array3, Slice, arr0, array};

    use super::*;

    fn sentence(result: Result<Arrays>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn samples_that_are_not_there_have_no_target() {
        let x = Array2::ones((3, 2));
        for data in [
            Arrays::classes(&x, [0, 1, 1], 2).unwrap(),
            Arrays::values(&x, &x).unwrap(),
        ] {
            assert_ne!(data.target(2), Target::NONE);
            for index in [3, 99, usize::MAX] {
                assert_eq!(data.target(index), Target::NONE);
                assert!(data.read(index, &mut [0.0; 2]).is_err());
                data.prefetch(index);
            }
        }
    }

    #[test]
    fn any_layout_reads_the_same() {
        let x = Array2::from_shape_fn((6, 4), |(i, j)| (10 * i + j) as Float);
        let mut every_other = x.slice_axis(Axis(0), Slice::new(0, None, -2));
        every_other.slice_axis_inplace(Axis(1), Slice::from(1..3));
        let rows = |range: Slice| x.slice_axis(Axis(0), range);
        for view in [x.view(), rows(Slice::from(2..)), every_other.view(), x.t()] {
            let owned_slice = view.to_owned();
            for data in [
                Arrays::classes(view, vec![0; view.nrows()], 1).unwrap(),
                Arrays::classes(owned_slice, vec![0; view.nrows()], 1).unwrap(),
            ] {
                assert_eq!(data.len(), view.nrows());
                for i in 0..data.len() {
                    let mut sample = vec![0.0; view.ncols()];
                    data.read(i, &mut sample).unwrap();
                    assert_eq!(sample, view.row(i).to_vec());
                }
            }
        }
        // An owned array that starts inside its memory.
        let mut tail = x.clone();
        tail.slice_axis_inplace(Axis(0), Slice::from(3..5));
        let data = Arrays::classes(tail, [0, 0], 1).unwrap();
        let mut sample = [0.0; 4];
        data.read(1, &mut sample).unwrap();
        assert_eq!(sample, [40.0, 41.0, 42.0, 43.0]);
    }

    #[test]
    fn targets_are_classes_or_values() {
        let x = Array3::<Float>::zeros((2, 3, 4));
        let classes = Arrays::classes(&x, vec![1, 0], 2)
            .unwrap()
            .with_class_names(["no", "yes"])
            .unwrap();
        assert_eq!(classes.shape(), Shape::from([3, 4]));
        assert_eq!(classes.targets(), Targets::Classes(2));
        assert_eq!(classes.target(0), Target::Class(1));
        assert_eq!(classes.class_names().unwrap(), ["no", "yes"]);
        let values = Arrays::values(&x, array![1., 2.]).unwrap();
        assert_eq!(values.targets(), Targets::Values(Shape::from(1)));
        assert_eq!(values.target(1), Target::Values(&[2.0]));
        assert_eq!(values.with_shape([1, 2, 6]).unwrap().shape(), Shape::from([1, 2, 6]));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let x: Array2<Float> = array![[0., 1.], [2., 3.], [4., 5.]];
        assert_eq!(
            sentence(Arrays::classes(Array2::zeros((0, 2)), [], 2)),
            "the data set is empty: it has 0 samples of shape 2"
        );
        assert_eq!(
            sentence(Arrays::classes(Array2::zeros((3, 0)), [0; 3], 2)),
            "the data set is empty: it has 3 samples of shape 0"
        );
        assert!(sentence(Arrays::classes(arr0(1.0), [0], 2)).contains("first axis"));
        assert_eq!(
            sentence(Arrays::classes(&x, [0, 1], 2)),
            "there are 3 samples and 2 labels: each sample needs one"
        );
        assert_eq!(
            sentence(Arrays::values(&x, Array1::<Float>::zeros(4))),
            "there are 3 samples and 4 targets (first axes): each sample needs one"
        );
        assert!(sentence(Arrays::classes(&x, [0, 1, 0], 0)).contains("the number of classes is 0"));
        let mut bad = x.clone();
        bad[[2, 1]] = Float::NAN;
        assert_eq!(
            sentence(Arrays::classes(&bad, [0; 3], 1)),
            "sample 2 has the value NaN at [1]: every value must be finite"
        );
        assert_eq!(
            sentence(Arrays::values(&x, array![0., Float::INFINITY, 1.])),
            "target 1 has the value inf: every value must be finite"
        );
        let data = Arrays::classes(&x, [0; 3], 1).unwrap();
        assert!(
            data.read(3, &mut [0.0; 2])
                .unwrap_err()
                .to_string()
                .contains("sample 3")
        );
        assert!(
            data.read(0, &mut [0.0; 3])
                .unwrap_err()
                .to_string()
                .contains("room was given for 3")
        );
        assert!(sentence(data.clone().with_class_names(["a", "b"])).contains("2 class names were given for 1 classes"));
        assert!(sentence(data.with_shape([5])).contains("can't have the shape 5"));
    }
}
