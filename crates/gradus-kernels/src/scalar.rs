//! Functions of one number, made of plain arithmetic without branches or calls, so that a loop over them inside
//! [`vectorize!`](crate::vectorize!) becomes vector code. They give the same bits on every machine and on every level of
//! instructions.
//!
//! Each reduces its argument to a short interval and evaluates there a polynomial of least greatest relative error (found by
//! the exchange algorithm of E. Remez, 1934). Errors are in ULP, the distance of neighboring floats at the true value; tests
//! hold every function to its bound. In the build for `f64`, which is for proofs and not for speed, they call the standard
//! library instead.

#[cfg(not(gradus_f64))]
pub use single::{erf, exp, ln, tanh};

#[cfg(gradus_f64)]
pub use double::{erf, exp, ln, tanh};

use crate::Float;

/// The logistic function 1 / (1 + e⁻ˣ), within 2.5 ULP, also where it is nearly 0.
#[inline(always)]
pub fn sigmoid(x: Float) -> Float {
    // Of e⁻ˣ and eˣ, the one that can't overflow.
    let e = exp(-x.abs());
    let numerator = if x < 0.0 { e } else { 1.0 };
    numerator / (1.0 + e)
}

#[cfg(not(gradus_f64))]
mod single {
    /// c₀ + c₁x + c₂x² + … by Horner's rule. Not fused: a fused multiply-add is slow where the processor has none.
    #[inline(always)]
    fn polynomial<const N: usize>(x: f32, c: [f32; N]) -> f32 {
        let mut sum = c[N - 1];
        for i in (0..N - 1).rev() {
            sum = sum * x + c[i];
        }
        sum
    }

    /// ln 2 to 9 bits: its product with an exponent is exact.
    const LN_2_HIGH: f32 = 0.693_359_4;
    /// What is missing.
    const LN_2_LOW: f32 = -0.000_212_194_44;

    /// eˣ, within 1 ULP: 2ⁿ·eʳ, where n is the whole number nearest to x / ln 2 and r = x − n ln 2.
    ///
    /// Infinite above 88.72; below −87.34, where the result is subnormal, still within 1 ULP.
    #[inline(always)]
    pub fn exp(x: f32) -> f32 {
        // Adding it rounds a small number to a whole one, which then stands in the lowest bits.
        const ROUND: f32 = 12_582_912.0;
        // Beyond these the result is infinite or zero whatever x is; comparisons with NaN are false, so it stays.
        let x = if x > 89.0 { 89.0 } else { x };
        let x = if x < -104.0 { -104.0 } else { x };
        let shifted = x * std::f32::consts::LOG2_E + ROUND;
        let n = shifted - ROUND;
        let r = (x - n * LN_2_HIGH) - n * LN_2_LOW;
        let q = polynomial(
            r,
            [
                0.499_999_94,
                0.166_665_15,
                0.041_668_456,
                0.008_369_419,
                0.001_381_314_5,
            ],
        );
        let power = 1.0 + (r + r * r * q);
        // 2ⁿ in two steps, since n goes from −150 to 128.
        let n = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
        let half = n >> 1;
        power * power_of_two(half) * power_of_two(n.wrapping_sub(half))
    }

    /// 2ⁿ for n from −126 to 127.
    #[inline(always)]
    fn power_of_two(n: i32) -> f32 {
        f32::from_bits((n.wrapping_add(127) as u32) << 23)
    }

    /// The natural logarithm, within 1 ULP: n ln 2 + ln(1 + f), where x = 2ⁿ(1 + f) and 1 + f is between √½ and √2.
    ///
    /// −∞ at 0, NaN below.
    #[inline(always)]
    pub fn ln(x: f32) -> f32 {
        const ROOT_HALF: i32 = 0x3F35_04F3;
        let subnormal = x < f32::MIN_POSITIVE;
        let bits = (if subnormal { x * 8_388_608.0 } else { x }).to_bits() as i32;
        let n = bits.wrapping_sub(ROOT_HALF) >> 23;
        let f = f32::from_bits(bits.wrapping_sub(n << 23) as u32) - 1.0;
        let n = n as f32 - if subnormal { 23.0 } else { 0.0 };
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
        let y = ((square * f * polynomial(f, c) + n * LN_2_LOW) - 0.5 * square) + f + n * LN_2_HIGH;
        let y = if x == 0.0 { f32::NEG_INFINITY } else { y };
        let y = if x < 0.0 { f32::NAN } else { y };
        // Infinity and NaN are their own logarithms.
        if x < f32::INFINITY { y } else { x }
    }

    /// The hyperbolic tangent, within 2 ULP: a polynomial near 0, and 1 − 2 / (e²ˣ + 1) elsewhere.
    #[inline(always)]
    pub fn tanh(x: f32) -> f32 {
        let a = x.abs();
        let square = x * x;
        let c = [
            -0.333_332_83,
            0.133_314_43,
            -0.053_739_715,
            0.020_639_088,
            -0.005_704_987,
        ];
        let near = a + a * (square * polynomial(square, c));
        let far = 1.0 - 2.0 / (exp(2.0 * a) + 1.0);
        (if a < 0.625 { near } else { far }).copysign(x)
    }

    /// The error function 2/√π ∫₀ˣ e^(−t²) dt, within 1.5 ULP: a polynomial near 0, and elsewhere 1 − eᵖ with a polynomial
    /// for p = ln(1 − erf x).
    #[inline(always)]
    pub fn erf(x: f32) -> f32 {
        let a = x.abs();
        let square = x * x;
        let near = [
            0.128_379_17,
            -0.376_126_32,
            0.112_836_64,
            -0.026_857_705,
            0.005_196_952,
            -0.000_809_770_3,
            8.185_092e-5,
        ];
        let near = a + a * polynomial(square, near);
        let far = [
            -0.000_222_793_88,
            -1.127_562_6,
            -0.637_373_9,
            -0.103_762_19,
            0.022_144_701,
            -0.003_022_462_2,
            0.000_193_809_34,
        ];
        // From 4 on, erf is 1.
        let p = polynomial(if a > 4.0 { 4.0 } else { a }, far);
        let far = 1.0 - exp(p);
        (if a < 0.94 { near } else { far }).copysign(x)
    }
}

#[cfg(gradus_f64)]
mod double {
    pub use crate::reference::erf;

    /// eˣ.
    #[inline(always)]
    pub fn exp(x: f64) -> f64 {
        x.exp()
    }

    /// The natural logarithm.
    #[inline(always)]
    pub fn ln(x: f64) -> f64 {
        x.ln()
    }

    /// The hyperbolic tangent.
    #[inline(always)]
    pub fn tanh(x: f64) -> f64 {
        x.tanh()
    }
}
