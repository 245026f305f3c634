//! Numbers that remember what they were computed from, in f64: the chain rule gives the gradient of the last one.
//!
//! Source: Griewank and Walther, "Evaluating Derivatives", 2008, chapter 3.

use gradus::random::Rng;
use rand::RngExt;

/// A number on a [`Tape`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Var(u32);

/// The numbers that a number was computed from, and its derivatives with respect to them.
#[derive(Debug, Clone, Copy)]
struct Node {
    from: [u32; 3],
    by: [f64; 3],
    /// Whether the derivative comes of a formula whose own terms are rounded: 1 − y² where y is close to 1.
    is_function: bool,
}

/// All numbers of a computation, in the order in which they were computed.
#[derive(Debug, Default)]
pub struct Tape {
    values: Vec<f64>,
    nodes: Vec<Node>,
}

impl Tape {
    /// An empty tape.
    pub fn new() -> Self {
        Tape::default()
    }

    /// Forgets everything; the memory stays.
    pub fn clear(&mut self) {
        self.values.clear();
        self.nodes.clear();
    }

    fn push(&mut self, value: f64, from: [Var; 3], by: [f64; 3]) -> Var {
        let var = Var(u32::try_from(self.values.len()).expect("fewer than 2³² numbers"));
        self.values.push(value);
        self.nodes.push(Node {
            from: from.map(|v| v.0),
            by,
            is_function: false,
        });
        var
    }

    /// A number that depends on nothing.
    pub fn constant(&mut self, value: f64) -> Var {
        self.push(value, [Var(0); 3], [0.0; 3])
    }

    /// Several of them.
    pub fn constants(&mut self, values: &[f64]) -> Vec<Var> {
        values.iter().map(|&value| self.constant(value)).collect()
    }

    /// The value of a number.
    pub fn value(&self, x: Var) -> f64 {
        self.values[x.0 as usize]
    }

    /// The values of numbers.
    pub fn values(&self, x: &[Var]) -> Vec<f64> {
        x.iter().map(|&x| self.value(x)).collect()
    }

    /// a + b
    pub fn add(&mut self, a: Var, b: Var) -> Var {
        self.push(self.value(a) + self.value(b), [a, b, a], [1.0, 1.0, 0.0])
    }

    /// a − b
    pub fn sub(&mut self, a: Var, b: Var) -> Var {
        self.push(self.value(a) - self.value(b), [a, b, a], [1.0, -1.0, 0.0])
    }

    /// a · b
    pub fn mul(&mut self, a: Var, b: Var) -> Var {
        let (x, y) = (self.value(a), self.value(b));
        self.push(x * y, [a, b, a], [y, x, 0.0])
    }

    /// sum + a · b
    pub fn mul_add(&mut self, sum: Var, a: Var, b: Var) -> Var {
        let (x, y) = (self.value(a), self.value(b));
        self.push(self.value(sum) + x * y, [sum, a, b], [1.0, y, x])
    }

    /// a · factor
    pub fn scale(&mut self, a: Var, factor: f64) -> Var {
        self.push(self.value(a) * factor, [a; 3], [factor, 0.0, 0.0])
    }

    /// f(a), given its value and its derivative there.
    pub fn function(&mut self, a: Var, value: f64, derivative: f64) -> Var {
        let y = self.push(value, [a; 3], [derivative, 0.0, 0.0]);
        self.nodes[y.0 as usize].is_function = true;
        y
    }

    /// The sum of all.
    pub fn sum(&mut self, all: &[Var]) -> Var {
        let zero = self.constant(0.0);
        all.iter().fold(zero, |sum, &x| self.add(sum, x))
    }

    /// The derivative of `y` with respect to every number on the tape. With `noise`, each product on the way is wrong by a random
    /// part of that size: what rounding does.
    pub fn gradient(&self, y: Var, mut noise: Option<(f64, &mut Rng)>) -> Gradient {
        let error = |noise: &mut Option<(f64, &mut Rng)>| {
            (noise.as_mut()).map_or(0.0, |(size, rng)| *size * rng.random_range(-1.0..1.0))
        };
        let mut all = vec![0.0; self.values.len()];
        all[y.0 as usize] = 1.0;
        for (i, node) in self.nodes.iter().enumerate().rev() {
            let dy = all[i];
            if dy == 0.0 {
                continue;
            }
            for (&from, &by) in node.from.iter().zip(&node.by) {
                if by != 0.0 {
                    all[from as usize] += dy * by * (1.0 + error(&mut noise));
                }
            }
            if node.is_function {
                all[node.from[0] as usize] += dy * error(&mut noise);
            }
        }
        Gradient(all)
    }
}

/// The derivatives with respect to the numbers of a tape.
#[derive(Debug)]
pub struct Gradient(Vec<f64>);

impl Gradient {
    /// With respect to these.
    pub fn of(&self, x: &[Var]) -> Vec<f64> {
        x.iter().map(|x| self.0[x.0 as usize]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gradient_is_that_of_the_formula() {
        let mut tape = Tape::new();
        let (a, b) = (tape.constant(3.0), tape.constant(-2.0));
        // y = (a · b + a) · e^b − 2 a = a · (b + 1) · e^b − 2 a
        let product = tape.mul_add(a, a, b);
        let e = (-2.0_f64).exp();
        let power = tape.function(b, e, e);
        let y = tape.mul(product, power);
        let twice = tape.scale(a, 2.0);
        let y = tape.sub(y, twice);
        assert_eq!(tape.value(y), -3.0 * e - 6.0);
        let gradient = tape.gradient(y, None).of(&[a, b]);
        assert!((gradient[0] - (-e - 2.0)).abs() < 1e-15);
        assert!((gradient[1] - 0.0).abs() < 1e-15); // a · (b + 2) · e^b
    }
}
