//! Functions of all numbers of a slice.
//!
//! An element's result has the same bits wherever it stands and however long the slice is. Sums are taken in an order that is
//! part of their definition, so they too are the same on every machine.

use crate::{Float, SimdOp, scalar, vectorize, vectorize_op};

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
            impl SimdOp for Slices<'_> {
                type Output = ();
                #[inline(always)]
                fn run(self) {
                    for (&x, y) in self.0.iter().zip(self.1) {
                        *y = scalar::$name(x);
                    }
                }
            }
            vectorize_op(Slices(x, y));
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

/// How many partial sums [`sum`], [`dot`] and [`partial_sums`] take.
pub const SUMS: usize = 16;

/// How many numbers follow one another in a partial sum before it is added to its total: so few that rounding takes no more than
/// a few units in the last place.
pub const CHAIN: usize = 16;

/// The [`SUMS`] partial sums of each of K functions of the elements of two slices: Σ f(aᵢ, bᵢ) over all i with the same
/// i mod [`SUMS`], in this order: [`CHAIN`] numbers each are added up in [`Float`], from 0, and their sums in `f64`. So the error
/// doesn't grow with the length.
///
/// To be called inside [`vectorize!`](crate::vectorize!).
///
/// ```
/// use gradus_kernels::{partial_sums, vectorize};
/// let (a, b) = ([1.0; 40], [0.5; 40]);
/// let [sums, products] = vectorize!(|| partial_sums(&a, &b, |a, b| [a + b, a * b]));
/// assert_eq!((sums[0], sums[15], products[7]), (4.5, 3.0, 1.5)); // of 3, 2 and 3 elements
/// ```
///
/// # Panics
/// If the slices differ in length.
#[inline(always)]
pub fn partial_sums<const K: usize>(
    a: &[Float],
    b: &[Float],
    f: impl Fn(Float, Float) -> [Float; K],
) -> [[f64; SUMS]; K] {
    assert_eq!(a.len(), b.len(), "a and b differ in length");
    let mut totals = [[0.0; SUMS]; K];
    for (a, b) in a.chunks(CHAIN * SUMS).zip(b.chunks(CHAIN * SUMS)) {
        let mut sums = [[0.0; SUMS]; K];
        let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<SUMS>(), b.as_chunks::<SUMS>());
        for (a, b) in a.iter().zip(b) {
            // Into new sums: the compiler turns the lanes of these into vectors, but not those of sums that change in place.
            let mut next = sums;
            for lane in 0..SUMS {
                for (k, value) in f(a[lane], b[lane]).into_iter().enumerate() {
                    next[k][lane] = sums[k][lane] + value;
                }
            }
            sums = next;
        }
        for (lane, (&a, &b)) in a_rest.iter().zip(b_rest).enumerate() {
            for (sums, value) in sums.iter_mut().zip(f(a, b)) {
                sums[lane] += value;
            }
        }
        for (totals, sums) in totals.iter_mut().zip(sums) {
            for (total, sum) in totals.iter_mut().zip(sums) {
                *total += f64::from(sum);
            }
        }
    }
    totals
}

/// Adds the upper half of the partial sums to the lower half, until one is left.
#[inline(always)]
fn by_halves(mut sums: [f64; SUMS]) -> Float {
    for half in [8, 4, 2, 1] {
        for lane in 0..half {
            sums[lane] += sums[lane + half];
        }
    }
    sums[0] as Float
}

/// The sum of the elements, rounded to [`Float`]: of the [`partial_sums`] the upper half is added to the lower half, until one
/// is left.
pub fn sum(x: &[Float]) -> Float {
    vectorize!(|| {
        let [sums] = partial_sums(x, x, |x, _| [x]);
        by_halves(sums)
    })
}

/// The scalar product: the [`sum`] of the products, each of them rounded.
///
/// # Panics
/// If the slices differ in length.
pub fn dot(x: &[Float], y: &[Float]) -> Float {
    vectorize!(|| {
        let [sums] = partial_sums(x, y, |x, y| [x * y]);
        by_halves(sums)
    })
}

/// The largest element, or −∞ if there is none; NaN counts as none.
pub fn max(x: &[Float]) -> Float {
    vectorize!(|| largest(x))
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
    vectorize_op(Softmax(x, y));
}

struct Softmax<'a>(&'a [Float], &'a mut [Float]);

impl SimdOp for Softmax<'_> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Softmax(x, y) = self;
        let most = largest(x);
        for (&x, y) in x.iter().zip(y.iter_mut()) {
            *y = scalar::exp(x - most);
        }
        let [sums] = partial_sums(y, y, |y, _| [y]);
        let total = by_halves(sums);
        for y in y {
            *y /= total;
        }
    }
}
