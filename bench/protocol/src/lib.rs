//! What the measured Rust programs share: arguments, data, clocks, the report. `peers/common.py` is the same in Python.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

/// How many steps are checked.
pub const CHECKED_STEPS: usize = 20;
/// How many test images are predicted in the check.
pub const CHECKED_IMAGES: usize = 10;
/// How many images a throughput is measured with.
pub const MANY: usize = 10_000;

/// `WORK --variant V --data DIR --threads N --epochs N --limit SECONDS`
pub struct Args {
    pub work: String,
    pub variant: String,
    pub data: PathBuf,
    pub threads: usize,
    pub epochs: usize,
    /// Seconds after which an epoch is cut short.
    pub limit: f64,
}

impl Args {
    pub fn parse() -> Result<Self> {
        let mut words = std::env::args().skip(1);
        let mut args = Args {
            work: words.next().context("which work?")?,
            variant: String::new(),
            data: PathBuf::new(),
            threads: 2,
            epochs: 3,
            limit: 20.0,
        };
        while let Some(option) = words.next() {
            let value = words.next().with_context(|| format!("{option} needs a value"))?;
            match option.as_str() {
                "--variant" => args.variant = value,
                "--data" => args.data = value.into(),
                "--threads" => args.threads = value.parse()?,
                "--epochs" => args.epochs = value.parse()?,
                "--limit" => args.limit = value.parse()?,
                _ => bail!("there is no option {option}"),
            }
        }
        Ok(args)
    }

    /// The network of the work, its batch and its data set.
    pub fn work(&self) -> Result<Work> {
        let (network, batch, set) = match self.work.as_str() {
            "mlp" => ("mlp", 100, "train"),
            "cnn" => ("cnn", 128, "train"),
            "lenet" => ("lenet", 128, "train"),
            "lenet2048" => ("lenet", 2048, "train"),
            "resnet8" => ("resnet8", 128, "noise"),
            "small1" => ("small", 1, "small"),
            "small32" => ("small", 32, "small"),
            "one-mlp" => ("mlp", 1, "test"),
            "one-lenet" => ("lenet", 1, "test"),
            "many-mlp" => ("mlp", MANY, "test"),
            "many-lenet" => ("lenet", MANY, "test"),
            other => bail!("there is no work {other}"),
        };
        Ok(Work { network, batch, set })
    }

    /// The samples of a set, their classes, and the order of the checked steps.
    pub fn samples(&self, set: &str) -> Result<Samples> {
        let file = |part: &str| {
            let path = self.data.join(format!("{set}-{part}.bin"));
            std::fs::read(&path).with_context(|| format!("reading {}", path.display()))
        };
        let labels = file("y")?;
        let pixels = file("x")?;
        let order = file("order")?;
        let order = order.as_chunks().0.iter().map(|&i| u32::from_le_bytes(i) as usize);
        Ok(Samples {
            size: pixels.len() / labels.len(),
            order: order.collect(),
            pixels,
            labels,
        })
    }

    /// The weights of the network, layer by layer, in PyTorch's layouts; a block's body comes before its shortcut.
    pub fn layers(&self) -> Result<Vec<Weights>> {
        let bytes = std::fs::read(self.file("safetensors")?)?;
        let (length, rest) = bytes.split_first_chunk().context("no header")?;
        let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
        let header: Map<String, Value> = serde_json::from_slice(header)?;
        let values = |name: &str| -> Result<Vec<f32>> {
            let [start, end]: [usize; 2] = serde_json::from_value(header[name]["data_offsets"].clone())?;
            Ok(data[start..end]
                .as_chunks()
                .0
                .iter()
                .map(|&v| f32::from_le_bytes(v))
                .collect())
        };
        let mut paths: Vec<&str> = header.keys().filter_map(|name| name.strip_suffix(".weight")).collect();
        paths.sort_by_key(|path| {
            let (number, rest) = path.split_once('.').unwrap_or((path, ""));
            (number.parse::<u32>().unwrap_or(0), rest)
        });
        let layer = |path: &str| {
            let (weight, bias) = (format!("{path}.weight"), format!("{path}.bias"));
            Ok(Weights {
                shape: serde_json::from_value(header[&weight]["shape"].clone())?,
                weight: values(&weight)?,
                bias: header.contains_key(&bias).then(|| values(&bias)).transpose()?,
            })
        };
        paths.into_iter().map(layer).collect()
    }

    /// The file of the work's network with this extension.
    pub fn file(&self, extension: &str) -> Result<PathBuf> {
        Ok(self.data.join(format!("{}.{extension}", self.work()?.network)))
    }
}

/// The weights of a layer; what has one axis is a norm's, two a dense layer's, four a convolution's.
pub struct Weights {
    pub shape: Vec<usize>,
    pub weight: Vec<f32>,
    pub bias: Option<Vec<f32>>,
}

/// What is to be done.
#[derive(Clone, Copy)]
pub struct Work {
    pub network: &'static str,
    pub batch: usize,
    pub set: &'static str,
}

impl Work {
    /// The learning rate.
    pub fn rate(self) -> f64 {
        match self.network {
            "lenet" => 0.001,
            "resnet8" => 0.01,
            _ => 0.1,
        }
    }

    /// The shape of a sample.
    pub fn shape(self) -> &'static [usize] {
        match self.network {
            "mlp" => &[784],
            "small" => &[4],
            "resnet8" => &[3, 32, 32],
            _ => &[1, 28, 28],
        }
    }

    /// Whether steps are measured, one by one so short that epochs make no sense.
    pub fn is_small(self) -> bool {
        self.network == "small"
    }

    /// Whether predictions are measured.
    pub fn is_prediction(self) -> bool {
        self.set == "test"
    }
}

/// A data set as bytes, to be divided by 255.
pub struct Samples {
    pub pixels: Vec<u8>,
    pub labels: Vec<u8>,
    /// The values of one sample.
    pub size: usize,
    pub order: Vec<usize>,
}

impl Samples {
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// All values, from 0 to 1.
    pub fn floats(&self) -> Vec<f32> {
        self.pixels.iter().map(|&v| f32::from(v) / 255.0).collect()
    }

    /// The samples of checked step `step`.
    pub fn checked(&self, step: usize, batch: usize) -> Vec<usize> {
        (0..batch)
            .map(|i| self.order[(step * batch + i) % self.len()])
            .collect()
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
pub struct Random(pub u64);

impl Random {
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A new order (Fisher and Yates).
    pub fn shuffle(&mut self, order: &mut [usize]) {
        for i in (1..order.len()).rev() {
            order.swap(i, (self.draw() % (i as u64 + 1)) as usize);
        }
    }
}

/// Seconds of each epoch, after one that doesn't count. An epoch longer than the limit is cut short and its time scaled up.
pub fn epochs(
    args: &Args,
    samples: usize,
    batch: usize,
    mut step: impl FnMut(&[usize]) -> Result<()>,
) -> Result<Vec<f64>> {
    let mut order: Vec<usize> = (0..samples).collect();
    let mut random = Random(1);
    let mut times = Vec::new();
    for epoch in 0..=args.epochs {
        let limit = if epoch == 0 { args.limit / 4.0 } else { args.limit };
        let start = Instant::now();
        random.shuffle(&mut order);
        let mut done = 0;
        for indices in order.chunks(batch) {
            step(indices)?;
            done += indices.len();
            if start.elapsed().as_secs_f64() > limit {
                break;
            }
        }
        if epoch > 0 {
            times.push(start.elapsed().as_secs_f64() * samples as f64 / done as f64);
        }
        if times.iter().sum::<f64>() > args.limit {
            break;
        }
    }
    Ok(times)
}

/// Seconds of a step, as often as there are epochs: each the mean over half a second.
pub fn steps(args: &Args, mut step: impl FnMut() -> Result<()>) -> Result<Vec<f64>> {
    let mut times = Vec::new();
    for round in 0..=args.epochs {
        let start = Instant::now();
        let mut count = 0;
        while start.elapsed().as_secs_f64() < 0.5 {
            for _ in 0..100 {
                step()?;
            }
            count += 100;
        }
        if round > 0 {
            times.push(start.elapsed().as_secs_f64() / f64::from(count));
        }
    }
    Ok(times)
}

/// Predicts images one by one for a second and a half, a third of it not counted: the seconds of each, sorted.
pub fn calls(mut call: impl FnMut(usize) -> Result<()>) -> Result<Vec<f64>> {
    let start = Instant::now();
    let mut times = Vec::with_capacity(1 << 20);
    let mut count = 0;
    while start.elapsed().as_secs_f64() < 1.5 {
        let before = Instant::now();
        call(count % MANY)?;
        if start.elapsed().as_secs_f64() > 0.5 && times.len() < times.capacity() {
            times.push(before.elapsed().as_secs_f64());
        }
        count += 1;
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}

/// The seconds that many images take, again and again for at least a second, the first time not counted.
pub fn passes(args: &Args, mut pass: impl FnMut() -> Result<()>) -> Result<Vec<f64>> {
    pass()?;
    let start = Instant::now();
    let mut times = Vec::new();
    while times.len() < args.epochs || start.elapsed().as_secs_f64() < 1.0 {
        let before = Instant::now();
        pass()?;
        times.push(before.elapsed().as_secs_f64());
    }
    Ok(times)
}

/// What a program found out; `print` writes it as a line of JSON.
pub struct Report(Map<String, Value>);

impl Report {
    pub fn new(args: &Args, peer: &str, version: &str) -> Self {
        let Value::Object(fields) = json!({ "work": args.work, "peer": peer, "version": version }) else {
            unreachable!("an object is an object")
        };
        Report(fields)
    }

    pub fn set(&mut self, field: &str, value: impl Into<Value>) {
        self.0.insert(field.into(), value.into());
    }

    /// Times, sorted: their median and 99th percentile.
    pub fn set_calls(&mut self, times: &[f64]) {
        self.set("times", vec![times[times.len() / 2]]);
        self.set("p99", times[times.len() * 99 / 100]);
    }

    /// Many images, in the batches that are fastest: `times` measures a size of them.
    pub fn set_best(&mut self, sizes: &[usize], mut times: impl FnMut(usize) -> Result<Vec<f64>>) -> Result<()> {
        let mut best = f64::INFINITY;
        for &size in sizes {
            let mut times = times(size)?;
            times.sort_by(f64::total_cmp);
            let median = times[times.len() / 2];
            if median < best {
                best = median;
                self.set("times", times);
                self.set("batch", size);
            }
        }
        Ok(())
    }

    pub fn print(mut self) -> Result<()> {
        self.set("peak_bytes", peak_bytes()?);
        println!("{}", Value::Object(self.0));
        Ok(())
    }
}

/// The most memory that this process had resident so far.
fn peak_bytes() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line
        .and_then(|line| line.trim().strip_suffix(" kB"))
        .context("no VmHWM")?;
    Ok(kilobytes.trim().parse::<u64>()? * 1024)
}
