//! Values of a graph that depend on its input: what step of the network gives them, and how the graph sees them.

use super::constant::{permuted, places, strides};

/// A value of the graph. The graph may have the axes of a sample in another order than the network: Keras puts channels last.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Value {
    /// The step that computes it.
    pub(super) step: usize,
    /// The dimensions of a sample in the graph.
    pub(super) dims: Vec<usize>,
    pub(super) order: Order,
}

/// How the graph's order of a sample's values differs from the network's.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Order {
    /// Not at all, though it may have other dimensions.
    Same,
    /// The graph's axis i is the network's axis `[i]`.
    Axes(Vec<usize>),
    /// It was so, with these dimensions in the graph, and then put into a row.
    Row { dims: Vec<usize>, axes: Vec<usize> },
}

impl Value {
    /// A value whose graph's axes are these of the network's.
    pub(super) fn with_axes(step: usize, dims: Vec<usize>, axes: Vec<usize>) -> Self {
        // Axes of one element can be anywhere.
        let moved: Vec<usize> = (0..dims.len()).filter(|&i| dims[i] != 1).map(|i| axes[i]).collect();
        let order = if moved.is_sorted() {
            Order::Same
        } else {
            Order::Axes(axes)
        };
        Value { step, dims, order }
    }

    /// The same values, computed by another step that works on each alone.
    pub(super) fn at(&self, step: usize) -> Self {
        Value { step, ..self.clone() }
    }

    /// With the graph's axes in this order.
    pub(super) fn transposed(&self, order: &[usize]) -> Result<Self, String> {
        let axes = match &self.order {
            Order::Same => (0..self.dims.len()).collect(),
            Order::Axes(axes) => axes.clone(),
            Order::Row { .. } => return Err("it turns what was turned and then flattened".into()),
        };
        Ok(Value::with_axes(
            self.step,
            permuted(&self.dims, order)?,
            permuted(&axes, order)?,
        ))
    }

    /// The number of values of a sample.
    pub(super) fn size(&self) -> usize {
        self.dims.iter().fold(1, |size, &dim| size.saturating_mul(dim))
    }

    /// With other dimensions of the same size.
    pub(super) fn reshaped(&self, dims: Vec<usize>) -> Result<Self, String> {
        let order = match (&self.order, &dims[..]) {
            (Order::Same, _) => Order::Same,
            (order, new) if *new == self.dims => order.clone(),
            (Order::Axes(axes), [_]) => Order::Row {
                dims: self.dims.clone(),
                axes: axes.clone(),
            },
            _ => {
                return Err(format!(
                    "it gives values whose axes were turned the shape {dims:?}: only a row can be made of them"
                ));
            }
        };
        Ok(Value {
            step: self.step,
            dims,
            order,
        })
    }

    /// For each value of a row in the graph, its place in the network; `None` if they are in the same order.
    ///
    /// The value must have as many numbers.
    pub(super) fn row_places(&self) -> Option<Vec<usize>> {
        let Order::Row { dims, axes } = &self.order else {
            return None;
        };
        let own = strides(&own_dims(dims, axes));
        let along: Vec<usize> = axes.iter().map(|&axis| own[axis]).collect();
        Some(places(dims, &along).collect())
    }

    /// The dimensions of a sample in the network.
    pub(super) fn own_dims(&self) -> Vec<usize> {
        match &self.order {
            Order::Axes(axes) => own_dims(&self.dims, axes),
            _ => self.dims.clone(),
        }
    }

    /// The network's axis that the graph's axis `i` is.
    pub(super) fn own_axis(&self, i: usize) -> usize {
        match &self.order {
            Order::Axes(axes) => axes[i],
            _ => i,
        }
    }
}

/// The network's dimensions, where the graph's axes are these of them.
fn own_dims(dims: &[usize], axes: &[usize]) -> Vec<usize> {
    let mut own = vec![0; dims.len()];
    axes.iter().zip(dims).for_each(|(&axis, &dim)| own[axis] = dim);
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(dims: &[usize]) -> Value {
        Value {
            step: 0,
            dims: dims.to_vec(),
            order: Order::Same,
        }
    }

    #[test]
    fn axes_turned_twice_are_as_they_were() {
        let image = value(&[2, 3, 4]);
        let last = image.transposed(&[1, 2, 0]).unwrap();
        assert_eq!(
            (&last.dims[..], &last.order),
            (&[3, 4, 2][..], &Order::Axes(vec![1, 2, 0]))
        );
        assert_eq!(last.transposed(&[2, 0, 1]).unwrap(), image);
        assert!(last.transposed(&[0, 0, 1]).is_err());
        assert!(last.reshaped(vec![6, 4]).unwrap_err().contains("only a row"));
    }

    #[test]
    fn axes_of_one_element_move_nothing() {
        assert_eq!(value(&[1, 3, 4]).transposed(&[1, 2, 0]).unwrap().order, Order::Same);
        assert_eq!(value(&[5, 1, 1]).transposed(&[1, 2, 0]).unwrap().order, Order::Same);
        assert_ne!(value(&[5, 2, 1]).transposed(&[1, 2, 0]).unwrap().order, Order::Same);
    }

    #[test]
    fn a_row_of_turned_values_knows_their_places() {
        let row = value(&[2, 2, 3])
            .transposed(&[1, 2, 0])
            .unwrap()
            .reshaped(vec![12])
            .unwrap();
        // Pixel after pixel, each with its two channels, which are 6 apart.
        assert_eq!(row.row_places().unwrap(), [0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11]);
        assert_eq!(value(&[12]).row_places(), None);
    }
}
