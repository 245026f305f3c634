//! The plan holds on random networks: a training step and a prediction are played with names in place of numbers, and whatever an
//! operation reads has to be what was written there.

use rand::RngExt;

use super::*;
use crate::layer::advanced::Layout;
use crate::prelude::*;
use crate::random::{Purpose, Rng, stream};
use crate::{Node, Shape};

/// What lies in a number of memory: the content of a value, the gradient of a value, or what an operation keeps.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Content {
    Nothing,
    Value(usize),
    Gradient(usize),
    Saved(usize),
}

/// The memory of a block and of its thread.
struct Memory {
    block: Vec<Content>,
    thread: Vec<Content>,
    samples: usize,
}

impl Memory {
    fn arena(&mut self, arena: Arena) -> &mut Vec<Content> {
        match arena {
            Arena::Block => &mut self.block,
            Arena::Thread => &mut self.thread,
        }
    }

    fn write(&mut self, place: Place, content: Content) {
        let range = place.of(self.samples);
        self.arena(place.arena)[range].fill(content);
    }

    fn check(&mut self, place: Place, content: Content, what: &str) {
        let range = place.of(self.samples);
        let found = &self.arena(place.arena)[range.clone()];
        assert!(!found.is_empty(), "{what}: {content:?} has no place");
        if let Some(other) = found.iter().find(|found| **found != content) {
            panic!(
                "{what}: at {range:?} of {:?} is {other:?}, not {content:?}",
                place.arena
            );
        }
    }
}

/// A pass over one block, in names.
struct Play<'a> {
    graph: &'a Graph,
    plan: &'a MemoryPlan,
    memory: Memory,
    /// For each value the one whose content it has: a copy has that of its original.
    values: Vec<usize>,
    gradients: Vec<usize>,
}

impl Play<'_> {
    fn read(&mut self, v: usize, what: &str) {
        self.memory
            .check(self.plan.value(v), Content::Value(self.values[v]), what);
    }

    fn read_gradient(&mut self, v: usize, what: &str) {
        self.memory
            .check(self.plan.gradient(v), Content::Gradient(self.gradients[v]), what);
    }

    fn write(&mut self, v: usize, content: usize) {
        self.values[v] = content;
        self.memory.write(self.plan.value(v), Content::Value(content));
    }

    fn write_gradient(&mut self, v: usize, content: usize) {
        self.gradients[v] = content;
        self.memory.write(self.plan.gradient(v), Content::Gradient(content));
    }

    fn forward(&mut self, i: usize, training: bool) {
        let execution = self.plan.operands()[i].execution;
        let what = format!("forward operation {i}");
        let (x, y) = ends(&self.graph.ops[i]);
        x.iter().for_each(|&v| self.read(v, &what));
        match &self.graph.ops[i] {
            Op::Layer(_) | Op::Reorder { .. } | Op::Fork { .. } if execution == Execution::Alias => {
                for y in y {
                    self.values[y] = self.values[x[0]];
                    self.read(y, &what);
                }
            }
            Op::Layer(op) => {
                self.write(op.y, op.y);
                if training && op.bound.saved > 0 {
                    let [.., saved] = self.plan.operands()[i].forward.unwrap();
                    self.memory.write(saved, Content::Saved(i));
                }
            }
            Op::Fork { .. } | Op::Reorder { .. } => y.iter().for_each(|&y| self.write(y, self.values[x[0]])),
            Op::Add { y, .. } | Op::Multiply { y, .. } => self.write(*y, *y),
            // The parts of a value together are its content.
            Op::CopyInto { y, start, .. } if *start == 0 => self.write(*y, *y),
            Op::CopyInto { y, .. } => self.read(*y, &what),
        }
    }

    fn backward(&mut self, i: usize) {
        let execution = self.plan.operands()[i].execution;
        let what = format!("backward operation {i}");
        let needed = |v: usize| self.graph.values[v].needs_gradient;
        let (x, y) = ends(&self.graph.ops[i]);
        if !y.iter().all(|&v| needed(v)) {
            return;
        }
        y.iter().for_each(|&v| self.read_gradient(v, &what));
        let wanted: Vec<usize> = x.iter().copied().filter(|&v| needed(v)).collect();
        match &self.graph.ops[i] {
            Op::Layer(_) | Op::Reorder { .. } if execution == Execution::Alias => {
                wanted.iter().for_each(|&x| self.gradients[x] = self.gradients[y[0]]);
            }
            Op::Add { .. } if execution == Execution::Alias => {
                wanted.iter().for_each(|&x| self.gradients[x] = self.gradients[y[0]]);
            }
            Op::Layer(op) => {
                if execution == Execution::OutOfPlace {
                    self.read(op.x, &what);
                }
                if op.run.reads_output() {
                    self.read(op.y, &what);
                }
                if op.bound.saved > 0 {
                    let [.., saved] = self.plan.operands()[i].backward.unwrap();
                    self.memory.check(saved, Content::Saved(i), &what);
                }
                wanted.iter().for_each(|&x| self.write_gradient(x, x));
            }
            Op::Multiply { x, .. } => {
                x.iter().for_each(|&v| self.read(v, &what));
                wanted.iter().for_each(|&x| self.write_gradient(x, x));
            }
            Op::Add { .. } | Op::Reorder { .. } | Op::Fork { .. } | Op::CopyInto { .. } => {
                wanted.iter().for_each(|&x| self.write_gradient(x, x));
            }
        }
        wanted.iter().for_each(|&v| self.read_gradient(v, &what));
        // Its output's gradient is still whole, but where the input's has its place.
        if execution == Execution::OutOfPlace {
            y.iter().for_each(|&v| self.read_gradient(v, &what));
        }
    }

    /// What the update reads when all blocks are done.
    fn after(&mut self) {
        self.read(self.graph.output_value(), "the output");
        for op in self.graph.layers().filter(|op| op.run.whole_batch().is_some()) {
            self.read(op.x, &op.label);
            self.read_gradient(op.y, &op.label);
        }
    }
}

fn play(graph: &Graph, options: MemoryOptions, samples: usize) {
    let plan = MemoryPlan::new(graph, options);
    let names: Vec<usize> = (0..graph.values.len()).collect();
    let mut play = Play {
        graph,
        memory: Memory {
            block: vec![Content::Nothing; plan.block],
            thread: vec![Content::Nothing; plan.thread],
            samples,
        },
        plan: &plan,
        values: names.clone(),
        gradients: names,
    };
    play.write(0, 0);
    let ops = graph.ops.len();
    (0..ops).for_each(|i| play.forward(i, options.training));
    let output = graph.output_value();
    play.read(output, "the output");
    if options.training && graph.values[output].needs_gradient {
        play.write_gradient(output, output);
        (0..ops).rev().for_each(|i| play.backward(i));
        play.after();
    }
}

/// A few layers that fit after samples of this shape, and what they give.
fn row(random: &mut Rng, shape: &Shape, depth: usize) -> (Layers, Shape) {
    let (mut layers, mut shape) = (Layers::new(), shape.clone());
    for _ in 0..random.random_range(0..4) {
        let node = node(random, &shape, depth);
        let one = Layers::new().layer(node);
        if let Ok(network) = Sequential::new(&shape).layers(one.clone()).build(1) {
            shape = network.output_shape().clone();
            layers.nodes.extend(one.nodes);
        }
    }
    (layers, shape)
}

fn node(random: &mut Rng, shape: &Shape, depth: usize) -> Node {
    let same = |channels| Conv2d::new(channels, 3).padding(Padding::Same);
    let branch = |random: &mut Rng| row(random, shape, depth - 1).0;
    match random.random_range(0..if depth > 0 { 17 } else { 12 }) {
        0 => Dense::new(random.random_range(1..5)).into(),
        1 => same(random.random_range(1..4)).into(),
        2 => Relu.into(),
        3 => Tanh.into(),
        4 => Gelu.into(),
        5 => Flatten.into(),
        6 => BatchNorm::new().into(),
        7 => Dropout::new(0.3).into(),
        8 => MaxPool2d::new(2).into(),
        9 => GlobalAvgPool2d.into(),
        10 => Softmax.into(),
        11 => Reshape::new([shape.size(), 1, 1]).into(),
        12 => Residual::new(branch(random)).into(),
        13 => Residual::new(branch(random)).shortcut(branch(random)).into(),
        14 => Concat::new((0..random.random_range(2..4)).map(|_| branch(random))).into(),
        15 => Multiply::new((0..random.random_range(2..4)).map(|_| branch(random))).into(),
        _ => {
            let channels = shape[0];
            let squeezed = match shape.image() {
                Some(_) => Layers::new().layer(GlobalAvgPool2d),
                None => Layers::new(),
            };
            Multiply::gate(squeezed.layer(Dense::new(channels)).layer(Sigmoid)).into()
        }
    }
}

#[test]
fn nothing_is_written_over_before_it_is_read_in_random_networks() {
    let mut random = stream(5, Purpose::Shuffle, &[]);
    let mut tried = [0; 4];
    for _ in 0..1500 {
        let input = match random.random_range(0..2) {
            0 => Shape::from([random.random_range(1..6)]),
            _ => Shape::from([
                random.random_range(1..4),
                random.random_range(1..5),
                random.random_range(1..5),
            ]),
        };
        let (layers, _) = row(&mut random, &input, 3);
        let reference = random.random_range(0..4) == 0;
        let Ok(graph) = Graph::build(input, layers, reference) else {
            continue;
        };
        for op in &graph.ops {
            match op {
                Op::Fork { .. } => tried[0] += 1,
                Op::Add { .. } => tried[1] += 1,
                Op::Multiply { .. } => tried[2] += 1,
                Op::CopyInto { .. } => tried[3] += 1,
                Op::Layer(_) | Op::Reorder { .. } => {}
            }
        }
        for training in [false, true] {
            for interleaved in [false, true] {
                for in_one_go in [false, true] {
                    let options = MemoryOptions {
                        capacity: 2 * Layout::Interleaved.room(1),
                        training,
                        interleaved,
                        in_one_go,
                    };
                    for samples in [1, 3, options.capacity] {
                        play(&graph, options, samples);
                    }
                }
            }
        }
    }
    assert!(tried.iter().all(|&count| count > 100), "too few blocks: {tried:?}");
}
