//! Normalization by plain loops.

use super::Pass;
use crate::tape::Var;

impl<'a> Pass<'a, '_> {
    /// Each feature, or channel, over all samples; at inference by its running statistics.
    pub(super) fn batch_norm(
        &mut self,
        [momentum, epsilon]: [f64; 2],
        features: usize,
        x: Vec<Vec<Var>>,
        path: &str,
    ) -> Vec<Vec<Var>> {
        let [gamma, beta] = self.gamma_and_beta(path);
        let pixels = x[0].len() / features;
        let mut y = x.clone();
        for feature in 0..features {
            let places = feature * pixels..(feature + 1) * pixels;
            let state = |name: &str| format!("{path}.running_{name}");
            let (mean, variance) = if self.training.is_some() {
                let all: Vec<Var> = (x.iter()).flat_map(|x| x[places.clone()].iter().copied()).collect();
                let (mean, variance) = self.moments(&all);
                let n = all.len() as f64;
                let found = [self.tape.value(mean), self.tape.value(variance) * n / (n - 1.0)];
                for (name, found) in ["mean", "var"].into_iter().zip(found) {
                    let running = &mut self.state.get_mut(&state(name)).expect("batch_norm has both")[feature];
                    *running = (1.0 - momentum) * *running + momentum * found;
                }
                (mean, variance)
            } else {
                let [mean, variance] = ["mean", "var"].map(|name| self.state[&state(name)][feature]);
                (self.tape.constant(mean), self.tape.constant(variance))
            };
            let inverse = self.inverse_deviation(variance, epsilon);
            let scale = self.tape.mul(gamma[feature], inverse);
            for (x, y) in x.iter().zip(&mut y) {
                for i in places.clone() {
                    let d = self.tape.sub(x[i], mean);
                    y[i] = self.tape.mul_add(beta[feature], d, scale);
                }
            }
        }
        y
    }

    /// Each of the groups that the values of a sample are cut into; γ and β are those of as many values in a row each.
    pub(super) fn grouped_norm(&mut self, groups: usize, epsilon: f64, x: &[Var], path: &str) -> Vec<Var> {
        let [gamma, beta] = self.gamma_and_beta(path);
        let per_factor = x.len() / gamma.len();
        let mut y = Vec::new();
        for group in x.chunks(x.len() / groups) {
            let (mean, variance) = self.moments(group);
            let mean = self.rounded_mean(mean);
            let inverse = self.inverse_deviation(variance, epsilon);
            for &x in group {
                let factor = y.len() / per_factor;
                let d = self.tape.sub(x, mean);
                let normalized = self.tape.mul(d, inverse);
                y.push(self.tape.mul_add(beta[factor], gamma[factor], normalized));
            }
        }
        y
    }

    fn gamma_and_beta(&self, path: &str) -> [&'a [Var]; 2] {
        ["weight", "bias"].map(|name| self.parameter(path, name).expect("norms have both"))
    }

    /// The mean with the noise that other programs have on it. It makes y wrong by γ · |μ| · ε / √(σ² + ε′), as do a mean of f32 and
    /// a formula such as x · s + (β − μ · s): much where equal numbers far from 0 are normalized.
    fn rounded_mean(&mut self, mean: Var) -> Var {
        match &mut self.noise {
            Some(noise) if noise.of_means => {
                let factor = noise.factor();
                self.tape.scale(mean, factor)
            }
            _ => mean,
        }
    }

    /// The mean and the variance, which is the mean square of the distances from the mean. That of equal numbers is exactly one of
    /// them: its distance from the first is the mean of theirs.
    fn moments(&mut self, x: &[Var]) -> (Var, Var) {
        let first = x[0];
        let distances: Vec<Var> = x.iter().map(|&x| self.tape.sub(x, first)).collect();
        let distance = self.mean(&distances);
        let mean = self.tape.add(first, distance);
        let mut squares = self.tape.constant(0.0);
        for &x in x {
            let d = self.tape.sub(x, mean);
            squares = self.tape.mul_add(squares, d, d);
        }
        (mean, self.tape.scale(squares, 1.0 / x.len() as f64))
    }

    /// 1 / √(σ² + ε)
    fn inverse_deviation(&mut self, variance: Var, epsilon: f64) -> Var {
        let root = (self.tape.value(variance) + epsilon).sqrt();
        let deviation = self.tape.function(variance, root, 0.5 / root);
        self.tape.function(deviation, 1.0 / root, -1.0 / (root * root))
    }
}
