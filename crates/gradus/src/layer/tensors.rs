//! The tensors of one layer, as its passes read and write them.

use std::ops::{Index, IndexMut};

use crate::Float;

/// The tensors of one layer, to be read: `let w = &tensors[0]` or `let [w, b] = tensors.split()`.
#[derive(Debug, Clone, Copy)]
pub struct Tensors<'a> {
    values: &'a [Float],
    sizes: &'a [usize],
}

impl<'a> Tensors<'a> {
    /// Views `values` as tensors of these sizes, one after the other.
    pub fn new(values: &'a [Float], sizes: &'a [usize]) -> Self {
        debug_assert_eq!(values.len(), sizes.iter().sum::<usize>());
        Tensors { values, sizes }
    }

    /// The number of tensors.
    pub fn count(&self) -> usize {
        self.sizes.len()
    }

    /// Tensor `i`, if there is one.
    pub fn get(&self, i: usize) -> Option<&'a [Float]> {
        let size = *self.sizes.get(i)?;
        let start: usize = self.sizes[..i].iter().sum();
        Some(&self.values[start..start + size])
    }

    /// All of them at once.
    ///
    /// # Panics
    /// If the layer does not have exactly `N` tensors.
    pub fn split<const N: usize>(self) -> [&'a [Float]; N] {
        assert_eq!(self.sizes.len(), N, "the layer has {} tensors", self.sizes.len());
        let mut rest = self.values;
        std::array::from_fn(|i| {
            let (first, tail) = rest.split_at(self.sizes[i]);
            rest = tail;
            first
        })
    }
}

impl Index<usize> for Tensors<'_> {
    type Output = [Float];
    fn index(&self, i: usize) -> &[Float] {
        let start: usize = self.sizes[..i].iter().sum();
        &self.values[start..start + self.sizes[i]]
    }
}

/// The tensors of one layer, to be written: `tensors[0][i] += ...` or `let [dw, db] = tensors.split()`.
#[derive(Debug)]
pub struct TensorsMut<'a> {
    values: &'a mut [Float],
    sizes: &'a [usize],
}

impl<'a> TensorsMut<'a> {
    /// Views `values` as tensors of these sizes, one after the other.
    pub fn new(values: &'a mut [Float], sizes: &'a [usize]) -> Self {
        debug_assert_eq!(values.len(), sizes.iter().sum::<usize>());
        TensorsMut { values, sizes }
    }

    /// The same tensors, borrowed for a shorter time.
    pub fn reborrow(&mut self) -> TensorsMut<'_> {
        TensorsMut {
            values: self.values,
            sizes: self.sizes,
        }
    }

    /// All of them at once.
    ///
    /// # Panics
    /// If the layer does not have exactly `N` tensors.
    pub fn split<const N: usize>(self) -> [&'a mut [Float]; N] {
        assert_eq!(self.sizes.len(), N, "the layer has {} tensors", self.sizes.len());
        let mut rest = self.values;
        std::array::from_fn(|i| {
            let (first, tail) = std::mem::take(&mut rest).split_at_mut(self.sizes[i]);
            rest = tail;
            first
        })
    }
}

impl Index<usize> for TensorsMut<'_> {
    type Output = [Float];
    fn index(&self, i: usize) -> &[Float] {
        let start: usize = self.sizes[..i].iter().sum();
        &self.values[start..start + self.sizes[i]]
    }
}

impl IndexMut<usize> for TensorsMut<'_> {
    fn index_mut(&mut self, i: usize) -> &mut [Float] {
        let start: usize = self.sizes[..i].iter().sum();
        &mut self.values[start..start + self.sizes[i]]
    }
}
