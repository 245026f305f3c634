//! The networks of the comparison, for the other programs that measure them.

pub mod works;
