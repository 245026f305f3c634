//! Matrix products.
//!
//! C is computed in tiles of a few rows by a few vectors, which stay in registers while k runs (K. Goto and R. van de Geijn,
//! "Anatomy of High-Performance Matrix Multiplication", 2008): for each p, a column of A's rows, each value copied into all
//! lanes, times a row of B's columns. B is cut into panels of a tile's width and of as many rows as fit the first-level
//! cache, and where very many rows of A go over a panel, or B's columns are not side by side, the panel is copied into
//! scratch memory first. Where C has few columns, or B is stored transposed, Cᵀ = Bᵀ·Aᵀ can be less work; the sums are the same.

use crate::{Float, arch};

mod tile;
pub(crate) mod transpose;

use tile::{Simd, Tile};
use transpose::transpose;

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
    /// A row-major matrix with so many columns.
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

    /// Where element (i, j) lies.
    fn part(&self, i: usize, j: usize) -> *const Float {
        let at = i * self.row_stride + j * self.column_stride;
        self.values.as_ptr().wrapping_add(at)
    }
}

/// The size of a panel of B: 40 KB of the 32 to 64 KB of a first-level cache, where what spills comes from the second.
const PANEL: usize = 10240;

/// The widest panel, in floats.
const WIDEST: usize = 256;

/// From how many rows of tiles a panel that could be used as it lies is copied together all the same: the second-level cache
/// keeps up with fewer of them.
const PACK_FROM: usize = 32;

/// How many values of scratch memory [`matmul`] wants for a product of this size.
pub fn matmul_scratch(m: usize, n: usize, k: usize) -> usize {
    let width = m.max(n).saturating_add(15).min(WIDEST);
    width.saturating_mul(k).min(PANEL)
}

/// C ← A·B, or C ← C + A·B if `accumulate`: `a` is m×k, `b` k×n, and `c` m×n with rows `c_stride` apart.
///
/// Every element of C is one chain of fused multiply-adds over k in ascending order, starting from zero or from its old
/// value. So its bits don't depend on m, on n, on where it stands in C, or on how a caller divides k into successive
/// accumulating calls. It is fastest with [`matmul_scratch`] values of scratch memory, and right with any number.
///
/// ```
/// use gradus_kernels::{Matrix, matmul};
/// let (a, b) = ([1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]);
/// let mut c = [0.0; 4];
/// matmul(2, 2, 2, Matrix::new(&a, 2), Matrix::new(&b, 2), &mut c, 2, false, &mut []);
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
    accumulate: bool,
    scratch: &mut [Float],
) {
    assert!(holds(a.values, m, k, a.row_stride, a.column_stride), "a is too short");
    assert!(holds(b.values, k, n, b.row_stride, b.column_stride), "b is too short");
    assert!(holds(c, m, n, c_stride, 1), "c is too short");
    assert!(m <= 1 || n <= c_stride, "rows of c overlap");
    if m == 0 || n == 0 {
        return;
    }
    let product = Product {
        m,
        n,
        k,
        a,
        b,
        c: c.as_mut_ptr(),
        c_row: c_stride,
        c_column: 1,
        accumulate,
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
fn holds(values: &[Float], rows: usize, columns: usize, row_stride: usize, column_stride: usize) -> bool {
    if rows == 0 || columns == 0 {
        return true;
    }
    let last = (rows - 1)
        .checked_mul(row_stride)
        .zip((columns - 1).checked_mul(column_stride))
        .and_then(|(row, column)| row.checked_add(column));
    last.is_some_and(|last| last < values.len())
}

/// A product to compute. One of C's strides is 1, and no two elements of C are one.
struct Product<'a> {
    m: usize,
    n: usize,
    k: usize,
    a: Matrix<'a>,
    b: Matrix<'a>,
    c: *mut Float,
    c_row: usize,
    c_column: usize,
    accumulate: bool,
}

/// `0..length` in so many parts, equal but for one.
#[derive(Clone, Copy)]
pub(crate) struct Parts {
    pub count: usize,
    small: usize,
    larger: usize,
}

impl Parts {
    /// The fewest parts of at most `most`, at least one.
    pub fn new(length: usize, most: usize) -> Self {
        if length <= most {
            // The usual case, without a division.
            return Parts::one(length);
        }
        let count = length.div_ceil(most);
        Parts {
            count,
            small: length / count,
            larger: length % count,
        }
    }

    /// All of it in one part.
    pub fn one(length: usize) -> Self {
        Parts {
            count: 1,
            small: length,
            larger: 0,
        }
    }

    /// The longest part's length.
    pub fn longest(self) -> usize {
        self.small + usize::from(self.larger > 0)
    }

    /// Start and length of each; the larger parts come first.
    pub fn iter(self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.count).map(move |i| {
            (
                i * self.small + i.min(self.larger),
                self.small + usize::from(i < self.larger),
            )
        })
    }
}

impl Product<'_> {
    /// Computes C.
    ///
    /// # Safety
    /// The processor has the instructions of `S`; the slices and `c` hold the matrices; m and n are not zero.
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, scratch: &mut [Float]) {
        let one_tile = self.m <= S::ROWS && self.n <= S::LANES * S::vectors(self.m) && self.b.column_stride == 1;
        // SAFETY: the caller's.
        unsafe {
            if one_tile {
                // So small that to decide anything would take longer.
                self.panel::<S>(Parts::one(self.m), (0, self.k), (0, self.n), None);
            } else {
                self.either_way::<S>(scratch);
            }
        }
    }

    /// Computes C or Cᵀ, whichever is less work.
    ///
    /// # Safety
    /// As [`Self::run`].
    #[inline(never)]
    unsafe fn either_way<S: Simd>(&self, scratch: &mut [Float]) {
        let transposed = Product {
            m: self.n,
            n: self.m,
            a: self.b.transposed(),
            b: self.a.transposed(),
            c_row: self.c_column,
            c_column: self.c_row,
            ..*self
        };
        let product = if transposed.work::<S>() < self.work::<S>() {
            &transposed
        } else {
            self
        };
        // SAFETY: the caller's.
        unsafe { product.compute::<S>(scratch) }
    }

    /// About how much work it is to compute it this way: multiplications of vectors, and moves of single values.
    fn work<S: Simd>(&self) -> usize {
        let multiply = (self.m * self.n.div_ceil(S::LANES)).saturating_mul(self.k);
        let pack = if self.b.column_stride == 1 {
            0
        } else {
            self.n.saturating_mul(self.k) / 2
        };
        let turn = if self.c_column == 1 {
            0
        } else {
            self.m * self.n * if self.accumulate { 4 } else { 2 }
        };
        multiply.saturating_add(pack).saturating_add(turn)
    }

    /// Computes C this way.
    ///
    /// # Safety
    /// As [`Self::run`].
    #[inline(always)]
    unsafe fn compute<S: Simd>(&self, scratch: &mut [Float]) {
        let rows = Parts::new(self.m, S::ROWS);
        let vectors = Parts::new(self.n.div_ceil(S::LANES), S::vectors(rows.longest()));
        let width = vectors.longest() * S::LANES;
        let pack = self.b.column_stride != 1;
        let room = if pack { scratch.len().min(PANEL) } else { PANEL };
        // SAFETY: the caller's; the panel has room for k rows of `width`.
        unsafe {
            if vectors.count == 1 && self.k.saturating_mul(width) <= room {
                self.panel::<S>(
                    rows,
                    (0, self.k),
                    (0, self.n),
                    pack.then_some((scratch.as_mut_ptr(), width)),
                );
            } else {
                self.panels::<S>(rows, vectors, scratch);
            }
        }
    }

    /// Computes C panel by panel.
    ///
    /// # Safety
    /// As [`Self::run`].
    #[inline(never)]
    unsafe fn panels<S: Simd>(&self, rows: Parts, vectors: Parts, scratch: &mut [Float]) {
        let width = vectors.longest() * S::LANES;
        let pack = self.b.column_stride != 1 || (rows.count >= PACK_FROM && vectors.count > 1);
        let whole = self.k.saturating_mul(width);
        // Enough for the widest panel, if only of a few rows.
        let mut few;
        let panel = if pack && scratch.len() < PANEL.min(whole) && scratch.len() < 8 * WIDEST {
            few = [0.0; 8 * WIDEST];
            &mut few[..]
        } else {
            scratch
        };
        let room = match (pack, rows.count) {
            (true, _) => panel.len().min(PANEL),
            // What is read once need not fit the cache.
            (false, 1) => usize::MAX,
            _ => PANEL,
        };
        let depth = if whole <= room { self.k } else { room / width };
        for (p, k) in Parts::new(self.k, depth).iter() {
            for (first, count) in vectors.iter() {
                let j = first * S::LANES;
                let n = (count * S::LANES).min(self.n - j);
                let copy = pack.then_some((panel.as_mut_ptr(), width));
                // SAFETY: the caller's; the panel has room for `depth` rows of `width`.
                unsafe { self.panel::<S>(rows, (p, k), (j, n), copy) }
            }
        }
    }

    /// Computes what rows `p..p + k` and columns `j..j + n` of B contribute; they are copied first if there is a place for
    /// the copy, and for its rows so far apart.
    ///
    /// # Safety
    /// As [`Self::run`]; n is of no more columns than fit a tile of the longest of `rows`; the copy has its place.
    #[inline(always)]
    unsafe fn panel<S: Simd>(
        &self,
        rows: Parts,
        (p, k): (usize, usize),
        (j, n): (usize, usize),
        copy: Option<(*mut Float, usize)>,
    ) {
        let (mut b, mut b_row) = (self.b.part(p, j), self.b.row_stride);
        if let Some((panel, width)) = copy {
            // SAFETY: the caller's.
            unsafe { self.pack(b, k, n, panel, width) };
            (b, b_row) = (panel, width);
        }
        let vectors = n.div_ceil(S::LANES);
        let mut tile = Tile {
            k,
            a: self.a.part(0, p),
            a_row: self.a.row_stride,
            a_column: self.a.column_stride,
            b,
            b_row,
            c: self.c.wrapping_add(j * self.c_column),
            c_row: self.c_row,
            last: n - (vectors - 1) * S::LANES,
            from_zero: p == 0 && !self.accumulate,
        };
        for (_, m) in rows.iter() {
            let run = S::tile(m, vectors, tile.last < S::LANES);
            // SAFETY: the caller's.
            unsafe {
                if self.c_column == 1 {
                    run(&tile);
                } else {
                    self.turned(&tile, run, m, n);
                }
            }
            // The last step leaves the slices.
            tile.a = tile.a.wrapping_add(m * self.a.row_stride);
            tile.c = tile.c.wrapping_add(m * self.c_row);
        }
    }

    /// Copies k×n values of B from `b` on into rows `width` apart.
    ///
    /// # Safety
    /// The pointers reach that far.
    #[inline(never)]
    unsafe fn pack(&self, b: *const Float, k: usize, n: usize, panel: *mut Float, width: usize) {
        let (row, column) = (self.b.row_stride, self.b.column_stride);
        // SAFETY: the caller's.
        unsafe {
            if column == 1 {
                for p in 0..k {
                    b.add(p * row).copy_to_nonoverlapping(panel.add(p * width), n);
                }
            } else if row == 1 {
                transpose(n, k, b, column, panel, width);
            } else {
                for p in 0..k {
                    for j in 0..n {
                        *panel.add(p * width + j) = *b.add(p * row + j * column);
                    }
                }
            }
        }
    }

    /// Computes a tile of m rows and n columns whose columns, not rows, lie side by side in C.
    ///
    /// # Safety
    /// As the tile's.
    #[inline(never)]
    unsafe fn turned(&self, tile: &Tile, run: tile::TileFn, m: usize, n: usize) {
        let mut values = [const { std::mem::MaybeUninit::<Float>::uninit() }; 8 * WIDEST];
        let (own, c) = (values.as_mut_ptr().cast::<Float>(), tile.c);
        // SAFETY: the caller's; no tile is wider than `WIDEST` or higher than 8.
        unsafe {
            if !tile.from_zero {
                transpose(n, m, c, self.c_column, own, WIDEST);
            }
            run(&Tile {
                c: own,
                c_row: WIDEST,
                ..*tile
            });
            transpose(m, n, own, WIDEST, c, self.c_column);
        }
    }
}
