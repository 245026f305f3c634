//! What the processor can do, found out once.

use std::cell::Cell;
use std::sync::OnceLock;

/// A level of vector instructions; a higher one includes the lower ones.
///
/// Results are the same bits on every level: plain operations are never contracted or reordered, and a fused
/// multiply-add is the same number in hardware and in software.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Arch {
    /// What every processor of the target has: SSE2 on x86-64, NEON on AArch64.
    Plain,
    /// AVX2 and FMA: 256 bits.
    Avx2,
    /// AVX-512 F, BW, DQ and VL: 512 bits.
    Avx512,
}

impl Arch {
    /// All levels, ascending.
    pub const ALL: [Arch; 3] = [Arch::Plain, Arch::Avx2, Arch::Avx512];

    /// Whether this processor has the level.
    pub fn is_available(self) -> bool {
        self <= best()
    }
}

thread_local! {
    /// The level of this thread; none yet is the best.
    static LEVEL: Cell<Option<Arch>> = const { Cell::new(None) };
}

/// The level in use on this thread: the processor's best, or lower where [`with_arch`] or the environment variable
/// `GRADUS_ARCH` (`plain`, `avx2` or `avx512`, read once) says so.
#[inline]
pub fn arch() -> Arch {
    match LEVEL.get() {
        Some(arch) => arch,
        None => first_use(),
    }
}

#[cold]
fn first_use() -> Arch {
    static USUAL: OnceLock<Arch> = OnceLock::new();
    let arch = *USUAL.get_or_init(|| match std::env::var("GRADUS_ARCH").as_deref() {
        Ok("plain") => Arch::Plain,
        Ok("avx2") => best().min(Arch::Avx2),
        _ => best(),
    });
    LEVEL.set(Some(arch));
    arch
}

/// Runs `work` with everything it calls on this thread at no higher level than `arch`. For tests.
pub fn with_arch<R>(arch: Arch, work: impl FnOnce() -> R) -> R {
    /// Sets the level back, also after a panic.
    struct Restore(Option<Arch>);
    impl Drop for Restore {
        fn drop(&mut self) {
            LEVEL.set(self.0);
        }
    }
    let _restore = Restore(LEVEL.replace(Some(arch.min(best()))));
    work()
}

/// The highest level of this processor. The standard library asks it once and remembers.
#[cfg(target_arch = "x86_64")]
fn best() -> Arch {
    if !(is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")) {
        Arch::Plain
    } else if is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
    {
        Arch::Avx512
    } else {
        Arch::Avx2
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn best() -> Arch {
    Arch::Plain
}

/// Runs a closure compiled for the vector instructions of [`arch`](fn@crate::arch): a plain loop inside it is vectorized for them.
///
/// The loop has to be of independent elements (a sum is not: its order is fixed). The numbers are those of plain code, since
/// the compiler never contracts or reorders floating-point operations. It is a macro, so that the closure is always inlined into the
/// function that has the instructions: left to the compiler, a long one stays plain code. Functions that it calls should be
/// `#[inline(always)]` too.
///
/// ```
/// let (x, mut y) = ([-1.0, 2.0, -3.0], [0.0; 3]);
/// gradus_kernels::vectorize!(|| {
///     for (y, &x) in y.iter_mut().zip(&x) {
///         *y = if x > 0.0 { x } else { 0.0 };
///     }
/// });
/// assert_eq!(y, [0.0, 2.0, 0.0]);
/// ```
#[macro_export]
macro_rules! vectorize {
    (|| $work:expr) => {
        $crate::vectorize_closure(
            #[inline(always)]
            || $work,
        )
    };
}

/// What [`vectorize!`](crate::vectorize!) calls; without it, a long closure stays plain code.
#[doc(hidden)]
#[inline(always)]
pub fn vectorize_closure<R>(work: impl FnOnce() -> R) -> R {
    struct Closure<F>(F);
    impl<R, F: FnOnce() -> R> SimdOp for Closure<F> {
        type Output = R;
        #[inline(always)]
        fn run(self) -> R {
            (self.0)()
        }
    }
    vectorize_op(Closure(work))
}

/// A loop with all it needs, for [`vectorize_op`].
pub trait SimdOp {
    /// What comes out of it.
    type Output;
    /// Does it. This and all functions it calls must be `#[inline(always)]`, and named functions, not closures.
    fn run(self) -> Self::Output;
}

/// The same as [`vectorize!`](crate::vectorize!) for a loop with a type of its own.
///
/// ```
/// use gradus_kernels::{Float, SimdOp, scalar, vectorize_op};
///
/// struct Gelu<'a>(&'a [Float], &'a mut [Float]);
///
/// impl SimdOp for Gelu<'_> {
///     type Output = ();
///     #[inline(always)]
///     fn run(self) {
///         for (&x, y) in self.0.iter().zip(self.1) {
///             *y = 0.5 * x * (1.0 + scalar::erf(x * 0.70710677));
///         }
///     }
/// }
///
/// let mut y = [0.0; 2];
/// vectorize_op(Gelu(&[0.0, 20.0], &mut y));
/// assert_eq!(y, [0.0, 20.0]);
/// ```
#[inline(always)]
pub fn vectorize_op<W: SimdOp>(work: W) -> W::Output {
    #[cfg(target_arch = "x86_64")]
    match arch() {
        // SAFETY: `arch` found the features.
        Arch::Avx512 => unsafe { avx512(work) },
        // SAFETY: as above.
        Arch::Avx2 => unsafe { avx2(work) },
        Arch::Plain => work.run(),
    }
    #[cfg(not(target_arch = "x86_64"))]
    work.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
fn avx512<W: SimdOp>(work: W) -> W::Output {
    work.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2<W: SimdOp>(work: W) -> W::Output {
    work.run()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_can_be_lowered_and_comes_back() {
        let usual = arch();
        assert!(usual.is_available());
        with_arch(Arch::Plain, || {
            assert_eq!(arch(), Arch::Plain);
            with_arch(Arch::Avx512, || assert!(arch().is_available()));
            assert_eq!(arch(), Arch::Plain);
        });
        let _ = std::panic::catch_unwind(|| with_arch(Arch::Plain, || panic!("inside")));
        assert_eq!(arch(), usual);
    }

    #[test]
    fn results_come_back_from_every_level() {
        for level in Arch::ALL {
            let mut y = [0; 100];
            let sum: i32 = with_arch(level, || {
                vectorize!(|| {
                    for (i, y) in (0..).zip(&mut y) {
                        *y = 3 * i;
                    }
                    y.iter().sum()
                })
            });
            assert_eq!(sum, 3 * 4950, "{level:?}");
        }
    }
}
