//! Convolutions of samples side by side against the plain loops, bit for bit, on every level of instructions this machine has.

use gradus_kernels::interleaved::{Axis, Convolution, LANES, MaxPool, deinterleave, interleave};
use gradus_kernels::{Arch, Float, reference, with_arch};

/// Numbers in -1..1 whose sums round: a multiplicative hash of the position.
fn values(count: usize, seed: u64) -> Vec<Float> {
    let number = |i: u64| {
        let mut z = (i + seed * 0x1_0000_0000).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        ((z >> 40) as f64 / (1u64 << 23) as f64 - 1.0) as Float
    };
    (0..count as u64).map(number).collect()
}

/// An axis with as many outputs as there are with this padding before and behind the input, if there is one.
fn axis(input: usize, kernel: usize, stride: usize, dilation: usize, before: usize, behind: usize) -> Option<Axis> {
    let room = (before + input + behind).checked_sub((kernel - 1) * dilation + 1)?;
    Some(Axis {
        input,
        kernel,
        stride,
        dilation,
        padding: before,
        output: room / stride + 1,
    })
}

fn valid(input: usize, kernel: usize) -> Axis {
    axis(input, kernel, 1, 1, 0, 0).unwrap()
}

fn same(x: &[Float], y: &[Float]) -> bool {
    x.len() == y.len() && x.iter().zip(y).all(|(x, y)| x.to_bits() == y.to_bits())
}

fn check(rows: Axis, columns: Axis, in_channels: usize, out_channels: usize, groups: usize) {
    let of = Convolution {
        rows,
        columns,
        in_channels,
        out_channels,
        groups,
    };
    let x = values(in_channels * rows.input * columns.input * LANES, 1);
    let w = values(out_channels * (in_channels / groups) * rows.kernel * columns.kernel, 2);
    let b = values(out_channels, 3);
    let dy = values(out_channels * rows.output * columns.output * LANES, 4);
    // What is there before, where it is overwritten and where it is added to.
    let (y, dx, dw, db) = (
        vec![Float::NAN; dy.len()],
        vec![Float::NAN; x.len()],
        values(w.len(), 5),
        values(b.len(), 6),
    );
    let (mut true_y, mut true_plain, mut true_dx) = (y.clone(), y.clone(), dx.clone());
    let (mut true_dw, mut true_db) = (dw.clone(), db.clone());
    reference::convolution(&of, &x, &w, Some(&b), &mut true_y);
    reference::convolution(&of, &x, &w, None, &mut true_plain);
    reference::convolution_input_gradient(&of, &w, &dy, &mut true_dx);
    reference::convolution_weight_gradient(&of, &x, &dy, &mut true_dw);
    reference::convolution_bias_gradient(&of, &dy, &mut true_db);
    for arch in Arch::ALL.into_iter().filter(|arch| arch.is_available()) {
        with_arch(arch, || {
            let (mut y, mut plain, mut dx, mut dw, mut db) = (y.clone(), y.clone(), dx.clone(), dw.clone(), db.clone());
            of.forward(&x, &w, Some(&b), &mut y);
            of.forward(&x, &w, None, &mut plain);
            of.input_gradient(&w, &dy, &mut dx);
            of.weight_gradient(&x, &dy, &mut dw);
            of.bias_gradient(&dy, &mut db);
            assert!(same(&y, &true_y), "forward, {arch:?}, {of:?}");
            assert!(same(&plain, &true_plain), "forward without a bias, {arch:?}, {of:?}");
            assert!(same(&dx, &true_dx), "input gradient, {arch:?}, {of:?}");
            assert!(same(&dw, &true_dw), "weight gradient, {arch:?}, {of:?}");
            assert!(same(&db, &true_db), "bias gradient, {arch:?}, {of:?}");
            if of.takes_one() {
                let lane = |values: &[Float]| -> Vec<Float> { values.iter().skip(5).step_by(LANES).copied().collect() };
                for (b, expected) in [(Some(&b[..]), &true_y), (None, &true_plain)] {
                    let expected = lane(expected);
                    let mut y = vec![Float::NAN; expected.len()];
                    of.forward_one(&lane(&x), &w, b, &mut y);
                    assert!(same(&y, &expected), "of one sample, {arch:?}, {of:?}");
                }
            }
        });
    }
}

#[test]
fn channels_around_every_tile() {
    for out_channels in 1..=17 {
        for in_channels in 1..=17 {
            check(
                valid(3, 2),
                valid(6, 2 + out_channels % 2),
                in_channels,
                out_channels,
                1,
            );
            check(valid(2, 1), valid(2, 1), in_channels, out_channels, 1);
        }
    }
}

#[test]
fn widths_around_every_tile() {
    for width in 1..=34 {
        for channels in 1..=9 {
            check(valid(1, 1), valid(width, 1), 2, channels, 1);
            if let Some(columns) = axis(width, 3, 1, 1, 1, 1) {
                check(axis(2, 3, 1, 1, 1, 1).unwrap(), columns, channels, 3, 1);
                check(columns, valid(2, 2), 1, channels, 1);
            }
        }
    }
}

/// All small axes.
fn axes() -> Vec<Axis> {
    let mut axes = Vec::new();
    for input in [1, 2, 3, 5, 8] {
        for kernel in 1..=5 {
            for stride in 1..=3 {
                for dilation in 1..=2 {
                    for (before, behind) in [(0, 0), (1, 1), (0, 2), (3, 0), (3, 3)] {
                        axes.extend(axis(input, kernel, stride, dilation, before, behind));
                    }
                }
            }
        }
    }
    axes
}

#[test]
fn every_axis_across_and_down() {
    let axes = axes();
    assert!(axes.len() > 400);
    for (i, &axis) in axes.iter().enumerate() {
        check(valid(3, 2), axis, 2, 1 + i % 7, 1);
        check(axis, valid(3, 2), 1 + i % 3, 2, 1);
        // 7 and the number of axes have no common divisor.
        check(axis, axes[7 * i % axes.len()], 1, 1 + i % 4, 1);
    }
}

#[test]
fn every_kernel() {
    for height in 1..=5 {
        for width in 1..=12 {
            check(valid(6, height), valid(14, width), 2, 3, 1);
            let columns = axis(7, width, 2, 1, width / 2, width / 2).unwrap();
            check(valid(6, height), columns, 3, 6, 1);
        }
    }
}

#[test]
fn groups_see_their_own_channels() {
    let rows = axis(4, 3, 1, 1, 1, 1).unwrap();
    for (in_channels, out_channels, groups) in [(4, 4, 2), (6, 3, 3), (3, 6, 3), (16, 16, 16), (18, 36, 2), (8, 24, 8)]
    {
        for columns in [rows, axis(9, 3, 2, 1, 1, 0).unwrap(), valid(5, 1)] {
            check(rows, columns, in_channels, out_channels, groups);
        }
    }
}

#[test]
fn steps_that_lead_nowhere_may_be_huge() {
    let column = Axis {
        stride: usize::MAX,
        dilation: usize::MAX,
        ..valid(1, 1)
    };
    check(column, column, 2, 3, 1);
    // Only padding.
    let beside = Axis {
        padding: 5,
        output: 3,
        ..valid(2, 2)
    };
    check(beside, valid(3, 2), 2, 3, 1);
    check(valid(3, 2), beside, 2, 3, 1);
}

#[test]
fn nothing_of_it_may_be_there() {
    let none = Axis {
        output: 0,
        ..valid(2, 2)
    };
    check(none, valid(3, 2), 2, 3, 1);
    check(
        valid(3, 2),
        Axis {
            input: 0,
            ..valid(2, 2)
        },
        2,
        3,
        1,
    );
    check(
        valid(3, 2),
        Axis {
            kernel: 0,
            ..valid(2, 2)
        },
        2,
        3,
        1,
    );
    check(valid(3, 2), valid(3, 2), 0, 3, 1);
    check(valid(3, 2), valid(3, 2), 2, 0, 1);
}

#[test]
fn a_lane_keeps_to_itself() {
    let of = Convolution {
        rows: valid(5, 3),
        columns: axis(6, 3, 1, 1, 1, 1).unwrap(),
        in_channels: 2,
        out_channels: 3,
        groups: 1,
    };
    let (mut x, w) = (values(2 * 5 * 6 * LANES, 1), values(3 * 2 * 9, 2));
    let mut y = [vec![0.0; 3 * 3 * 6 * LANES], vec![0.0; 3 * 3 * 6 * LANES]];
    of.forward(&x, &w, None, &mut y[0]);
    x.iter_mut().skip(5).step_by(LANES).for_each(|x| *x = Float::NAN);
    of.forward(&x, &w, None, &mut y[1]);
    for (i, (before, after)) in y[0].iter().zip(&y[1]).enumerate() {
        assert!(before.to_bits() == after.to_bits() || (i % LANES == 5 && after.is_nan()));
    }
}

#[test]
fn the_largest_of_each_window() {
    let mut windows = 0;
    for rows in axes().into_iter().step_by(3) {
        for columns in axes() {
            let pool = MaxPool { rows, columns };
            // The place of a tap in x, if it is within the image.
            let place = |i: usize, j: usize, tap: usize| {
                let (k, l) = (tap / columns.kernel, tap % columns.kernel);
                let row = (i * rows.stride + k * rows.dilation).checked_sub(rows.padding)?;
                let column = (j * columns.stride + l * columns.dilation).checked_sub(columns.padding)?;
                (row < rows.input && column < columns.input).then_some((row * columns.input + column) * LANES)
            };
            let taps = rows.kernel * columns.kernel;
            let channels = 2;
            let plane = rows.input * columns.input * LANES;
            // Few different numbers, so that some are equal; and NaN.
            let mut x: Vec<Float> = values(channels * plane, 5).iter().map(|x| (x * 3.0).round()).collect();
            x[plane / 2] = Float::NAN;
            let outputs = rows.output * columns.output;
            let places: Vec<_> = (0..outputs).map(|o| (o / columns.output, o % columns.output)).collect();
            if !places
                .iter()
                .all(|&(i, j)| (0..taps).any(|tap| place(i, j, tap).is_some()))
            {
                continue;
            }
            windows += 1;
            let dy = values(channels * outputs * LANES, 6);
            let (mut y, mut which, mut dx) = (vec![0.0; dy.len()], vec![0.0; dy.len()], vec![0.0; x.len()]);
            for channel in 0..channels {
                for (o, &(i, j)) in places.iter().enumerate() {
                    for lane in 0..LANES {
                        let at = (channel * outputs + o) * LANES + lane;
                        let value = |tap: usize| place(i, j, tap).map(|p| x[channel * plane + p + lane]);
                        let mut best: Option<(usize, Float)> = None;
                        for tap in 0..taps {
                            let Some(value) = value(tap) else { continue };
                            // The first NaN, else the first of the largest.
                            if best.is_none_or(|(_, b)| !b.is_nan() && (value > b || value.is_nan())) {
                                best = Some((tap, value));
                            }
                        }
                        let (tap, value) = best.unwrap();
                        (y[at], which[at]) = (value, tap as Float);
                        dx[channel * plane + place(i, j, tap).unwrap() + lane] += dy[at];
                    }
                }
            }
            for arch in Arch::ALL {
                with_arch(arch, || {
                    let (mut found, mut taps) = (vec![0.5; y.len()], vec![0.5; y.len()]);
                    pool.forward(&x, &mut found, None);
                    assert!(same(&found, &y), "{pool:?} on {arch:?}");
                    found.fill(0.5);
                    pool.forward(&x, &mut found, Some(&mut taps));
                    assert!(same(&found, &y) && same(&taps, &which), "{pool:?} on {arch:?}");
                    let mut found = vec![0.5; dx.len()];
                    pool.input_gradient(&which, &dy, &mut found);
                    let close = found.iter().zip(&dx).all(|(f, e)| (f - e).abs() < 1e-5);
                    assert!(close, "{pool:?} on {arch:?}");
                });
            }
        }
    }
    assert!(windows > 50, "{windows}");
}

#[test]
#[should_panic(expected = "with as many channels")]
fn pooling_other_images_is_refused() {
    let pool = MaxPool {
        rows: valid(4, 2),
        columns: valid(4, 2),
    };
    pool.forward(&[0.0; 256], &mut [0.0; 100], None);
}

#[test]
fn samples_go_to_lanes_and_back() {
    for arch in Arch::ALL {
        for samples in 0..=LANES {
            for features in [0, 1, 3, 8, 16, 17, 127, 128, 129, 300] {
                let x = values(samples * features, 1);
                let (mut lanes, mut back) = (vec![Float::NAN; features * LANES], vec![Float::NAN; x.len()]);
                with_arch(arch, || {
                    interleave(&x, samples, &mut lanes);
                    deinterleave(&lanes, samples, &mut back);
                });
                for (i, &value) in lanes.iter().enumerate() {
                    let (feature, lane) = (i / LANES, i % LANES);
                    assert_eq!(
                        value,
                        if lane < samples {
                            x[lane * features + feature]
                        } else {
                            0.0
                        }
                    );
                }
                assert!(same(&x, &back));
            }
        }
    }
}

/// Runs a forward pass of two channels with lengths that are too large by so many.
fn with_lengths(of: Convolution, x: usize, w: usize, b: usize, y: usize) {
    let (x, w, b) = (vec![0.0; 2 * 9 * LANES + x], vec![0.0; 2 * 2 * 4 + w], vec![0.0; 2 + b]);
    of.forward(&x, &w, Some(&b), &mut vec![0.0; 2 * 4 * LANES + y]);
}

fn small() -> Convolution {
    Convolution {
        rows: valid(3, 2),
        columns: valid(3, 2),
        in_channels: 2,
        out_channels: 2,
        groups: 1,
    }
}

#[test]
#[should_panic(expected = "x or dx has not the size of the input")]
fn another_x_is_refused() {
    with_lengths(small(), 1, 0, 0, 0);
}

#[test]
#[should_panic(expected = "w or dw has not the size of the weights")]
fn another_w_is_refused() {
    with_lengths(small(), 0, 1, 0, 0);
}

#[test]
#[should_panic(expected = "b has not one value for each output channel")]
fn another_b_is_refused() {
    with_lengths(small(), 0, 0, 1, 0);
}

#[test]
#[should_panic(expected = "y or dy has not the size of the output")]
fn another_y_is_refused() {
    with_lengths(small(), 0, 0, 0, 1);
}

#[test]
#[should_panic(expected = "can't be divided into 3 groups")]
fn groups_that_divide_nothing_are_refused() {
    with_lengths(Convolution { groups: 3, ..small() }, 0, 0, 0, 0);
}

#[test]
#[should_panic(expected = "larger than any memory")]
fn an_axis_beyond_all_numbers_is_refused() {
    let rows = Axis {
        padding: usize::MAX,
        ..valid(3, 2)
    };
    with_lengths(Convolution { rows, ..small() }, 0, 0, 0, 0);
}

#[test]
#[should_panic(expected = "larger than any memory")]
fn sizes_that_overflow_are_refused() {
    let of = Convolution {
        in_channels: 1 << 60,
        ..small()
    };
    with_lengths(of, 0, 0, 0, 0);
}

#[test]
#[should_panic(expected = "17 samples are more than 16 lanes")]
fn too_many_samples_are_refused() {
    interleave(&[0.0; 17], 17, &mut [0.0; 16]);
}
