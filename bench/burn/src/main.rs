//! burn on its pure Rust CPU backend, flex.

use anyhow::{Result, ensure};
use bench_protocol::{Args, CHECKED_STEPS, Report, Weights, Work, epochs, steps};
use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::loss::{CrossEntropyLoss, CrossEntropyLossConfig};
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::optim::momentum::MomentumConfig;
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer, SgdConfig};
use burn::tensor::activation::{relu, tanh};
use burn::tensor::{Device, Int, Tensor, TensorData};

/// The layers of any of the networks.
#[derive(Module, Debug)]
struct Network {
    convolutions: Vec<Conv2d>,
    norms: Vec<BatchNorm>,
    dense: Vec<Linear>,
    pool: MaxPool2d,
}

impl Network {
    fn new(name: &str, layers: &[Weights], device: &Device) -> Self {
        let mut network = Network {
            convolutions: Vec::new(),
            norms: Vec::new(),
            dense: Vec::new(),
            pool: MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
        };
        for Weights { shape, weight, bias } in layers {
            let weight = TensorData::new(weight.clone(), shape.clone());
            let bias = || {
                bias.clone()
                    .map(|b| Param::from_data(TensorData::new(b, [shape[0]]), device))
            };
            match *shape.as_slice() {
                // Fresh norms are what the file has.
                [features] => network.norms.push(BatchNormConfig::new(features).init(device)),
                [units, inputs] => {
                    let mut dense = LinearConfig::new(inputs, units).init(device);
                    let weight = Tensor::<2>::from_data(weight, device).transpose().to_data();
                    dense.weight = Param::from_data(weight, device);
                    dense.bias = bias();
                    network.dense.push(dense);
                }
                _ => {
                    let kernel = shape[2];
                    let padded = name == "resnet8" && kernel == 3;
                    let padding = if padded {
                        PaddingConfig2d::Explicit(1, 1, 1, 1)
                    } else {
                        PaddingConfig2d::Valid
                    };
                    // In a residual network the layers that double the channels have a stride.
                    let stride = if name == "resnet8" && shape[0] == 2 * shape[1] {
                        2
                    } else {
                        1
                    };
                    let mut convolution = Conv2dConfig::new([shape[1], shape[0]], [kernel, kernel])
                        .with_stride([stride, stride])
                        .with_padding(padding)
                        .init(device);
                    convolution.weight = Param::from_data(weight, device);
                    convolution.bias = bias();
                    network.convolutions.push(convolution);
                }
            }
        }
        network
    }

    fn residual(&self, x: Tensor<4>) -> Tensor<2> {
        let (mut convolutions, mut norms) = (self.convolutions.iter(), self.norms.iter());
        let mut convolution = |x: Tensor<4>| match convolutions.next() {
            Some(layer) => layer.forward(x),
            None => x,
        };
        let mut norm = |x: Tensor<4>| match norms.next() {
            Some(layer) => layer.forward(x),
            None => x,
        };
        let mut x = relu(norm(convolution(x)));
        for block in 0..3 {
            let y = relu(norm(convolution(x.clone())));
            let y = norm(convolution(y));
            let shortcut = if block == 0 { x } else { convolution(x) };
            x = relu(y + shortcut);
        }
        x.mean_dim(3).mean_dim(2).flatten(1, 3)
    }

    fn dense(&self, mut x: Tensor<2>, small: bool) -> Tensor<2> {
        for (i, layer) in self.dense.iter().enumerate() {
            x = layer.forward(x);
            if i + 1 < self.dense.len() {
                x = if small { tanh(x) } else { relu(x) };
            }
        }
        x
    }

    /// Samples are samples × values.
    fn forward(&self, work: Work, x: Tensor<2>) -> Tensor<2> {
        let n = x.dims()[0];
        let x = match *work.shape() {
            [channels, height, width] => {
                let mut x = x.reshape([n, channels, height, width]);
                if work.network == "resnet8" {
                    self.residual(x)
                } else {
                    for layer in &self.convolutions {
                        x = self.pool.forward(relu(layer.forward(x)));
                    }
                    x.flatten(1, 3)
                }
            }
            _ => x,
        };
        self.dense(x, work.is_small())
    }
}

/// A network being trained.
struct Training {
    work: Work,
    network: Option<Network>,
    optimizer: ModuleOptimizer,
    loss: CrossEntropyLoss,
}

impl Training {
    fn new(work: Work, layers: &[Weights], device: &Device) -> Self {
        let optimizer = match work.network {
            "lenet" => AdamConfig::new().with_epsilon(1e-8).init(),
            "resnet8" => SgdConfig::new()
                .with_momentum(Some(MomentumConfig::new().with_momentum(0.9).with_dampening(0.0)))
                .init(),
            _ => SgdConfig::new().init(),
        };
        Training {
            work,
            network: Some(Network::new(work.network, layers, device)),
            optimizer,
            loss: CrossEntropyLossConfig::new().init(device),
        }
    }

    fn step(&mut self, x: Tensor<2>, y: Tensor<1, Int>) -> Tensor<1> {
        let network = self.network.take().expect("put back after every step");
        let loss = self.loss.forward(network.forward(self.work, x), y);
        let gradients = GradientsParams::from_grads(loss.backward(), &network);
        self.network = Some(self.optimizer.step(self.work.rate(), network, gradients));
        loss
    }
}

fn main() -> Result<()> {
    let args = Args::parse()?;
    let work = args.work()?;
    ensure!(!work.is_prediction(), "only training is measured");
    let device = Device::flex().autodiff();
    let plain = Device::flex();
    let samples = args.samples(work.set)?;
    let layers = args.layers()?;
    let labels: Vec<i32> = samples.labels.iter().map(|&class| class.into()).collect();
    let x = Tensor::<2>::from_data(TensorData::new(samples.floats(), [samples.len(), samples.size]), &plain);
    let y = Tensor::<1, Int>::from_data(TensorData::new(labels, [samples.len()]), &plain);
    let batch = |indices: &[usize]| {
        let indices: Vec<i32> = indices.iter().map(|&i| i as i32).collect();
        let count = indices.len();
        let indices = Tensor::<1, Int>::from_data(TensorData::new(indices, [count]), &plain);
        (
            x.clone().select(0, indices.clone()).autodiff(),
            y.clone().select(0, indices).autodiff(),
        )
    };

    let mut report = Report::new(&args, "burn", "0.22.1");
    let mut training = Training::new(work, &layers, &device);
    let losses: Vec<f64> = (0..CHECKED_STEPS)
        .map(|i| {
            let (x, y) = batch(&samples.checked(i, work.batch));
            f64::from(training.step(x, y).into_scalar::<f32>())
        })
        .collect();
    report.set("losses", losses);
    let mut training = Training::new(work, &layers, &device);
    let times = if work.is_small() {
        let (x, y) = batch(&samples.checked(0, work.batch));
        steps(&args, || {
            training.step(x.clone(), y.clone());
            Ok(())
        })?
    } else {
        epochs(&args, samples.len(), work.batch, |indices| {
            let (x, y) = batch(indices);
            training.step(x, y);
            Ok(())
        })?
    };
    report.set("times", times);
    report.print()
}
