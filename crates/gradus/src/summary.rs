//! A network as a table of its layers.

use std::fmt;

use crate::{Float, Network, Part, Shape};

impl Network {
    /// A table of the layers: output shape, parameters, multiply-adds and memory.
    pub fn summary(&self) -> Summary<'_> {
        Summary { network: self }
    }
}

/// A table of a network's layers, which [`Display`](fmt::Display) prints.
#[derive(Debug)]
pub struct Summary<'a> {
    network: &'a Network,
}

/// A line of a [`Summary`].
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct SummaryRow {
    /// The path and kind of the layer or block.
    pub layer: String,
    /// The shape of its output.
    pub output: Shape,
    /// Its trained values.
    pub parameters: usize,
    /// Its multiply-adds for one sample.
    pub multiply_adds: u64,
    /// The bytes of its output, its gradient and what it keeps, for one sample in training.
    pub bytes_per_sample: usize,
}

impl Summary<'_> {
    /// A row for each layer, and one for each block after the layers in its branches.
    pub fn rows(&self) -> Vec<SummaryRow> {
        let mut rows = Vec::new();
        add_rows(&self.network.parts(), "", self.network.input_shape(), &mut rows);
        rows
    }
}

/// Adds the rows of parts in a row that take samples of this shape; returns the shape of their output.
fn add_rows(parts: &[Part<'_>], prefix: &str, input: &Shape, rows: &mut Vec<SummaryRow>) -> Shape {
    let mut shape = input.clone();
    for (i, part) in parts.iter().enumerate() {
        let row = match part {
            Part::Layer(layer) => SummaryRow {
                layer: format!("{} {}", layer.path(), layer.kind()),
                output: layer.output().clone(),
                parameters: layer.parameters().map(|tensor| tensor.values.len()).sum(),
                multiply_adds: layer.multiply_adds(),
                bytes_per_sample: (2 * layer.output().size() + layer.saved()) * size_of::<Float>(),
            },
            Part::Block(block) => {
                let branches = block.branches.iter().enumerate();
                let outputs: Vec<Shape> = branches
                    .map(|(j, branch)| {
                        let prefix = format!("{prefix}{i}.{}.", block.join.branch(j));
                        add_rows(branch, &prefix, &shape, rows)
                    })
                    .collect();
                let output = block.join.output(&outputs).expect("the network was built");
                SummaryRow {
                    layer: format!("{prefix}{i} {}", block.join.kind()),
                    bytes_per_sample: 2 * output.size() * size_of::<Float>(),
                    output,
                    parameters: 0,
                    multiply_adds: 0,
                }
            }
        };
        shape = row.output.clone();
        rows.push(row);
    }
    shape
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.rows();
        let name = rows.iter().map(|r| r.layer.len()).max().unwrap_or(0).max(8);
        let line = |f: &mut fmt::Formatter<'_>, a: &str, b: &str, c: &str, d: &str, e: &str| {
            writeln!(f, "{a:<name$}  {b:>12}  {c:>12}  {d:>14}  {e:>12}")
        };
        line(f, "layer", "output", "parameters", "multiply-adds", "memory")?;
        let input = self.network.input_shape();
        line(
            f,
            "input",
            &input.to_string(),
            "",
            "",
            &bytes(input.size() * size_of::<Float>()),
        )?;
        for row in &rows {
            line(
                f,
                &row.layer,
                &row.output.to_string(),
                &grouped(row.parameters as u64),
                &grouped(row.multiply_adds),
                &bytes(row.bytes_per_sample),
            )?;
        }
        let parameters = self.network.parameter_count();
        let graph = &self.network.graph;
        let sample = (2 * graph.values_size + graph.saved) * size_of::<Float>();
        line(
            f,
            "total",
            &self.network.output_shape().to_string(),
            &grouped(parameters as u64),
            &grouped(self.network.multiply_adds()),
            &bytes(sample),
        )?;
        writeln!(
            f,
            "Parameters take {}; memory is that of one sample's values, gradients and what is kept, if none of it shares a place.",
            bytes(parameters * size_of::<Float>())
        )
    }
}

/// 1234567 as `1,234,567`.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// A number of bytes in a unit that keeps it short.
fn bytes(n: usize) -> String {
    match n {
        0..1024 => format!("{n} B"),
        1024..1_048_576 => format!("{:.1} KiB", n as f64 / 1024.0),
        _ => format!("{:.1} MiB", n as f64 / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests {
    use crate::prelude::*;

    #[test]
    fn blocks_have_rows_after_their_branches() {
        let inner = Layers::new().layer(Multiply::gate(Layers::new().layer(Sigmoid)));
        let network = Sequential::new([3])
            .layer(Dense::new(4))
            .layer(Concat::new([Layers::new(), inner, Layers::new().layer(Dense::new(2))]))
            .build(1)
            .unwrap();
        let rows = network.summary().rows();
        let found: Vec<(&str, usize, usize)> = rows
            .iter()
            .map(|row| (&*row.layer, row.output.size(), row.parameters))
            .collect();
        assert_eq!(
            found,
            [
                ("0 dense", 4, 16),
                ("1.branches.1.0.branches.1.0 sigmoid", 4, 0),
                ("1.branches.1.0 multiply", 4, 0),
                ("1.branches.2.0 dense", 2, 10),
                ("1 concat", 10, 0),
            ]
        );
    }
}
