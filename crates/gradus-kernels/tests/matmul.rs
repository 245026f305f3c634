//! The matrix product against the plain loops, bit for bit, on every level of instructions this machine has.

use gradus_kernels::{Accumulate, Arch, Float, Matrix, matmul, matmul_scratch, matmul_sum, reference, with_arch};

/// Numbers in -1..1 whose sums round: a multiplicative hash of the position.
fn values(count: usize, seed: u64) -> Vec<Float> {
    let number = |i: u64| {
        let mut z = (i + seed * 0x1_0000).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        ((z >> 40) as f64 / (1u64 << 23) as f64 - 1.0) as Float
    };
    (0..count as u64).map(number).collect()
}

/// The ways a matrix may lie: row strides and column strides.
#[derive(Debug, Clone, Copy)]
enum Order {
    Rows,
    PaddedRows,
    Columns,
    PaddedColumns,
    Neither,
}

impl Order {
    fn matrix(self, values: &[Float], rows: usize, columns: usize) -> Matrix<'_> {
        let (row_stride, column_stride) = match self {
            Order::Rows => (columns, 1),
            Order::PaddedRows => (columns + 5, 1),
            Order::Columns => (1, rows),
            Order::PaddedColumns => (1, rows + 3),
            Order::Neither => (2 * columns + 1, 2),
        };
        let length = if rows * columns == 0 {
            0
        } else {
            (rows - 1) * row_stride + (columns - 1) * column_stride + 1
        };
        Matrix {
            values: &values[..length],
            row_stride,
            column_stride,
        }
    }
}

/// What sums start from.
#[derive(Debug, Clone, Copy)]
enum Begin {
    Zero,
    Sum,
    Row,
}

const BEGINS: [Begin; 3] = [Begin::Zero, Begin::Sum, Begin::Row];

impl Begin {
    fn start(self, row: &[Float]) -> Accumulate<'_> {
        match self {
            Begin::Zero => Accumulate::Zero,
            Begin::Sum => Accumulate::Sum,
            Begin::Row => Accumulate::Row(row),
        }
    }
}

#[allow(clippy::too_many_arguments)]
fn check(m: usize, n: usize, k: usize, a: Order, b: Order, c_gap: usize, begin: Begin, scratch: usize) {
    let (a_values, b_values) = (values(2 * (m + 5) * (k + 5), 1), values(2 * (k + 5) * (n + 5), 2));
    let (a_matrix, b_matrix) = (a.matrix(&a_values, m, k), b.matrix(&b_values, k, n));
    let c = values(m * (n + c_gap), 3);
    let row = values(n, 4);
    let start = begin.start(&row);
    let mut expected = c.clone();
    reference::matmul(m, n, k, a_matrix, b_matrix, &mut expected, n + c_gap, start);
    for arch in Arch::ALL.into_iter().filter(|arch| arch.is_available()) {
        let mut found = c.clone();
        let mut scratch = vec![Float::NAN; scratch];
        with_arch(arch, || {
            matmul(m, n, k, a_matrix, b_matrix, &mut found, n + c_gap, start, &mut scratch)
        });
        let same = found.iter().zip(&expected).all(|(x, y)| x.to_bits() == y.to_bits());
        assert!(same, "{arch:?} {m}×{n}×{k} {a:?} {b:?} gap {c_gap} {begin:?}");
    }
}

const ORDERS: [Order; 5] = [
    Order::Rows,
    Order::PaddedRows,
    Order::Columns,
    Order::PaddedColumns,
    Order::Neither,
];

#[test]
fn every_order_of_elements() {
    for a in ORDERS {
        for b in ORDERS {
            for (m, n, k) in [
                (1, 1, 1),
                (3, 5, 7),
                (9, 50, 13),
                (50, 9, 13),
                (40, 100, 11),
                (1, 150, 20),
                (150, 1, 20),
            ] {
                for begin in BEGINS {
                    check(m, n, k, a, b, 0, begin, matmul_scratch(m, n, k));
                    check(m, n, k, a, b, 3, begin, matmul_scratch(m, n, k));
                }
            }
        }
    }
}

#[test]
fn sizes_around_every_tile_edge() {
    let sizes = [
        1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 15, 16, 17, 23, 24, 25, 31, 32, 33, 47, 48, 49, 53, 63, 64, 65, 97,
    ];
    for m in sizes {
        for n in sizes {
            let k = 1 + (m * n) % 19;
            check(
                m,
                n,
                k,
                Order::Rows,
                Order::Rows,
                m % 2,
                BEGINS[n % 3],
                matmul_scratch(m, n, k),
            );
            check(
                m,
                n,
                k,
                Order::Columns,
                Order::Rows,
                0,
                Begin::Sum,
                matmul_scratch(m, n, k),
            );
            check(
                m,
                n,
                k,
                Order::Rows,
                Order::Columns,
                0,
                Begin::Zero,
                matmul_scratch(m, n, k),
            );
        }
    }
    for n in [127, 128, 129, 257] {
        for m in [1, 2, 3, 4] {
            check(
                m,
                n,
                5,
                Order::Rows,
                Order::Rows,
                1,
                Begin::Sum,
                matmul_scratch(m, n, 5),
            );
        }
    }
}

#[test]
fn long_sums_are_one_chain() {
    for k in [79, 80, 81, 212, 213, 214, 427, 641, 1300] {
        check(
            33,
            50,
            k,
            Order::Rows,
            Order::Rows,
            0,
            Begin::Sum,
            matmul_scratch(33, 50, k),
        );
        check(
            7,
            17,
            k,
            Order::Rows,
            Order::Columns,
            0,
            Begin::Row,
            matmul_scratch(7, 17, k),
        );
        check(
            30,
            10,
            k,
            Order::Rows,
            Order::Rows,
            0,
            Begin::Sum,
            matmul_scratch(30, 10, k),
        );
        check(
            1,
            130,
            k,
            Order::Rows,
            Order::Rows,
            0,
            Begin::Zero,
            matmul_scratch(1, 130, k),
        );
    }
}

#[test]
fn any_scratch_is_enough() {
    for scratch in [0, 1, 100, 1000, 1500, 5000, 20000] {
        check(40, 100, 150, Order::Rows, Order::Rows, 0, Begin::Sum, scratch);
        check(40, 100, 150, Order::Rows, Order::Columns, 0, Begin::Zero, scratch);
        check(1, 150, 70, Order::Rows, Order::Columns, 0, Begin::Zero, scratch);
        check(2, 3, 4, Order::Rows, Order::Columns, 0, Begin::Zero, scratch);
    }
}

#[test]
fn empty_sums_and_empty_matrices() {
    for begin in BEGINS {
        check(3, 40, 0, Order::Rows, Order::Rows, 1, begin, 0);
        check(0, 4, 5, Order::Rows, Order::Rows, 0, begin, 0);
        check(4, 0, 5, Order::Rows, Order::Rows, 0, begin, 0);
    }
}

#[test]
fn a_divided_sum_is_the_same() {
    let (m, n, k) = (20, 70, 90);
    let (a, b) = (values(m * k, 1), values(k * n, 2));
    let (mut whole, mut parts) = (vec![0.0; m * n], vec![0.0; m * n]);
    matmul(
        m,
        n,
        k,
        Matrix::new(&a, k),
        Matrix::new(&b, n),
        &mut whole,
        n,
        Accumulate::Zero,
        &mut [],
    );
    for (from, to) in [(0, 1), (1, 40), (40, 90)] {
        let a = Matrix {
            values: &a[from..],
            row_stride: k,
            column_stride: 1,
        };
        let b = Matrix::new(&b[from * n..to * n], n);
        matmul(m, n, to - from, a, b, &mut parts, n, Accumulate::Sum, &mut []);
    }
    assert_eq!(whole, parts);
}

#[test]
fn infinities_and_missing_numbers_stay_in_their_rows() {
    let (m, n, k) = (20, 50, 10);
    let (mut a, b) = (values(m * k, 1), values(k * n, 2));
    a[3 * k] = Float::INFINITY;
    a[7 * k + 2] = Float::NAN;
    let mut c = vec![0.0; m * n];
    matmul(
        m,
        n,
        k,
        Matrix::new(&a, k),
        Matrix::new(&b, n),
        &mut c,
        n,
        Accumulate::Zero,
        &mut [],
    );
    for (i, row) in c.chunks(n).enumerate() {
        assert!(
            row.iter()
                .all(|x| x.is_infinite() == (i == 3) && x.is_nan() == (i == 7)),
            "row {i}"
        );
    }
}

#[test]
#[should_panic(expected = "a is too short")]
fn a_short_a_is_refused() {
    matmul(
        2,
        2,
        2,
        Matrix::new(&[1.0; 3], 2),
        Matrix::new(&[1.0; 4], 2),
        &mut [0.0; 4],
        2,
        Accumulate::Zero,
        &mut [],
    );
}

#[test]
#[should_panic(expected = "b is too short")]
fn a_short_b_is_refused() {
    let b = Matrix {
        values: &[1.0; 4],
        row_stride: usize::MAX,
        column_stride: 2,
    };
    matmul(
        2,
        2,
        2,
        Matrix::new(&[1.0; 4], 2),
        b,
        &mut [0.0; 4],
        2,
        Accumulate::Zero,
        &mut [],
    );
}

#[test]
#[should_panic(expected = "c is too short")]
fn a_short_c_is_refused() {
    matmul(
        2,
        2,
        2,
        Matrix::new(&[1.0; 4], 2),
        Matrix::new(&[1.0; 4], 2),
        &mut [0.0; 4],
        3,
        Accumulate::Zero,
        &mut [],
    );
}

#[test]
#[should_panic(expected = "rows of c overlap")]
fn overlapping_rows_are_refused() {
    matmul(
        2,
        2,
        2,
        Matrix::new(&[1.0; 4], 2),
        Matrix::new(&[1.0; 4], 2),
        &mut [0.0; 4],
        1,
        Accumulate::Zero,
        &mut [],
    );
}

#[test]
fn several_products_are_one() {
    for (m, n) in [(1, 1), (3, 10), (7, 17), (33, 50), (50, 9), (8, 200), (300, 40)] {
        for lengths in [&[5, 1, 0, 7][..], &[50, 50], &[16; 40], &[300, 20, 90], &[0], &[]] {
            let k = lengths.iter().sum();
            let (a_values, b_values) = (values(m * k, 1), values(k * n, 2));
            for [a_order, b_order] in [
                [Order::Rows, Order::Rows],
                [Order::Columns, Order::Rows],
                [Order::Rows, Order::Columns],
            ] {
                let (a, b) = (a_order.matrix(&a_values, m, k), b_order.matrix(&b_values, k, n));
                fn part(matrix: Matrix<'_>, start: usize) -> &[Float] {
                    matrix.values.get(start..).unwrap_or_default()
                }
                let products = lengths.iter().scan(0, |first, &length| {
                    let (in_a, in_b) = (*first * a.column_stride, *first * b.row_stride);
                    *first += length;
                    let (a_values, b_values) = (part(a, in_a), part(b, in_b));
                    Some((
                        length,
                        Matrix { values: a_values, ..a },
                        Matrix { values: b_values, ..b },
                    ))
                });
                for begin in BEGINS {
                    let row = values(n, 4);
                    let (mut whole, mut sum) = (values(m * n, 3), values(m * n, 3));
                    let mut scratch = vec![Float::NAN; matmul_scratch(m, n, k)];
                    matmul(m, n, k, a, b, &mut whole, n, begin.start(&row), &mut scratch);
                    matmul_sum(m, n, products.clone(), &mut sum, n, begin.start(&row), &mut scratch);
                    assert_eq!(whole, sum, "{m}×{n} of {lengths:?} {a_order:?} {b_order:?} {begin:?}");
                }
            }
        }
    }
}
