//! How a product is divided into tiles.

use super::tile::{self, Factors, Simd, Tile};
use super::transpose::transpose;
use crate::Float;

/// The size of a panel of B: 40 KB of the 32 to 64 KB of a first-level cache, where what spills comes from the second.
pub(super) const PANEL: usize = 10240;

/// The widest panel, in floats.
pub(super) const WIDEST: usize = 256;

/// From how many rows of tiles a panel that could be used as it lies is copied together all the same: the second-level cache
/// keeps up with fewer of them.
const PACK_FROM: usize = 32;

/// A sum of products to compute. One of C's strides is 1, and no two elements of C are one.
///
/// Strides are of rows and of columns.
#[derive(Clone, Copy)]
pub(super) struct Product<'a> {
    pub m: usize,
    pub n: usize,
    pub factors: &'a [Factors],
    pub a: (usize, usize),
    pub b: (usize, usize),
    pub c: *mut Float,
    pub c_strides: (usize, usize),
    /// What sums start from: nothing if null.
    pub from: *const Float,
    pub from_strides: (usize, usize),
}

/// `0..length` in `count` parts, whose lengths differ by at most one.
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
    /// The processor has the instructions of `S`; the pointers reach over the matrices; m and n are not zero.
    #[inline(always)]
    pub unsafe fn run<S: Simd>(&self, scratch: &mut [Float]) {
        let one_tile = self.m <= S::ROWS && self.n <= S::LANES * S::vectors(self.m) && self.b.1 == 1;
        // SAFETY: the caller's.
        unsafe {
            if one_tile {
                // So small that to decide anything would take longer.
                self.panel::<S>(Parts::one(self.m), self.factors, (0, self.n), None);
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
        let swap = |(row, column)| (column, row);
        let mut transposed = Product {
            m: self.n,
            n: self.m,
            a: swap(self.b),
            b: swap(self.a),
            c_strides: swap(self.c_strides),
            from_strides: swap(self.from_strides),
            ..*self
        };
        // SAFETY: the caller's.
        unsafe {
            if transposed.work::<S>() < self.work::<S>() {
                let mut factors = [Factors::NONE; super::MOST_FACTORS];
                let factors = &mut factors[..self.factors.len()];
                for (to, from) in factors.iter_mut().zip(self.factors) {
                    *to = from.transposed();
                }
                transposed.factors = factors;
                transposed.compute::<S>(scratch);
            } else {
                self.compute::<S>(scratch);
            }
        }
    }

    /// The summands of each sum.
    fn summands(&self) -> usize {
        self.factors
            .iter()
            .fold(0, |sum, factors| sum.saturating_add(factors.k))
    }

    /// Whether the rows of C, and of what sums start from, are of values side by side.
    fn in_rows(&self) -> bool {
        self.c_strides.1 == 1 && (self.from.is_null() || self.from_strides.1 == 1)
    }

    /// About how much work it is to compute it this way: multiplications of vectors, and moves of single values.
    fn work<S: Simd>(&self) -> usize {
        let k = self.summands();
        let multiply = (self.m * self.n.div_ceil(S::LANES)).saturating_mul(k);
        let pack = if self.b.1 == 1 { 0 } else { self.n.saturating_mul(k) / 2 };
        let turn = if self.in_rows() {
            0
        } else {
            self.m * self.n * if self.from.is_null() { 2 } else { 4 }
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
        let pack = self.b.1 != 1;
        let room = if pack { scratch.len().min(PANEL) } else { PANEL };
        // SAFETY: the caller's; the panel has room for k rows of `width`.
        unsafe {
            match self.factors {
                [only] if vectors.count == 1 && only.k.saturating_mul(width) <= room => {
                    let copy = pack.then_some((scratch.as_mut_ptr(), width));
                    self.panel::<S>(rows, self.factors, (0, self.n), copy);
                }
                [only] => self.panels::<S>(only, rows, vectors, scratch),
                all if !pack && self.summands().saturating_mul(width) <= PANEL && rows.count < PACK_FROM => {
                    for (first, count) in vectors.iter() {
                        let j = first * S::LANES;
                        self.panel::<S>(rows, all, (j, (count * S::LANES).min(self.n - j)), None);
                    }
                }
                all => self.one_by_one::<S>(all, rows, vectors, scratch),
            }
        }
    }

    /// Computes one product after the other.
    ///
    /// # Safety
    /// As [`Self::run`].
    #[inline(never)]
    unsafe fn one_by_one<S: Simd>(&self, all: &[Factors], rows: Parts, vectors: Parts, scratch: &mut [Float]) {
        let mut product = *self;
        for factors in all {
            // SAFETY: the caller's.
            unsafe { product.panels::<S>(factors, rows, vectors, scratch) };
            (product.from, product.from_strides) = (self.c, self.c_strides);
        }
        if all.is_empty() {
            // SAFETY: the caller's.
            unsafe { self.panels::<S>(&Factors::NONE, rows, vectors, scratch) };
        }
    }

    /// Computes C from one product, panel by panel.
    ///
    /// # Safety
    /// As [`Self::run`].
    #[inline(never)]
    unsafe fn panels<S: Simd>(&self, factors: &Factors, rows: Parts, vectors: Parts, scratch: &mut [Float]) {
        let width = vectors.longest() * S::LANES;
        let pack = self.b.1 != 1 || (rows.count >= PACK_FROM && vectors.count > 1);
        let whole = factors.k.saturating_mul(width);
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
        let depth = if whole <= room { factors.k } else { room / width };
        let mut product = *self;
        for (p, k) in Parts::new(factors.k, depth).iter() {
            let part = Factors {
                k,
                a: factors.a.wrapping_add(p * self.a.1),
                b: factors.b.wrapping_add(p * self.b.0),
            };
            for (first, count) in vectors.iter() {
                let j = first * S::LANES;
                let n = (count * S::LANES).min(self.n - j);
                let copy = pack.then_some((panel.as_mut_ptr(), width));
                // SAFETY: the caller's; the panel has room for `depth` rows of `width`.
                unsafe { product.panel::<S>(rows, &[part], (j, n), copy) }
            }
            (product.from, product.from_strides) = (self.c, self.c_strides);
        }
    }

    /// Computes what these factors contribute to columns `j..j + n`. If there is a place for a copy of B's part, and for its
    /// rows so far apart, that is made first; of one product only.
    ///
    /// # Safety
    /// As [`Self::run`]; n is of no more columns than fit a tile of the longest of `rows`; the copy has its place.
    #[inline(always)]
    unsafe fn panel<S: Simd>(
        &self,
        rows: Parts,
        factors: &[Factors],
        (j, n): (usize, usize),
        copy: Option<(*mut Float, usize)>,
    ) {
        let copied;
        let vectors = n.div_ceil(S::LANES);
        let mut tile = Tile {
            factors,
            a_start: 0,
            a_row: self.a.0,
            a_column: self.a.1,
            b_start: j.wrapping_mul(self.b.1),
            b_row: self.b.0,
            c: self.c.wrapping_add(j * self.c_strides.1),
            c_row: self.c_strides.0,
            from: self.from,
            from_row: self.from_strides.0,
            last: n - (vectors - 1) * S::LANES,
        };
        if !self.from.is_null() {
            tile.from = self.from.wrapping_add(j * self.from_strides.1);
        }
        if let (Some((panel, width)), &[Factors { k, a, b }]) = (copy, factors) {
            // SAFETY: the caller's.
            unsafe { self.pack(b.wrapping_add(tile.b_start), k, n, panel, width) };
            copied = [Factors { k, a, b: panel }];
            (tile.factors, tile.b_start, tile.b_row) = (&copied, 0, width);
        }
        for (_, m) in rows.iter() {
            let run = S::tile(m, vectors, tile.last < S::LANES);
            // SAFETY: the caller's.
            unsafe {
                if self.in_rows() {
                    run(&tile);
                } else {
                    self.transposed(&tile, run, m, n);
                }
            }
            // The last step leaves the slices; and where k is 0, strides may be any.
            tile.a_start = tile.a_start.wrapping_add(m.wrapping_mul(tile.a_row));
            tile.c = tile.c.wrapping_add(m.wrapping_mul(tile.c_row));
            if !self.from.is_null() {
                tile.from = tile.from.wrapping_add(m * tile.from_row);
            }
        }
    }

    /// Copies k×n values of B from `b` on into rows `width` apart.
    ///
    /// # Safety
    /// The pointers reach that far.
    #[inline(never)]
    unsafe fn pack(&self, b: *const Float, k: usize, n: usize, panel: *mut Float, width: usize) {
        let (row, column) = self.b;
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

    /// Computes a tile of m rows and n columns that doesn't lie in rows, but in columns.
    ///
    /// # Safety
    /// As the tile's.
    #[inline(never)]
    unsafe fn transposed(&self, tile: &Tile<'_>, run: tile::TileFn, m: usize, n: usize) {
        let mut values = [const { std::mem::MaybeUninit::<Float>::uninit() }; 8 * WIDEST];
        let own = values.as_mut_ptr().cast::<Float>();
        let mut from = tile.from;
        // SAFETY: the caller's; no tile is wider than `WIDEST` or higher than 8.
        unsafe {
            if !from.is_null() {
                match self.from_strides.1 {
                    // One value for all columns.
                    0 => (0..m).for_each(|i| (0..n).for_each(|j| *own.add(i * WIDEST + j) = *from.add(i))),
                    column => transpose(n, m, from, column, own, WIDEST),
                }
                from = own;
            }
            run(&Tile {
                c: own,
                c_row: WIDEST,
                from,
                from_row: WIDEST,
                ..*tile
            });
            transpose(m, n, own, WIDEST, tile.c, self.c_strides.1);
        }
    }
}
