//! Functions of all numbers of a slice.
//!
//! An element's result has the same bits wherever it stands and however long the slice is. Sums are taken in an order that is
//! part of their definition, so they too are the same on every machine.

use crate::{Float, Work, scalar, vectorize, vectorize_work};

/// A function of [`scalar`] for slices.
macro_rules! for_slices {
    ($($name:ident: $formula:literal;)+) => {$(
        #[doc = concat!("y ← ", $formula, " for each element; see [`scalar::", stringify!($name), "`].")]
        ///
        /// # Panics
        /// If the slices differ in length.
        pub fn $name(x: &[Float], y: &mut [Float]) {
            assert_eq!(x.len(), y.len(), "x and y differ in length");
            struct Slices<'a>(&'a [Float], &'a mut [Float]);
            impl Work for Slices<'_> {
                type Output = ();
                #[inline(always)]
                fn run(self) {
                    for (&x, y) in self.0.iter().zip(self.1) {
                        *y = scalar::$name(x);
                    }
                }
            }
            vectorize_work(Slices(x, y));
        }
    )+};
}

for_slices! {
    exp: "eˣ";
    ln: "ln x";
    sigmoid: "1 / (1 + e⁻ˣ)";
    tanh: "tanh x";
    erf: "erf x";
}

/// How many partial sums [`sum`] and [`dot`] take.
pub const SUMS: usize = 16;

/// Adds up chunks in [`SUMS`] partial sums, then what is left over, then the partial sums by halves.
#[inline(always)]
fn add_up(chunks: impl Iterator<Item = [Float; SUMS]>, rest: impl Iterator<Item = Float>) -> Float {
    let mut sums = [0.0; SUMS];
    for chunk in chunks {
        for (sum, x) in sums.iter_mut().zip(chunk) {
            *sum += x;
        }
    }
    for (sum, x) in sums.iter_mut().zip(rest) {
        *sum += x;
    }
    for half in [8, 4, 2, 1] {
        for lane in 0..half {
            sums[lane] += sums[lane + half];
        }
    }
    sums[0]
}

/// The sum of the elements, in this order: element i is added to partial sum i mod [`SUMS`], in ascending order from 0; then
/// the upper half of the partial sums is added to the lower half, until one is left.
pub fn sum(x: &[Float]) -> Float {
    let (chunks, rest) = x.as_chunks();
    vectorize(|| add_up(chunks.iter().copied(), rest.iter().copied()))
}

/// The scalar product: the [`sum`] of the products, each of them rounded.
///
/// # Panics
/// If the slices differ in length.
pub fn dot(x: &[Float], y: &[Float]) -> Float {
    assert_eq!(x.len(), y.len(), "x and y differ in length");
    let ((x, x_rest), (y, y_rest)) = (x.as_chunks::<SUMS>(), y.as_chunks::<SUMS>());
    vectorize(|| {
        let products = x
            .iter()
            .zip(y)
            .map(|(x, y)| std::array::from_fn(|lane| x[lane] * y[lane]));
        add_up(products, x_rest.iter().zip(y_rest).map(|(x, y)| x * y))
    })
}

/// The largest element, or −∞ if there is none; NaN counts as none.
pub fn max(x: &[Float]) -> Float {
    vectorize(|| largest(x))
}

#[inline(always)]
fn largest(x: &[Float]) -> Float {
    #[inline(always)]
    fn larger(a: Float, b: Float) -> Float {
        if b > a { b } else { a }
    }
    let (chunks, rest) = x.as_chunks::<SUMS>();
    let mut most = rest.iter().copied().fold(Float::NEG_INFINITY, larger);
    if !chunks.is_empty() {
        let mut lanes = [Float::NEG_INFINITY; SUMS];
        for chunk in chunks {
            for (lane, &x) in lanes.iter_mut().zip(chunk) {
                *lane = larger(*lane, x);
            }
        }
        most = lanes.into_iter().fold(most, larger);
    }
    most
}

/// The softmax of a row: yᵢ ← e^(xᵢ − max x) / Σⱼ e^(xⱼ − max x), which can't overflow.
///
/// A row with NaN or +∞ in it, or with nothing but −∞, becomes NaN.
///
/// ```
/// let mut y = [0.0; 3];
/// gradus_kernels::softmax(&[1000.0, 1000.0, -1000.0], &mut y);
/// assert_eq!(y, [0.5, 0.5, 0.0]);
/// ```
///
/// # Panics
/// If the slices differ in length.
pub fn softmax(x: &[Float], y: &mut [Float]) {
    assert_eq!(x.len(), y.len(), "x and y differ in length");
    vectorize_work(Softmax(x, y));
}

struct Softmax<'a>(&'a [Float], &'a mut [Float]);

impl Work for Softmax<'_> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Softmax(x, y) = self;
        let most = largest(x);
        for (&x, y) in x.iter().zip(y.iter_mut()) {
            *y = scalar::exp(x - most);
        }
        let (chunks, rest) = y.as_chunks();
        let total = add_up(chunks.iter().copied(), rest.iter().copied());
        for y in y {
            *y /= total;
        }
    }
}
