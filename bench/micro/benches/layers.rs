//! Layers by themselves, forward and backward, on a block of 16 samples in training: side by side where the layer can.
//! Backward is with the gradient of the input and, for a layer that has any, of the parameters; what a layer computes across the
//! batch is within.

use bench_micro::{bench, criterion, numbers};
use criterion::{Criterion, criterion_group, criterion_main};
use gradus::layer::{
    Backward, BatchGradient, BlockGradient, BlockOf, Forward, GradientScope, LayerRandom, Layout, Layouts, Plan,
    Tensors, TensorsMut,
};
use gradus::prelude::*;
use gradus::{Layer, Shape};

const SAMPLES: usize = 16;

/// A layer and all memory of its passes.
struct Rig {
    layer: Box<dyn Layer>,
    plan: Plan,
    layout: Layout,
    input: Shape,
    sizes: Vec<usize>,
    state_sizes: Vec<usize>,
    x: Vec<f32>,
    y: Vec<f32>,
    dx: Vec<f32>,
    dy: Vec<f32>,
    parameters: Vec<f32>,
    gradients: Vec<f32>,
    state: Vec<f32>,
    statistics: Vec<f32>,
    backward_statistics: Vec<f32>,
    saved: Vec<f32>,
    scratch: Vec<f32>,
}

impl Rig {
    fn new(layer: Box<dyn Layer>, input: Shape) -> Self {
        let plan = layer.plan(&input).expect("the layer takes this shape");
        let layout = match plan.layouts {
            Layouts::SampleMajor => Layout::SampleMajor,
            _ => Layout::Interleaved,
        };
        let sizes: Vec<usize> = plan.parameters.iter().map(|p| p.shape.size()).collect();
        let state_sizes: Vec<usize> = plan.state.iter().map(|s| s.shape.size()).collect();
        let across = layer.across_batch();
        let statistics = |count: Option<usize>| vec![0.0; count.unwrap_or(0)];
        let mut rig = Rig {
            x: numbers(SAMPLES * input.size()),
            y: numbers(SAMPLES * plan.output.size()),
            dx: numbers(SAMPLES * input.size()),
            dy: numbers(SAMPLES * plan.output.size()),
            parameters: numbers(sizes.iter().sum()),
            gradients: numbers(sizes.iter().sum()),
            state: numbers(state_sizes.iter().sum()),
            statistics: statistics(across.map(|a| a.statistics(&input))),
            backward_statistics: statistics(across.map(|a| a.backward_statistics(&input))),
            saved: vec![0.0; SAMPLES * plan.saved],
            scratch: vec![0.0; plan.scratch + SAMPLES * plan.scratch_per_sample],
            layer,
            plan,
            layout,
            input,
            sizes,
            state_sizes,
        };
        // Backward is measured after a forward pass.
        rig.forward();
        rig
    }

    fn forward(&mut self) {
        if let Some(across) = self.layer.across_batch() {
            let block = BlockOf {
                input: &self.input,
                samples: SAMPLES,
                layout: self.layout,
            };
            across.gather(block, &self.x, &mut self.statistics);
        }
        self.layer.forward(Forward {
            training: true,
            samples: SAMPLES,
            layout: self.layout,
            input: &self.input,
            output: &self.plan.output,
            x: &self.x,
            y: &mut self.y,
            parameters: Tensors::new(&self.parameters, &self.sizes),
            state: Tensors::new(&self.state, &self.state_sizes),
            statistics: &self.statistics,
            saved: &mut self.saved,
            scratch: &mut self.scratch,
            random: LayerRandom {
                seed: 1,
                step: 0,
                layer: 0,
                first_sample: 0,
            },
        });
    }

    fn backward(&mut self) {
        if let Some(across) = self.layer.across_batch() {
            let block = BlockOf {
                input: &self.input,
                samples: SAMPLES,
                layout: self.layout,
            };
            let sums = &mut self.backward_statistics;
            across.gather_backward(block, &self.x, &self.dy, &self.statistics, sums);
        }
        self.layer.backward(Backward {
            samples: SAMPLES,
            layout: self.layout,
            input: &self.input,
            output: &self.plan.output,
            x: &self.x,
            y: &self.y,
            dy: &self.dy,
            dx: Some(&mut self.dx),
            parameters: Tensors::new(&self.parameters, &self.sizes),
            gradients: TensorsMut::new(&mut self.gradients, &self.sizes),
            statistics: &self.statistics,
            backward_statistics: &self.backward_statistics,
            block_statistics: &self.backward_statistics,
            batch: SAMPLES,
            saved: &self.saved,
            scratch: &mut self.scratch,
        });
        if self.plan.gradient == GradientScope::WholeBatch {
            self.batch_gradients();
        }
    }

    fn batch_gradients(&mut self) {
        let mut gradients = TensorsMut::new(&mut self.gradients, &self.sizes);
        for (parameter, planned) in self.plan.parameters.iter().enumerate() {
            let block = BlockGradient {
                samples: SAMPLES,
                x: &self.x,
                dy: &self.dy,
                pairs: &[],
            };
            self.layer.batch_gradient(BatchGradient {
                parameter,
                rows: 0..planned.shape[0],
                gradient: gradients.get(parameter),
                blocks: &mut std::iter::once(block),
                input: &self.input,
                output: &self.plan.output,
                scratch: &mut self.scratch,
            });
        }
    }
}

fn passes(criterion: &mut Criterion) {
    type Make = fn() -> Box<dyn Layer>;
    let image = || Shape::from([16, 16, 16]);
    let layers: [(&str, Shape, Make); 9] = [
        ("dense 784-256", Shape::from(784), || Box::new(Dense::new(256))),
        ("conv2d 16x16x16-16, 3x3", image(), || {
            Box::new(Conv2d::new(16, 3).padding(Padding::Same))
        }),
        ("max_pool2d 16x16x16, 2x2", image(), || Box::new(MaxPool2d::new(2))),
        ("avg_pool2d 16x16x16, 2x2", image(), || Box::new(AvgPool2d::new(2))),
        ("batch_norm 16x16x16", image(), || Box::new(BatchNorm::new())),
        ("relu 16x16x16", image(), || Box::new(Relu)),
        ("tanh 16x16x16", image(), || Box::new(Tanh)),
        ("dropout 16x16x16", image(), || Box::new(Dropout::new(0.5))),
        ("softmax 10", Shape::from(10), || Box::new(Softmax)),
    ];
    for (name, input, make) in layers {
        bench(criterion, "layer forward", name, || {
            let mut rig = Rig::new(make(), input.clone());
            move || rig.forward()
        });
        bench(criterion, "layer backward", name, || {
            let mut rig = Rig::new(make(), input.clone());
            move || rig.backward()
        });
    }
}

criterion_group! { name = benches; config = criterion(); targets = passes }
criterion_main!(benches);
