//! Nothing: the programs are in `benches/`.
