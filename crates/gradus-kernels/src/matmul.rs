//! Matrix products.
//!
//! C is computed in tiles of a few rows by a few vectors, which stay in registers while k runs (K. Goto and R. van de Geijn,
//! "Anatomy of High-Performance Matrix Multiplication", 2008): for each p, a column of A's rows, each value copied into all
//! lanes, times a row of B's columns. B is cut into panels of a tile's width and of as many rows as fit the first-level
//! cache, and where very many rows of A go over a panel, or B's columns are not side by side, the panel is copied into
//! scratch memory first. Where C has few columns, or B is stored transposed, Cᵀ = Bᵀ·Aᵀ can be less work; the sums are the same.

use crate::{Float, arch};

mod product;
mod tile;
pub(crate) mod transpose;

pub(crate) use product::Parts;
use product::{PANEL, Product, WIDEST};
use tile::Factors;

/// A matrix somewhere in a slice: element (i, j) is `values[i * row_stride + j * column_stride]`.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    /// The slice that holds the elements.
    pub values: &'a [Float],
    /// How far rows are apart.
    pub row_stride: usize,
    /// How far columns are apart.
    pub column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// A row-major matrix of `columns` columns.
    pub fn new(values: &'a [Float], columns: usize) -> Self {
        Matrix {
            values,
            row_stride: columns,
            column_stride: 1,
        }
    }

    /// Its transpose, over the same elements.
    pub fn transposed(self) -> Self {
        Matrix {
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    /// Refuses values that don't hold `rows` × `columns` numbers.
    fn check(&self, name: &str, rows: usize, columns: usize) {
        let holds = holds(self.values, rows, columns, self.row_stride, self.column_stride);
        assert!(holds, "{name} is too short");
    }
}

/// What every sum of a product starts from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Accumulate<'a> {
    /// From zero: C ← A·B.
    Zero,
    /// From what C holds: C ← C + A·B.
    Sum,
    /// From this row, which is added to every row: cᵢⱼ ← rowⱼ + (A·B)ᵢⱼ.
    Row(&'a [Float]),
}

/// The most products that are added up at once, and the most summands of a sum in them.
const MOST_FACTORS: usize = 8;
const MOST_SUMMANDS: usize = 256;

/// How many values of scratch memory [`matmul`] wants for a product of this size.
pub fn matmul_scratch(m: usize, n: usize, k: usize) -> usize {
    let width = m.max(n).saturating_add(15).min(WIDEST);
    width.saturating_mul(k).min(PANEL)
}

/// C ← A·B, on top of what `start` says: `a` is m×k, `b` k×n, and `c` m×n with rows `c_stride` apart.
///
/// Every element of C is one chain of fused multiply-adds over k in ascending order, beginning with its start.
/// So its bits don't depend on m, on n, on where it stands in C, or on how a caller divides k into successive
/// calls. It is fastest with [`matmul_scratch`] values of scratch memory, and right with any number.
///
/// ```
/// use gradus_kernels::{Matrix, Accumulate, matmul};
/// let (a, b) = ([1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]);
/// let mut c = [0.0; 4];
/// matmul(2, 2, 2, Matrix::new(&a, 2), Matrix::new(&b, 2), &mut c, 2, Accumulate::Zero, &mut []);
/// assert_eq!(c, [19.0, 22.0, 43.0, 50.0]);
/// ```
///
/// # Panics
/// If a slice is too short for its matrix, or rows of C overlap.
#[allow(clippy::too_many_arguments)]
pub fn matmul(
    m: usize,
    n: usize,
    k: usize,
    a: Matrix<'_>,
    b: Matrix<'_>,
    c: &mut [Float],
    c_stride: usize,
    start: Accumulate<'_>,
    scratch: &mut [Float],
) {
    a.check("a", m, k);
    b.check("b", k, n);
    let factors = [Factors::new(k, a, b)];
    let strides = [(a.row_stride, a.column_stride), (b.row_stride, b.column_stride)];
    // SAFETY: the slices hold the matrices.
    unsafe { run(m, n, &factors, strides, c, c_stride, start, scratch) }
}

/// C ← Σ A·B over several products of the same strides, each with its own k, as if all their columns of A and rows of B stood side
/// by side in one; otherwise as [`matmul`]. An element of C stays in a register from one product to the next.
///
/// ```
/// use gradus_kernels::{Matrix, Accumulate, matmul_sum};
/// let factors = [([1.0, 2.0], [3.0]), ([4.0, 5.0], [6.0])];
/// let mut c = [0.0; 2];
/// let products = factors.iter().map(|(a, b)| (1, Matrix::new(a, 1), Matrix::new(b, 1)));
/// matmul_sum(2, 1, products, &mut c, 1, Accumulate::Zero, &mut []);
/// assert_eq!(c, [27.0, 36.0]);
/// ```
///
/// # Panics
/// As [`matmul`], and if strides differ.
pub fn matmul_sum<'a>(
    m: usize,
    n: usize,
    products: impl IntoIterator<Item = (usize, Matrix<'a>, Matrix<'a>)>,
    c: &mut [Float],
    c_stride: usize,
    mut start: Accumulate<'_>,
    scratch: &mut [Float],
) {
    let mut products = products.into_iter();
    let (first, second) = (products.next(), products.next());
    if let (Some((k, a, b)), None) = (first, second) {
        return matmul(m, n, k, a, b, c, c_stride, start, scratch);
    }
    let mut add = |factors: &[Factors], strides, start| {
        // SAFETY: the slices of all factors hold their matrices, which was checked.
        unsafe { run(m, n, factors, strides, c, c_stride, start, scratch) }
    };
    let mut factors = [Factors::NONE; MOST_FACTORS];
    let (mut count, mut summands, mut strides) = (0, 0, None);
    for (k, a, b) in first.into_iter().chain(second).chain(products) {
        a.check("a", m, k);
        b.check("b", k, n);
        let these = [(a.row_stride, a.column_stride), (b.row_stride, b.column_stride)];
        assert!(*strides.get_or_insert(these) == these, "the products' strides differ");
        if count == MOST_FACTORS || (count > 0 && k > MOST_SUMMANDS.saturating_sub(summands)) {
            add(&factors[..count], these, start);
            (count, summands, start) = (0, 0, Accumulate::Sum);
        }
        factors[count] = Factors::new(k, a, b);
        count += 1;
        summands = k.saturating_add(summands);
    }
    add(&factors[..count], strides.unwrap_or_default(), start);
}

/// The sum of products of these strides (of A's rows and columns, of B's).
///
/// # Safety
/// The factors reach over m×k and k×n values.
#[allow(clippy::too_many_arguments)]
#[inline(always)]
unsafe fn run(
    m: usize,
    n: usize,
    factors: &[Factors],
    strides: [(usize, usize); 2],
    c: &mut [Float],
    c_stride: usize,
    start: Accumulate<'_>,
    scratch: &mut [Float],
) {
    assert!(holds(c, m, n, c_stride, 1), "c is too short");
    assert!(m <= 1 || n <= c_stride, "rows of c overlap");
    if m == 0 || n == 0 {
        return;
    }
    let c_start = c.as_mut_ptr();
    let (from, from_row) = match start {
        Accumulate::Zero => (std::ptr::null(), 0),
        Accumulate::Sum => (c_start.cast_const(), c_stride),
        Accumulate::Row(row) => {
            assert!(n <= row.len(), "the row that sums start from is too short");
            (row.as_ptr(), 0)
        }
    };
    let product = Product {
        m,
        n,
        factors,
        a: strides[0],
        b: strides[1],
        c: c_start,
        c_strides: (c_stride, 1),
        from,
        from_strides: (from_row, 1),
    };
    match arch() {
        // SAFETY: the slices hold the matrices, and `arch` found the instructions.
        #[cfg(all(target_arch = "x86_64", not(gradus_f64)))]
        crate::Arch::Avx512 => unsafe { product.run::<tile::Avx512>(scratch) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        arch if arch >= crate::Arch::Avx2 => unsafe { product.run::<tile::Avx2>(scratch) },
        // SAFETY: as above; every processor has these instructions.
        _ => unsafe { product.run::<tile::Plain>(scratch) },
    }
}

/// Whether a matrix fits the values.
pub(crate) fn holds<T>(values: &[T], rows: usize, columns: usize, row_stride: usize, column_stride: usize) -> bool {
    if rows == 0 || columns == 0 {
        return true;
    }
    let last = (rows - 1)
        .checked_mul(row_stride)
        .zip((columns - 1).checked_mul(column_stride))
        .and_then(|(row, column)| row.checked_add(column));
    last.is_some_and(|last| last < values.len())
}
