//! The functions of one value that the core library lacks, with the polynomials of `gradus_kernels::scalar`, and the
//! activations made of them.

/// c₀ + c₁x + c₂x² + …
fn polynomial(x: f32, c: &[f32]) -> f32 {
    c.iter().rev().fold(0.0, |sum, c| sum * x + c)
}

/// 2ⁿ for n from -126 to 127.
fn power_of_two(n: i32) -> f32 {
    f32::from_bits(((n + 127) as u32) << 23)
}

/// eˣ = 2ⁿ·eʳ, where n is the whole number nearest to x / ln 2 and r = x - n ln 2.
pub(crate) fn exp(x: f32) -> f32 {
    if x.is_nan() {
        return x;
    }
    let x = x.clamp(-104.0, 89.0);
    let n = (x * core::f32::consts::LOG2_E + if x < 0.0 { -0.5 } else { 0.5 }) as i32;
    let r = (x - n as f32 * 0.693_359_4) - n as f32 * -0.000_212_194_44;
    let q = polynomial(
        r,
        &[
            0.499_999_94,
            0.166_665_15,
            0.041_668_456,
            0.008_369_419,
            0.001_381_314_5,
        ],
    );
    let half = n / 2;
    (1.0 + (r + r * r * q)) * power_of_two(half) * power_of_two(n - half)
}

/// ln x for x from 1 to 2.
fn ln(x: f32) -> f32 {
    let (f, n) = if x > core::f32::consts::SQRT_2 {
        (0.5 * x - 1.0, 1.0)
    } else {
        (x - 1.0, 0.0)
    };
    let c = [
        0.333_333_13,
        -0.250_000_1,
        0.200_021_18,
        -0.166_679_96,
        0.142_195_53,
        -0.124_055_88,
        0.118_881_59,
        -0.116_756_55,
        0.067_466_51,
    ];
    let square = f * f;
    ((square * f * polynomial(f, &c) + n * -0.000_212_194_44) - 0.5 * square) + f + n * 0.693_359_4
}

/// |x|
fn magnitude(x: f32) -> f32 {
    if x < 0.0 { -x } else { x }
}

/// The hyperbolic tangent.
fn tanh(x: f32) -> f32 {
    let a = magnitude(x);
    let y = if a < 0.625 {
        let square = a * a;
        let c = [
            -0.333_332_83,
            0.133_314_43,
            -0.053_739_715,
            0.020_639_088,
            -0.005_704_987,
        ];
        a + a * (square * polynomial(square, &c))
    } else {
        // From 10 on it is 1.
        1.0 - 2.0 / (exp(if a > 10.0 { 20.0 } else { 2.0 * a }) + 1.0)
    };
    if x < 0.0 { -y } else { y }
}

/// The error function.
fn erf(x: f32) -> f32 {
    let a = magnitude(x);
    let y = if a < 0.94 {
        let c = [
            0.128_379_17,
            -0.376_126_32,
            0.112_836_64,
            -0.026_857_705,
            0.005_196_952,
            -0.000_809_770_3,
            8.185_092e-5,
        ];
        a + a * polynomial(a * a, &c)
    } else {
        let c = [
            -0.000_222_793_88,
            -1.127_562_6,
            -0.637_373_9,
            -0.103_762_19,
            0.022_144_701,
            -0.003_022_462_2,
            0.000_193_809_34,
        ];
        1.0 - exp(polynomial(if a > 4.0 { 4.0 } else { a }, &c))
    };
    if x < 0.0 { -y } else { y }
}

/// 1 / (1 + e⁻ˣ)
fn logistic(x: f32) -> f32 {
    let e = exp(-magnitude(x));
    (if x < 0.0 { e } else { 1.0 }) / (1.0 + e)
}

/// max(0, x)
pub(crate) fn relu(y: &mut [f32]) {
    for y in y {
        if *y < 0.0 {
            *y = 0.0;
        }
    }
}

/// x above 0, slope · x below.
pub(crate) fn leaky_relu(y: &mut [f32], slope: f32) {
    for y in y {
        *y *= if *y > 0.0 { 1.0 } else { slope };
    }
}

/// x above 0, alpha · (eˣ - 1) below.
pub(crate) fn elu(y: &mut [f32], alpha: f32) {
    for y in y {
        let t = tanh(0.5 * *y);
        *y = if *y > 0.0 { *y } else { alpha * (2.0 * t / (1.0 - t)) };
    }
}

/// x · (1 + erf(x / √2)) / 2
pub(crate) fn gelu(y: &mut [f32]) {
    for y in y {
        *y = 0.5 * *y * (1.0 + erf(*y * core::f32::consts::FRAC_1_SQRT_2));
    }
}

/// x / (1 + e⁻ˣ)
pub(crate) fn silu(y: &mut [f32]) {
    for y in y {
        *y *= logistic(*y);
    }
}

/// ln(1 + eˣ)
pub(crate) fn softplus(y: &mut [f32]) {
    for y in y {
        let e = exp(-magnitude(*y));
        // What is lost in 1 + e is put right by the second factor.
        let sum = 1.0 + e;
        let rest = if sum == 1.0 { e } else { ln(sum) * (e / (sum - 1.0)) };
        *y = rest + if *y > 0.0 { *y } else { 0.0 };
    }
}

/// 1 / (1 + e⁻ˣ)
pub(crate) fn sigmoid(y: &mut [f32]) {
    for y in y {
        *y = logistic(*y);
    }
}

/// The hyperbolic tangent.
pub(crate) fn hyperbolic(y: &mut [f32]) {
    for y in y {
        *y = tanh(*y);
    }
}

/// min(max(x, low), high)
pub(crate) fn clamp(y: &mut [f32], low: f32, high: f32) {
    for y in y {
        if *y < low {
            *y = low;
        } else if *y > high {
            *y = high;
        }
    }
}

/// min(max(x / 6 + 1/2, 0), 1)
pub(crate) fn hard_sigmoid(y: &mut [f32]) {
    for y in y.iter_mut() {
        *y = *y * (1.0 / 6.0) + 0.5;
    }
    clamp(y, 0.0, 1.0);
}

/// x · min(max(x / 6 + 1/2, 0), 1)
pub(crate) fn hard_swish(y: &mut [f32]) {
    for y in y {
        let gate = *y * (1.0 / 6.0) + 0.5;
        let gate = if gate < 0.0 { 0.0 } else { gate };
        *y *= if gate > 1.0 { 1.0 } else { gate };
    }
}

/// λ · x above 0, λ · α · (eˣ - 1) below.
pub(crate) fn selu(y: &mut [f32]) {
    elu(y, 1.673_263_2);
    for y in y {
        *y *= 1.050_701;
    }
}

/// x · tanh(ln(1 + eˣ)), from e^-|x| alone.
pub(crate) fn mish(y: &mut [f32]) {
    for y in y {
        let e = exp(-magnitude(*y));
        let (part, rest) = if *y < 0.0 {
            (e * (e + 2.0), 2.0)
        } else {
            (1.0 + 2.0 * e, 2.0 * e * e)
        };
        *y *= part / (part + rest);
    }
}

/// x · (1 + tanh(√(2/π) · (x + 0.044715 · x³))) / 2 = x · σ(2 · √(2/π) · (x + 0.044715 · x³))
pub(crate) fn gelu_tanh(y: &mut [f32]) {
    for y in y {
        // Further out it is x or 0, and the cube might become infinite.
        let x = if *y > 100.0 { 100.0 } else { *y };
        let x = if x < -100.0 { -100.0 } else { x };
        *y *= logistic(1.595_769 * (x + 0.044_715 * x * x * x));
    }
}

/// eˣⁱ / Σ eˣʲ
pub(crate) fn softmax(y: &mut [f32]) {
    let largest = y.iter().fold(y[0], |most, &y| if y > most { y } else { most });
    let mut total = 0.0;
    for y in y.iter_mut() {
        *y = exp(*y - largest);
        total += *y;
    }
    for y in y {
        *y /= total;
    }
}

/// x above 0, below it times the slope of each `pixels` values in a row.
pub(crate) fn prelu(y: &mut [f32], slope: &[f32], pixels: usize) {
    for (y, slope) in y.chunks_exact_mut(pixels).zip(slope) {
        leaky_relu(y, *slope);
    }
}

/// xᵢ - ln Σ eˣʲ
pub(crate) fn log_softmax(y: &mut [f32]) {
    let largest = y.iter().fold(y[0], |most, &y| if y > most { y } else { most });
    let mut total = 0.0;
    for y in y.iter_mut() {
        *y -= largest;
        total += exp(*y);
    }
    // The logarithm of the total, which is at least 1.
    let mut log = 0.0;
    while total > 2.0 {
        total *= 0.5;
        log += core::f32::consts::LN_2;
    }
    log += ln(total);
    for y in y {
        *y -= log;
    }
}

/// √x for positive x, by Newton's method.
fn root(x: f32) -> f32 {
    let mut y = f32::from_bits((x.to_bits() >> 1) + 0x1fbd_1df5);
    for _ in 0..4 {
        y = 0.5 * (y + x / y);
    }
    y
}

/// Each group of values with mean 0 and variance 1, then times gamma plus beta, which each `pixels` values in a row share.
pub(crate) fn normalize(y: &mut [f32], gamma: &[f32], beta: &[f32], groups: usize, pixels: usize, epsilon: f32) {
    let size = y.len() / groups;
    for (group, y) in y.chunks_exact_mut(size).enumerate() {
        let mut mean = 0.0;
        for y in y.iter() {
            mean += *y;
        }
        mean /= size as f32;
        let mut variance = 0.0;
        for y in y.iter_mut() {
            *y -= mean;
            variance += *y * *y;
        }
        let inverse = 1.0 / root(variance / size as f32 + epsilon);
        for (i, y) in y.iter_mut().enumerate() {
            let channel = (group * size + i) / pixels;
            *y = gamma[channel] * (*y * inverse) + beta[channel];
        }
    }
}
