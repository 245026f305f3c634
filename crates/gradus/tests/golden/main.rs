//! What PyTorch computes, and what gradus computes: the same, to five digits in f32 and ten in f64.
//!
//! The numbers are in the folder `golden` at the repository's root, with the Python that made them.

mod activations;
mod file;
mod layers;
mod losses;
mod networks;
mod optimizers;
mod schedules;
