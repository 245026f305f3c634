//! Parameters that their optimizer updates as whole tensors.

use std::ops::Range;
use std::time::{Duration, Instant};

use gradus_kernels::{Buffer, Partition};

use super::{Rule, Slot, UpdateGroup};
use crate::engine::workers::Workers;
use crate::graph::{Graph, Op};
use crate::optim::advanced::{TensorOptimizer, TensorUpdate, Threads};
use crate::optim::{Clip, MAX_SLOTS, Step};
use crate::{Float, Shape};

/// How a parameter is updated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ParameterRule {
    pub group: usize,
    /// Whether its optimizer updates it as a whole.
    pub whole: bool,
}

/// How each parameter is updated, given its group; those without a group keep their values.
pub(super) fn rules(graph: &Graph, groups: &[UpdateGroup], assigned: &[Option<usize>]) -> Vec<Option<ParameterRule>> {
    let rule = |(named, &group): (crate::graph::Named<'_>, &Option<usize>)| {
        let group = group?;
        let takes = |optimizer: &dyn TensorOptimizer| optimizer.takes(&named.parameter.shape, named.parameter.decays);
        let whole = groups[group].optimizer.whole_tensors().is_some_and(takes);
        Some(ParameterRule { group, whole })
    };
    graph.named_parameters().zip(assigned).map(rule).collect()
}

/// A parameter that is updated as a whole.
#[derive(Debug)]
struct WholeTensor {
    /// The operation whose layer has it.
    op: usize,
    /// Its place in all parameters.
    values: Range<usize>,
    shape: Shape,
    decays: bool,
    group: usize,
    /// How long its updates took, if somebody wants to know.
    spent: Duration,
}

/// All of them, with the memory of their updates.
#[derive(Debug)]
pub(super) struct WholeTensors {
    tensors: Vec<WholeTensor>,
    scratch: Buffer,
    cuts: Partition,
}

/// The values of all parameters, as they are updated.
pub(super) struct Values<'a> {
    pub w: &'a mut [Float],
    pub dw: &'a mut [Float],
    pub slots: &'a mut [Slot],
}

impl WholeTensors {
    /// Those of a network that these rules say are updated as a whole, on at most this many threads.
    pub fn new(graph: &Graph, groups: &[UpdateGroup], rules: &[Option<ParameterRule>], threads: usize) -> Self {
        let mut tensors = Vec::new();
        let mut scratch = 0;
        for (named, rule) in graph.named_parameters().zip(rules) {
            let Some(ParameterRule { group, whole: true }) = *rule else {
                continue;
            };
            let has = |op: &Op| matches!(op, Op::Layer(op) if op.parameters.contains(&named.range.start));
            if let Some(optimizer) = groups[group].optimizer.whole_tensors() {
                scratch = scratch.max(optimizer.scratch(&named.parameter.shape));
            }
            tensors.push(WholeTensor {
                op: graph.ops.iter().position(has).unwrap_or(0),
                values: named.range,
                shape: named.parameter.shape.clone(),
                decays: named.parameter.decays,
                group,
                spent: Duration::ZERO,
            });
        }
        // As many pieces as there ever are.
        let mut cuts = Partition::new(vec![0]);
        if !tensors.is_empty() {
            cuts.space_evenly(threads, 1);
        }
        WholeTensors {
            tensors,
            scratch: Buffer::zeros(scratch),
            cuts,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// For each its operation, and how long its updates took.
    pub fn spent(&self) -> impl Iterator<Item = (usize, Duration)> {
        self.tensors.iter().map(|tensor| (tensor.op, tensor.spent))
    }

    /// Updates them, one after the other, given their gradients, which are clipped first: by the norm that gave this scale, or by value.
    pub fn update(
        &mut self,
        groups: &[UpdateGroup],
        rule: Rule,
        scale: Option<Float>,
        values: Values<'_>,
        workers: &mut Workers,
    ) {
        let Values { w, dw, slots } = values;
        for tensor in &mut self.tensors {
            let group = &groups[tensor.group];
            let Some(optimizer) = group.optimizer.whole_tensors() else {
                continue;
            };
            let started = Instant::now();
            let dw = &mut dw[tensor.values.clone()];
            clip(rule.clip, scale, dw);
            let mut all = slots.iter_mut();
            let mut state: [&mut [Float]; MAX_SLOTS] = std::array::from_fn(|_| {
                all.next()
                    .map_or(&mut [][..], |slot| &mut slot.values[tensor.values.clone()])
            });
            optimizer.update(TensorUpdate {
                step: Step::new(rule.number, group.rate, tensor.decays),
                shape: &tensor.shape,
                w: &mut w[tensor.values.clone()],
                dw,
                state: &mut state[..group.optimizer.slots()],
                scratch: &mut self.scratch[..optimizer.scratch(&tensor.shape)],
                threads: Threads::new(workers, &mut self.cuts),
            });
            tensor.spent += started.elapsed();
        }
    }
}

/// Clips the gradient of a tensor.
fn clip(clip: Option<Clip>, scale: Option<Float>, dw: &mut [Float]) {
    match (clip, scale) {
        (_, Some(scale)) if scale < 1.0 => dw.iter_mut().for_each(|g| *g *= scale),
        (Some(clip), None) => clip.clamp(dw),
        _ => {}
    }
}
