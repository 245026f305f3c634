//! One layer run by itself: its plan, memory that holds NaN wherever it has to be written first, forward and backward.

use gradus::layer::{
    Backward, BatchGradient, BlockGradient, BlockOf, Forward, GradientScope, Layer, LayerRandom, Layout, Plan, Tensors,
    TensorsMut,
};
use gradus::{Float, Shape};

/// What a layer is run on.
pub struct Given<'a> {
    /// The shape of one sample.
    pub input: Shape,
    /// The number of samples.
    pub samples: usize,
    /// Whether this is training; else only `y` is computed.
    pub training: bool,
    pub x: &'a [Float],
    pub dy: &'a [Float],
    /// The parameters in the layer's own layout, one after the other.
    pub parameters: &'a [Float],
    /// The state, one tensor after the other.
    pub state: &'a [Float],
}

/// What came out. Empty where inference leaves nothing.
#[derive(PartialEq)]
pub struct Result {
    pub y: Vec<Float>,
    pub dx: Vec<Float>,
    pub gradients: Vec<Float>,
    pub state: Vec<Float>,
}

/// The memory of one block of samples.
struct Block {
    first: usize,
    samples: usize,
    saved: Vec<Float>,
    statistics: Vec<Float>,
}

/// Memory that nobody has written yet.
fn unwritten(size: usize) -> Vec<Float> {
    vec![Float::NAN; size]
}

/// Runs `layer` over the samples in blocks of `block`.
pub fn run(layer: &dyn Layer, given: &Given<'_>, block: usize) -> Result {
    let plan = layer.plan(&given.input).expect("the layer takes this shape");
    let (input, output) = (&given.input, &plan.output);
    let (n, m) = (input.size(), output.size());
    let sizes: Vec<usize> = plan.parameters.iter().map(|p| p.shape.size()).collect();
    let state_sizes: Vec<usize> = plan.state.iter().map(|s| s.shape.size()).collect();
    let mut state = given.state.to_vec();
    let mut blocks: Vec<Block> = (0..given.samples)
        .step_by(block)
        .map(|first| {
            let samples = block.min(given.samples - first);
            let saved = unwritten(if given.training { samples * plan.saved } else { 0 });
            Block {
                first,
                samples,
                saved,
                statistics: Vec::new(),
            }
        })
        .collect();

    // Forward.
    let mut y = unwritten(given.samples * m);
    let statistics = if given.training {
        gather(layer, given, &mut blocks)
    } else {
        Vec::new()
    };
    for Block {
        first, samples, saved, ..
    } in &mut blocks
    {
        layer.forward(Forward {
            training: given.training,
            samples: *samples,
            layout: Layout::SampleMajor,
            input,
            output,
            x: &given.x[*first * n..][..*samples * n],
            y: &mut y[*first * m..][..*samples * m],
            parameters: Tensors::new(given.parameters, &sizes),
            state: Tensors::new(given.state, &state_sizes),
            statistics: &statistics,
            saved,
            scratch: &mut scratch(&plan, *samples),
            random: LayerRandom {
                seed: 1,
                step: 0,
                layer: 0,
                first_sample: *first as u64,
            },
        });
    }
    if !given.training {
        return Result {
            y,
            dx: Vec::new(),
            gradients: Vec::new(),
            state,
        };
    }
    if let Some(across) = layer.across_batch() {
        across.update_state(
            input,
            &statistics,
            given.samples,
            TensorsMut::new(&mut state, &state_sizes),
        );
    }

    // Backward.
    let mut dx = unwritten(given.samples * n);
    let mut gradients = vec![0.0; sizes.iter().sum()];
    let sums = gather_backward(layer, given, &mut blocks, &statistics, m);
    for Block {
        first,
        samples,
        saved,
        statistics: own,
    } in &blocks
    {
        layer.backward(Backward {
            samples: *samples,
            layout: Layout::SampleMajor,
            input,
            output,
            x: &given.x[*first * n..][..*samples * n],
            y: &y[*first * m..][..*samples * m],
            dy: &given.dy[*first * m..][..*samples * m],
            dx: Some(&mut dx[*first * n..][..*samples * n]),
            parameters: Tensors::new(given.parameters, &sizes),
            gradients: TensorsMut::new(&mut gradients, &sizes),
            statistics: &statistics,
            backward_statistics: &sums,
            block_statistics: own,
            batch: given.samples,
            saved,
            scratch: &mut scratch(&plan, *samples),
        });
    }
    if plan.gradient == GradientScope::WholeBatch {
        batch_gradients(layer, given, &plan, &blocks, &sizes, &mut gradients);
    }
    Result {
        y,
        dx,
        gradients,
        state,
    }
}

/// Scratch memory for a block.
fn scratch(plan: &Plan, samples: usize) -> Vec<Float> {
    unwritten(plan.scratch + samples * plan.scratch_per_sample)
}

/// The statistics over the batch, for a layer that has any.
fn gather(layer: &dyn Layer, given: &Given<'_>, blocks: &mut [Block]) -> Vec<Float> {
    let Some(across) = layer.across_batch() else {
        return Vec::new();
    };
    let (input, n) = (&given.input, given.input.size());
    let mut total = Vec::new();
    for (i, Block { first, samples, .. }) in blocks.iter().enumerate() {
        let mut part = unwritten(across.statistics(input));
        across.gather(
            block_of(input, *samples),
            &given.x[first * n..][..samples * n],
            &mut part,
        );
        if i == 0 {
            total = part;
        } else {
            across.merge(input, &mut total, *first, &part, *samples);
        }
    }
    total
}

fn block_of(input: &Shape, samples: usize) -> BlockOf<'_> {
    BlockOf {
        input,
        samples,
        layout: Layout::SampleMajor,
    }
}

/// The sums over the batch that the backward pass of such a layer needs; each block keeps its own part.
fn gather_backward(
    layer: &dyn Layer,
    given: &Given<'_>,
    blocks: &mut [Block],
    statistics: &[Float],
    m: usize,
) -> Vec<Float> {
    let Some(across) = layer.across_batch() else {
        return Vec::new();
    };
    let (input, n) = (&given.input, given.input.size());
    let mut total = vec![0.0; across.backward_statistics(input)];
    for block in blocks {
        let (first, samples) = (block.first, block.samples);
        let mut sums = unwritten(total.len());
        let x = &given.x[first * n..][..samples * n];
        let dy = &given.dy[first * m..][..samples * m];
        across.gather_backward(block_of(input, samples), x, dy, statistics, &mut sums);
        total.iter_mut().zip(&sums).for_each(|(total, sum)| *total += sum);
        block.statistics = sums;
    }
    total
}

/// The gradients of a layer that computes them over the whole batch: each parameter in two ranges of rows.
fn batch_gradients(
    layer: &dyn Layer,
    given: &Given<'_>,
    plan: &Plan,
    blocks: &[Block],
    sizes: &[usize],
    gradients: &mut [Float],
) {
    let (input, output) = (&given.input, &plan.output);
    let (n, m) = (input.size(), output.size());
    let mut gradients = TensorsMut::new(gradients, sizes);
    for (parameter, planned) in plan.parameters.iter().enumerate() {
        let gradient = gradients.get(parameter);
        let rows = planned.shape[0];
        let width = gradient.len() / rows;
        for rows in [0..rows / 2, rows / 2..rows]
            .into_iter()
            .filter(|rows| !rows.is_empty())
        {
            let mut parts = blocks.iter().map(|&Block { first, samples, .. }| BlockGradient {
                samples,
                x: &given.x[first * n..][..samples * n],
                dy: &given.dy[first * m..][..samples * m],
                pairs: &[],
            });
            layer.batch_gradient(BatchGradient {
                parameter,
                gradient: &mut gradient[rows.start * width..rows.end * width],
                rows,
                blocks: &mut parts,
                input,
                output,
                scratch: &mut scratch(plan, blocks[0].samples),
            });
        }
    }
}
