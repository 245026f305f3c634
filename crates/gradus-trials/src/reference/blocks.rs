//! Blocks by plain loops.

use super::Pass;
use crate::layer::{Layer, outputs, projection};
use crate::tape::Var;

impl Pass<'_, '_> {
    /// body(x) + shortcut(x)
    pub(super) fn residual(
        &mut self,
        body: &[Layer],
        shortcut: Option<&[Layer]>,
        shape: &[usize],
        x: Vec<Vec<Var>>,
        path: &str,
    ) -> Vec<Vec<Var>> {
        let output = outputs(body, shape).expect("the layers fit");
        let across = match shortcut {
            Some(layers) => layers.to_vec(),
            None => projection(shape, &output).expect("the layers fit"),
        };
        let y = self.branch(body, shape, x.clone(), &format!("{path}.body."));
        let x = self.branch(&across, shape, x, &format!("{path}.shortcut."));
        let mut add = |(&y, &x): (&Var, &Var)| self.tape.add(y, x);
        (y.iter().zip(&x))
            .map(|(y, x)| y.iter().zip(x).map(&mut add).collect())
            .collect()
    }

    /// The outputs of all branches, one after the other.
    pub(super) fn concat(&mut self, block: &Layer, shape: &[usize], x: Vec<Vec<Var>>, path: &str) -> Vec<Vec<Var>> {
        let mut y = vec![Vec::new(); x.len()];
        for (name, branch) in block.branches() {
            let of_branch = self.branch(branch, shape, x.clone(), &format!("{path}.{name}."));
            y.iter_mut()
                .zip(of_branch)
                .for_each(|(y, of_branch)| y.extend(of_branch));
        }
        y
    }

    /// The product of both branches, the second of which may give one number for each channel.
    pub(super) fn multiply(
        &mut self,
        [branch, gate]: &[Vec<Layer>; 2],
        shape: &[usize],
        x: Vec<Vec<Var>>,
        path: &str,
    ) -> Vec<Vec<Var>> {
        let y = self.branch(branch, shape, x.clone(), &format!("{path}.branches.0."));
        let gates = self.branch(gate, shape, x, &format!("{path}.branches.1."));
        let mut product = |(y, gate): (&Vec<Var>, &Vec<Var>)| -> Vec<Var> {
            let pixels = y.len() / gate.len();
            (y.iter().enumerate())
                .map(|(i, &y)| self.tape.mul(y, gate[i / pixels]))
                .collect()
        };
        y.iter().zip(&gates).map(&mut product).collect()
    }

    fn branch(&mut self, layers: &[Layer], shape: &[usize], x: Vec<Vec<Var>>, path: &str) -> Vec<Vec<Var>> {
        self.layers(layers, 0..layers.len(), shape, x, path)
    }
}
