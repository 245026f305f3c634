//! The program `gradus`.

fn main() {
    println!("gradus {}", env!("CARGO_PKG_VERSION"));
}
