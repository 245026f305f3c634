//! Activations of blocks of samples, in any layout: loops that the compiler makes vector code of.

use gradus_kernels::{SimdOp, vectorize_op};

use super::Activation;
use crate::Float;
use crate::layer::advanced::{
    BlockBackward, BlockForward, BlockLayer, InPlace, InPlaceBackward, InPlaceForward, Layouts,
};

#[derive(Debug)]
pub(super) struct FastEach<A>(pub(super) A);

impl<A: Activation> BlockLayer for FastEach<A> {
    fn layouts(&self) -> Layouts {
        Layouts::Either
    }

    fn forward(&self, pass: BlockForward<'_>) {
        self.0.forward(pass.x, pass.y);
    }

    fn backward(&self, pass: BlockBackward<'_>) {
        let y = pass.y();
        if let Some(dx) = pass.dx {
            self.0.backward(pass.x, y, pass.dy, dx);
        }
    }

    fn in_place(&self) -> Option<&dyn InPlace> {
        (!self.0.derivative_reads_x()).then_some(self)
    }
}

impl<A: Activation> InPlace for FastEach<A> {
    fn forward(&self, pass: InPlaceForward<'_>) {
        vectorize_op(InPlaceValues(&self.0, pass.values));
    }

    fn backward(&self, pass: InPlaceBackward<'_>) {
        vectorize_op(InPlaceDerivatives(&self.0, pass.y(), pass.gradient));
    }
}

struct InPlaceValues<'a, A: ?Sized>(&'a A, &'a mut [Float]);

impl<A: Activation + ?Sized> SimdOp for InPlaceValues<'_, A> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let InPlaceValues(f, values) = self;
        for value in values {
            *value = f.value(*value);
        }
    }
}

struct InPlaceDerivatives<'a, A: ?Sized>(&'a A, &'a [Float], &'a mut [Float]);

impl<A: Activation + ?Sized> SimdOp for InPlaceDerivatives<'_, A> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let InPlaceDerivatives(f, y, d) = self;
        for (d, &y) in d.iter_mut().zip(y) {
            // x is not there, and not read.
            *d *= f.derivative(Float::NAN, y);
        }
    }
}

pub(super) struct Values<'a, A: ?Sized>(pub &'a A, pub &'a [Float], pub &'a mut [Float]);

impl<A: Activation + ?Sized> SimdOp for Values<'_, A> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Values(f, x, y) = self;
        for (y, &x) in y.iter_mut().zip(x) {
            *y = f.value(x);
        }
    }
}

pub(super) struct Derivatives<'a, A: ?Sized>(
    pub &'a A,
    pub &'a [Float],
    pub &'a [Float],
    pub &'a [Float],
    pub &'a mut [Float],
);

impl<A: Activation + ?Sized> SimdOp for Derivatives<'_, A> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Derivatives(f, x, y, dy, dx) = self;
        for (((dx, &x), &y), &dy) in dx.iter_mut().zip(x).zip(y).zip(dy) {
            *dx = dy * f.derivative(x, y);
        }
    }
}
