//! candle on its CPU backend.

use anyhow::{Result, ensure};
use bench_protocol::{Args, CHECKED_STEPS, Report, Weights, epochs, steps};
use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor, Var};
use candle_nn::{AdamW, BatchNorm, Optimizer, ParamsAdamW, loss};

const CPU: Device = Device::Cpu;

/// The weights of a layer as variables.
struct Layer {
    weight: Var,
    bias: Option<Var>,
    norm: Option<BatchNorm>,
}

impl Layer {
    fn new(weights: &Weights) -> Result<Self> {
        let weight = Var::from_vec(weights.weight.clone(), weights.shape.as_slice(), &CPU)?;
        let bias = (weights.bias.as_ref())
            .map(|b| Var::from_slice(b, b.len(), &CPU))
            .transpose()?;
        let norm = match &bias {
            Some(bias) if weights.shape.len() == 1 => {
                let (n, zeros) = (weights.shape[0], weight.zeros_like()?);
                let (gamma, beta) = (weight.as_tensor().clone(), bias.as_tensor().clone());
                Some(BatchNorm::new(n, zeros.clone(), zeros.ones_like()?, gamma, beta, 1e-5)?)
            }
            _ => None,
        };
        Ok(Layer { weight, bias, norm })
    }

    fn dense(&self, x: &Tensor) -> Result<Tensor> {
        let y = x.matmul(&self.weight.t()?)?;
        Ok(match &self.bias {
            Some(bias) => y.broadcast_add(bias)?,
            None => y,
        })
    }

    fn convolution(&self, x: &Tensor, stride: usize, padding: usize) -> Result<Tensor> {
        let y = x.conv2d(&self.weight, padding, stride, 1, 1)?;
        Ok(match &self.bias {
            Some(bias) => y.broadcast_add(&bias.reshape((1, (), 1, 1))?)?,
            None => y,
        })
    }

    fn norm(&self, x: &Tensor) -> Result<Tensor> {
        match &self.norm {
            Some(norm) => Ok(norm.forward_train(x)?),
            None => Ok(x.clone()),
        }
    }
}

fn forward(network: &str, layers: &[Layer], x: &Tensor) -> Result<Tensor> {
    let mut at = 0;
    let mut next = || {
        at += 1;
        &layers[at - 1]
    };
    let mut x = x.clone();
    match network {
        "resnet8" => {
            x = next().convolution(&x, 1, 1)?;
            x = next().norm(&x)?.relu()?;
            for stride in [1, 2, 2] {
                let y = next().convolution(&x, stride, 1)?;
                let y = next().norm(&y)?.relu()?;
                let y = next().convolution(&y, 1, 1)?;
                let y = next().norm(&y)?;
                let shortcut = if stride == 1 {
                    x
                } else {
                    next().convolution(&x, stride, 0)?
                };
                x = (y + shortcut)?.relu()?;
            }
            return next().dense(&x.mean((2, 3))?);
        }
        "cnn" | "lenet" => {
            for _ in 0..if network == "cnn" { 1 } else { 2 } {
                x = next().convolution(&x, 1, 0)?.relu()?.max_pool2d(2)?;
            }
            x = x.flatten_from(1)?;
        }
        _ => {}
    }
    let dense = layers.iter().filter(|layer| layer.weight.rank() == 2).count();
    for i in 1..=dense {
        x = next().dense(&x)?;
        if i < dense {
            x = if network == "small" { x.tanh()? } else { x.relu()? };
        }
    }
    Ok(x)
}

/// SGD, with momentum, which candle's own doesn't have.
struct Sgd {
    variables: Vec<Var>,
    rate: f64,
    velocities: Option<Vec<Tensor>>,
}

impl Sgd {
    fn step(&mut self, gradients: &GradStore) -> Result<()> {
        for (i, variable) in self.variables.iter().enumerate() {
            let Some(gradient) = gradients.get(variable) else {
                continue;
            };
            let change = match &mut self.velocities {
                None => gradient.clone(),
                Some(velocities) => {
                    velocities[i] = ((&velocities[i] * 0.9)? + gradient)?;
                    velocities[i].clone()
                }
            };
            variable.set(&(variable.as_tensor() - (change * self.rate)?)?)?;
        }
        Ok(())
    }
}

enum Rule {
    Adam(AdamW),
    Sgd(Sgd),
}

fn rule(network: &str, rate: f64, layers: &[Layer]) -> Result<Rule> {
    let variables: Vec<Var> = (layers.iter())
        .flat_map(|layer| std::iter::once(layer.weight.clone()).chain(layer.bias.clone()))
        .collect();
    if network == "lenet" {
        let settings = ParamsAdamW {
            lr: rate,
            weight_decay: 0.0,
            ..ParamsAdamW::default()
        };
        return Ok(Rule::Adam(AdamW::new(variables, settings)?));
    }
    let zeros = || variables.iter().map(|v| v.zeros_like()).collect();
    let velocities = (network == "resnet8").then(zeros).transpose()?;
    Ok(Rule::Sgd(Sgd {
        variables,
        rate,
        velocities,
    }))
}

fn main() -> Result<()> {
    let args = Args::parse()?;
    let work = args.work()?;
    ensure!(!work.is_prediction(), "only training is measured");
    let samples = args.samples(work.set)?;
    let weights = args.layers()?;
    let labels: Vec<u32> = samples.labels.iter().map(|&class| class.into()).collect();
    let all = [&[samples.len()], work.shape()].concat();
    let x = Tensor::from_vec(samples.floats(), all, &CPU)?;
    let y = Tensor::from_vec(labels, samples.len(), &CPU)?;
    let fresh = || -> Result<_> {
        let layers = weights.iter().map(Layer::new).collect::<Result<Vec<_>>>()?;
        let rule = rule(work.network, work.rate(), &layers)?;
        Ok((layers, rule))
    };
    let step = |layers: &[Layer], rule: &mut Rule, x: &Tensor, y: &Tensor| -> Result<Tensor> {
        let loss = loss::cross_entropy(&forward(work.network, layers, x)?, y)?;
        let gradients = loss.backward()?;
        match rule {
            Rule::Adam(rule) => rule.step(&gradients)?,
            Rule::Sgd(rule) => rule.step(&gradients)?,
        }
        Ok(loss)
    };
    let batch = |indices: &[usize]| -> Result<_> {
        let indices: Vec<u32> = indices.iter().map(|&i| i as u32).collect();
        let indices = Tensor::from_slice(&indices, indices.len(), &CPU)?;
        Ok((x.index_select(&indices, 0)?, y.index_select(&indices, 0)?))
    };

    let mut report = Report::new(&args, "candle", "0.11.1");
    let (layers, mut rule) = fresh()?;
    let mut losses = Vec::new();
    for i in 0..CHECKED_STEPS {
        let (x, y) = batch(&samples.checked(i, work.batch))?;
        losses.push(f64::from(step(&layers, &mut rule, &x, &y)?.to_scalar::<f32>()?));
    }
    report.set("losses", losses);
    let (layers, mut rule) = fresh()?;
    let times = if work.is_small() {
        let (x, y) = batch(&samples.checked(0, work.batch))?;
        steps(&args, || step(&layers, &mut rule, &x, &y).map(drop))?
    } else {
        epochs(&args, samples.len(), work.batch, |indices| {
            let (x, y) = batch(indices)?;
            step(&layers, &mut rule, &x, &y).map(drop)
        })?
    };
    report.set("times", times);
    report.print()
}
