//! Sizes, strides and lengths that make no sense, to every function that computes with them: each call works or panics with a
//! sentence, in every build. Under a sanitizer or Miri it is seen that none reads or writes beyond its slices; what is lent has
//! exactly its length.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use gradus_kernels::interleaved::{Axis, Convolution, LANES, MaxPool, deinterleave, interleave};
use gradus_kernels::{
    Accumulate, Arch, Buffer, DisjointRanges, Float, Matrix, Partition, Pool, bfloat16, matmul, matmul_sum, with_arch,
};

/// How many calls of each kind: as many as the environment variable `GRADUS_CALLS` says.
fn calls() -> usize {
    let usual = if cfg!(miri) { 100 } else { 2000 };
    std::env::var("GRADUS_CALLS").map_or(usual, |calls| calls.parse().expect("GRADUS_CALLS is a number"))
}

/// The most numbers that are lent.
const MOST: usize = 2000;

thread_local! {
    static SILENT: Cell<bool> = const { Cell::new(false) };
    static MESSAGE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Does it, and says what it panicked with, which has to be a sentence of ours. Nothing is printed.
fn refusal(what: impl std::fmt::Debug, work: impl FnOnce()) -> Option<String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if SILENT.get() {
                let payload = info.payload();
                let text = payload.downcast_ref::<String>().map(String::as_str);
                let text = text.or(payload.downcast_ref::<&str>().copied());
                MESSAGE.set(text.unwrap_or_default().to_string());
            } else {
                usual(info);
            }
        }));
    });
    SILENT.set(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    SILENT.set(false);
    result.err()?;
    let message = MESSAGE.take();
    let accidents = [
        "overflow",
        "out of range",
        "out of bounds",
        "divide by",
        "failed\n",
        "non-zero",
        "unwrap",
        "mid >",
        "internal",
    ];
    assert!(
        !message.is_empty() && !accidents.iter().any(|accident| message.contains(accident)),
        "{message:?} is no sentence: {what:?}"
    );
    Some(message)
}

/// Numbers that are small, or so large that what they are multiplied with wraps around.
struct Sizes(u64);

impl Sizes {
    fn next(&mut self) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) as usize
    }

    /// One of `0..n`.
    fn below(&mut self, n: usize) -> usize {
        self.next() % n
    }

    /// Mostly from 1 to 5, seldom anything.
    fn size(&mut self) -> usize {
        match self.below(8) {
            0 => self.below(40),
            1 => (1usize << self.below(usize::BITS as usize)).wrapping_add(self.below(3)),
            2 => usize::MAX.wrapping_sub(self.below(3)) >> self.below(6),
            _ => 1 + self.below(5),
        }
    }

    /// The product as it is where nobody looks whether it is one, if there is so much memory; else something.
    fn length(&mut self, sizes: &[usize]) -> usize {
        let product = sizes.iter().fold(1, |product: usize, &size| product.wrapping_mul(size));
        match self.below(12) {
            0 => self.below(100),
            _ if product > MOST => LANES * self.below(10),
            _ => product,
        }
    }

    fn axis(&mut self) -> Axis {
        let mut axis = Axis {
            input: self.size(),
            kernel: self.size(),
            stride: self.size(),
            dilation: self.size(),
            padding: if self.below(2) == 0 { 0 } else { self.size() },
            output: self.size(),
        };
        if self.below(2) == 0 {
            // As many outputs as make sense, if any do.
            let taps = axis.kernel.saturating_sub(1).wrapping_mul(axis.dilation);
            let room = axis
                .input
                .wrapping_add(axis.padding)
                .saturating_sub(taps.wrapping_add(1));
            axis.output = (room / axis.stride.max(1)).wrapping_add(1);
        }
        axis
    }
}

/// So many numbers, in memory that ends with them.
fn numbers(length: usize) -> Box<[Float]> {
    (0..length).map(|i| (i % 7) as Float - 3.0).collect()
}

/// Does it often, on every level of instructions, with other sizes each time; and says how many calls were not refused.
fn often(seed: u64, mut work: impl FnMut(&mut Sizes) -> bool) {
    let calls = calls();
    for arch in Arch::ALL.into_iter().filter(|arch| arch.is_available()) {
        let mut sizes = Sizes(seed);
        let worked = with_arch(arch, || (0..calls).filter(|_| work(&mut sizes)).count());
        assert!((1..calls).contains(&worked), "{worked} of {calls} worked on {arch:?}");
    }
}

#[test]
fn pooling() {
    often(1, |sizes| {
        let pool = MaxPool {
            rows: sizes.axis(),
            columns: sizes.axis(),
        };
        let channels = sizes.below(4);
        let x = numbers(sizes.length(&[channels, pool.rows.input, pool.columns.input, LANES]));
        let mut y = numbers(sizes.length(&[channels, pool.rows.output, pool.columns.output, LANES]));
        let (mut taps, mut dx) = (y.clone(), x.clone());
        let forward = refusal((pool, x.len(), y.len()), || pool.forward(&x, &mut y, Some(&mut taps)));
        let plain = refusal((pool, x.len(), y.len()), || pool.forward(&x, &mut y, None));
        // Whatever the taps say.
        let backward = refusal((pool, x.len(), y.len()), || pool.input_gradient(&y, &taps, &mut dx));
        assert_eq!(forward, backward);
        assert!(plain.is_none() || plain == forward);
        forward.is_none()
    });
}

#[test]
fn convolutions() {
    often(2, |sizes| {
        let groups = if sizes.below(3) > 0 { 1 } else { sizes.size() };
        let (in_channels, out_channels) = (sizes.size(), sizes.size());
        let (in_channels, out_channels) = match sizes.below(3) {
            0 => (in_channels.wrapping_mul(groups), out_channels.wrapping_mul(groups)),
            _ => (in_channels, out_channels),
        };
        let of = Convolution {
            rows: sizes.axis(),
            columns: sizes.axis(),
            in_channels,
            out_channels,
            groups,
        };
        let group_in = in_channels / groups.max(1);
        let mut x = numbers(sizes.length(&[in_channels, of.rows.input, of.columns.input, LANES]));
        let mut w = numbers(sizes.length(&[out_channels, group_in, of.rows.kernel, of.columns.kernel]));
        let mut y = numbers(sizes.length(&[out_channels, of.rows.output, of.columns.output, LANES]));
        let mut b = numbers(sizes.length(&[out_channels]));
        let what = (of, [x.len(), w.len(), b.len(), y.len()]);
        let results = [
            refusal(what, || of.forward(&x, &w, None, &mut y)),
            refusal(what, || of.forward(&x, &w, Some(&b), &mut y)),
            refusal(what, || of.input_gradient(&w, &y, &mut x)),
            refusal(what, || of.weight_gradient(&x, &y, &mut w)),
            refusal(what, || of.bias_gradient(&y, &mut b)),
        ];
        // One sample.
        let (x, mut y) = (numbers(x.len() / LANES), numbers(y.len() / LANES));
        refusal(what, || of.forward_one(&x, &w, Some(&b), &mut y));
        results.iter().all(Option::is_none)
    });
}

#[test]
fn products() {
    often(3, |sizes| {
        let [m, n, k] = std::array::from_fn(|_| {
            if sizes.below(4) > 0 {
                sizes.below(40)
            } else {
                sizes.size()
            }
        });
        let mut matrix = |rows: usize, columns: usize| {
            let stride = |sizes: &mut Sizes, usual| if sizes.below(4) > 0 { usual } else { sizes.size() };
            let (row_stride, column_stride) = match sizes.below(2) {
                0 => (stride(sizes, columns), stride(sizes, 1)),
                _ => (stride(sizes, 1), stride(sizes, rows)),
            };
            // Never 0, or a sum without an end would be right.
            let (row_stride, column_stride) = (row_stride.max(1), column_stride.max(1));
            let last = (rows.wrapping_sub(1).wrapping_mul(row_stride))
                .wrapping_add(columns.wrapping_sub(1).wrapping_mul(column_stride))
                .wrapping_add(1);
            (numbers(sizes.length(&[last])), row_stride, column_stride)
        };
        let (a, b) = (matrix(m, k), matrix(k, n));
        let [a, b] = [&a, &b].map(|(values, row_stride, column_stride)| Matrix {
            values,
            row_stride: *row_stride,
            column_stride: *column_stride,
        });
        let c_stride = if sizes.below(4) > 0 { n } else { sizes.size() };
        let last = m.wrapping_sub(1).wrapping_mul(c_stride).wrapping_add(n);
        let (mut c, row) = (numbers(sizes.length(&[last])), numbers(sizes.length(&[n])));
        let start = [Accumulate::Zero, Accumulate::Sum, Accumulate::Row(&row)][sizes.below(3)];
        let mut scratch = numbers([0, 1, 100, MOST][sizes.below(4)]);
        let strides = [a.row_stride, a.column_stride, b.row_stride, b.column_stride, c_stride];
        let what = ([m, n, k], strides, [a.values.len(), b.values.len(), c.len()]);
        let one = refusal(what, || matmul(m, n, k, a, b, &mut c, c_stride, start, &mut scratch));
        let all = (0..sizes.below(12)).map(|_| (k, a, b));
        refusal(what, || matmul_sum(m, n, all, &mut c, c_stride, start, &mut scratch));
        one.is_none()
    });
}

#[test]
fn products_in_bfloat16() {
    often(4, |sizes| {
        let (rows, columns) = (sizes.size(), sizes.size());
        let x = numbers(sizes.length(&[rows, columns]));
        let room = |sizes: &mut Sizes, exact: usize| match sizes.below(4) {
            0 => sizes.below(100),
            _ => exact.min(MOST),
        };
        let pairs = |length| vec![bfloat16::Pair::default(); length].into_boxed_slice();
        let mut across = pairs(room(sizes, bfloat16::size_across(rows, columns)));
        let mut down = pairs(room(sizes, bfloat16::size_down(rows, columns)));
        let what = ([rows, columns], [x.len(), across.len(), down.len()]);
        let converted = refusal(what, || bfloat16::convert(&x, columns, Some(&mut across), &mut down));

        let which = sizes.size()..sizes.size();
        let count = which.end.wrapping_sub(which.start);
        let mut turned = pairs(room(sizes, bfloat16::size_down(count, rows)));
        refusal((what, which.clone(), turned.len()), || {
            bfloat16::convert_transposed(&x, columns, which, &mut turned)
        });

        let [m, n, p] = std::array::from_fn(|_| sizes.size());
        let a = bfloat16::PackedLhs {
            values: &across,
            row_stride: sizes.size(),
            pair_stride: sizes.size(),
        };
        let b = pairs(room(sizes, bfloat16::size_down(p.saturating_mul(2), n)));
        let (mut c, row) = (numbers(sizes.length(&[m, n])), numbers(sizes.length(&[n])));
        let start = [Accumulate::Zero, Accumulate::Sum, Accumulate::Row(&row)][sizes.below(3)];
        let strides = [a.row_stride, a.pair_stride];
        refusal(([m, n, p], strides, [across.len(), b.len(), c.len()]), || {
            bfloat16::product([m, n, p], a, &b, &mut c, start)
        });
        converted.is_none()
    });
}

#[test]
fn samples_in_lanes() {
    often(5, |sizes| {
        let (samples, features) = (sizes.size(), sizes.size());
        let mut rows = numbers(sizes.length(&[samples, features]));
        let mut lanes = numbers(sizes.length(&[LANES, features]));
        let what = [samples, features, rows.len(), lanes.len()];
        let there = refusal(what, || interleave(&rows, samples, &mut lanes));
        let back = refusal(what, || deinterleave(&lanes, samples, &mut rows));
        assert_eq!(there, back);
        there.is_none()
    });
}

#[test]
fn parts_of_slices() {
    often(6, |sizes| {
        let (mut first, mut second) = (numbers(sizes.below(20)), numbers(sizes.below(20)));
        let ranges: [_; 3] = std::array::from_fn(|_| {
            let (slice, start) = (sizes.below(9) / 4, sizes.size());
            let end = if sizes.below(4) > 0 {
                start.wrapping_add(sizes.below(4))
            } else {
                sizes.size()
            };
            (slice, start..end)
        });
        let borrowed = refusal(&ranges, || {
            for part in DisjointRanges::new(ranges.clone()).borrow(&mut first, &mut second) {
                part.fill(1.0);
            }
        });
        let (length, size) = (sizes.below(20), sizes.size());
        let mut cuts = Partition::singles(0);
        cuts.space_evenly(length, size);
        let mut slice = numbers(sizes.length(&[length]));
        refusal((length, size, slice.len()), || {
            let count = cuts.count();
            let pieces = cuts.cut(&mut slice);
            let total: usize = (0..count).map(|i| pieces.take(i).len()).sum();
            assert_eq!(total, length);
        });
        borrowed.is_none()
    });
}

/// Its x and y have the lengths that these sizes have where their products wrap around.
#[test]
#[should_panic(expected = "larger than any memory")]
fn a_pooling_whose_size_wraps_around_is_refused() {
    let axis = |input, output| Axis {
        input,
        kernel: 1,
        stride: 1,
        dilation: 1,
        padding: 0,
        output,
    };
    let pool = MaxPool {
        rows: axis((1 << 60) + 1, (1 << 60) + 1),
        columns: axis(1, 1),
    };
    pool.forward(&numbers(LANES), &mut numbers(LANES), None);
}

#[test]
#[should_panic(expected = "sees nothing of the image")]
fn a_window_between_whose_taps_the_image_lies_is_refused() {
    let axis = |input, kernel, dilation, padding| Axis {
        input,
        kernel,
        stride: 1,
        dilation,
        padding,
        output: 1,
    };
    let pool = MaxPool {
        rows: axis(2, 2, 4, 1),
        columns: axis(1, 1, 1, 0),
    };
    pool.forward(&numbers(2 * LANES), &mut numbers(LANES), None);
}

#[test]
#[should_panic(expected = "more taps than a float can number")]
fn more_taps_than_a_float_can_number_are_refused() {
    let side = 1 << (Float::MANTISSA_DIGITS / 2 + 1);
    let axis = Axis {
        input: 1,
        kernel: side,
        stride: 1,
        dilation: 1,
        padding: side / 2,
        output: 1,
    };
    let pool = MaxPool {
        rows: axis,
        columns: axis,
    };
    let (x, mut y) = (numbers(LANES), numbers(LANES));
    pool.forward(&x, &mut y, None);
    assert_eq!(x, y);
    pool.forward(&x, &mut y, Some(&mut numbers(LANES)));
}

#[test]
#[should_panic(expected = "a buffer fits the address space")]
fn a_buffer_larger_than_any_memory_is_refused() {
    Buffer::zeros(usize::MAX / 2);
}

#[test]
#[should_panic(expected = "more than can be shared")]
fn more_tasks_than_numbers_are_refused() {
    Pool::new(2).run(usize::MAX, &|_, _| panic!("nothing is begun"));
}
