//! Writes the seeds: small valid files of every kind, from which fuzzing starts. Run in the repository's root:
//! `cargo run --manifest-path fuzz/Cargo.toml --example seeds`.

use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::{Compression, write::GzEncoder};
use gradus::Network;
use gradus::data::idx;
use gradus::prelude::*;
use gradus::save::Registry;
use image_webp::WebPEncoder;
use png::{BitDepth, ColorType};
use serde_json::{Value, json};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result {
    for target in [
        "idx",
        "csv",
        "image",
        "model",
        "checkpoint",
        "architecture",
        "toml",
        "picture",
        "onnx",
    ] {
        fs::create_dir_all(seeds(target))?;
    }
    write_idx()?;
    write_csv()?;
    write_images()?;
    write_networks()?;
    write_checkpoints()?;
    write_pictures()
}

fn seeds(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target)
}

fn write(target: &str, name: &str, content: impl AsRef<[u8]>) -> Result {
    Ok(fs::write(seeds(target).join(name), content)?)
}

fn write_idx() -> Result {
    let bytes: Vec<u8> = (0..24).map(|i| 10 * i).collect();
    for (name, dims) in [("images", &[2, 3, 4][..]), ("labels", &[24]), ("empty", &[0, 4])] {
        let values = &bytes[..dims.iter().product()];
        idx::write(seeds("idx").join(format!("{name}.idx")), dims, values)?;
        idx::write(seeds("idx").join(format!("{name}.idx.gz")), dims, values)?;
    }
    Ok(())
}

fn write_csv() -> Result {
    let iris = "length,width,species\n5.1,3.5,setosa\n7.0,3.2,versicolor\n4.9,3.0,setosa\n";
    write("csv", "iris.csv", iris)?;
    write("csv", "semicolons.csv", iris.replace(',', ";"))?;
    write(
        "csv",
        "tabs.csv",
        iris.replace("species", "age")
            .replace("setosa", "3")
            .replace("versicolor", "-1e3")
            .replace(',', "\t"),
    )?;
    write("csv", "numbers.csv", "1,2,3\r\n\r\n4.5,5e-1,-6\r\n.5,+7,8.")?;
    write("csv", "quoted.csv", "\"a \"\"b\"\"\",\"c\nd\"\n1, \"b\"\n 2 ,a\n")?;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(iris.as_bytes())?;
    write("csv", "iris.csv.gz", gzip.finish()?)
}

/// The JPEG images that the tests read.
const JPEG: [(&str, &[u8]); 4] = [
    ("gray", include_bytes!("../../crates/gradus/tests/images/gray.jpg")),
    ("color", include_bytes!("../../crates/gradus/tests/images/color.jpg")),
    (
        "progressive",
        include_bytes!("../../crates/gradus/tests/images/progressive.jpg"),
    ),
    ("cmyk", include_bytes!("../../crates/gradus/tests/images/cmyk.jpg")),
];

fn write_images() -> Result {
    let bytes: Vec<u8> = (0..=255).collect();
    for (colors, name) in [
        (ColorType::Grayscale, "gray"),
        (ColorType::GrayscaleAlpha, "gray_alpha"),
        (ColorType::Rgb, "rgb"),
        (ColorType::Rgba, "rgba"),
    ] {
        for depth in [BitDepth::Eight, BitDepth::Sixteen] {
            let row = 3 * colors.samples() * depth as usize / 8;
            let image = encode(colors, depth, 3, &bytes[..4 * row], None)?;
            write("image", &format!("{name}{}.png", depth as u8), image)?;
        }
    }
    for depth in [BitDepth::One, BitDepth::Two, BitDepth::Four] {
        let rows = &[0x1b, 0x80, 0xe4, 0x40][..];
        let gray = encode(ColorType::Grayscale, depth, 2, rows, None)?;
        write("image", &format!("gray{}.png", depth as u8), gray)?;
        let indexed = encode(ColorType::Indexed, depth, 2, rows, None)?;
        write("image", &format!("indexed{}.png", depth as u8), indexed)?;
    }
    for (name, file) in JPEG {
        write("image", &format!("{name}.jpg"), file)?;
    }
    Ok(())
}

/// A PNG image of rows of so many pixels; a palette of four colors, one transparent, where one is needed.
fn encode(colors: ColorType, depth: BitDepth, width: usize, rows: &[u8], exif: Option<&[u8]>) -> Result<Vec<u8>> {
    let row = (width * colors.samples() * depth as usize).div_ceil(8);
    let mut info = png::Info::with_size(width as u32, (rows.len() / row) as u32);
    info.color_type = colors;
    info.bit_depth = depth;
    info.exif_metadata = exif.map(Into::into);
    if colors == ColorType::Indexed {
        let shades = 1 << depth as u32;
        info.palette = Some((0..3 * shades).map(|i| (i * 255 / (3 * shades)) as u8).collect());
        info.trns = Some((&[255, 0][..]).into());
    }
    let mut file = Vec::new();
    let mut writer = png::Encoder::with_info(&mut file, info)?.write_header()?;
    writer.write_image_data(rows)?;
    writer.finish()?;
    Ok(file)
}

/// What a camera writes into a picture that it took upside down or on its side.
fn exif(orientation: u8) -> Vec<u8> {
    // One field of the tag 0x0112, a short.
    [
        &b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0"[..],
        &[orientation],
        &b"\0\0\0\0\0\0"[..],
    ]
    .concat()
}

/// A lossy WebP image.
const RAMP: &[u8] = include_bytes!("../../crates/gradus-cli/tests/images/ramp.webp");

fn write_pictures() -> Result {
    // An L, dark on light, with a speck of dust.
    let (height, width) = (24, 18);
    let ink = |y: usize, x: usize| {
        (4..20).contains(&y) && (5..8).contains(&x)
            || (17..20).contains(&y) && (5..14).contains(&x)
            || (y, x) == (2, 15)
    };
    let pixels: Vec<u8> = (0..height * width)
        .map(|i| if ink(i / width, i % width) { 30 } else { 240 })
        .collect();
    let negative: Vec<u8> = pixels.iter().map(|v| 255 - v).collect();
    let gray = |pixels: &[u8], exif: Option<&[u8]>| encode(ColorType::Grayscale, BitDepth::Eight, width, pixels, exif);
    write("picture", "dark.png", gray(&pixels, None)?)?;
    write("picture", "light.png", gray(&negative, None)?)?;
    for orientation in [3, 6] {
        write(
            "picture",
            &format!("turned{orientation}.png"),
            gray(&pixels, Some(&exif(orientation)))?,
        )?;
    }
    let mut webp = Vec::new();
    let mut encoder = WebPEncoder::new(&mut webp);
    encoder.set_exif_metadata(exif(6));
    encoder.encode(&pixels, width as u32, height as u32, image_webp::ColorType::L8)?;
    write("picture", "turned6.webp", webp)?;
    write("picture", "ramp.webp", RAMP)?;
    for (name, file) in JPEG {
        write("picture", &format!("{name}.jpg"), file)?;
    }
    let (start, rest) = JPEG[0].1.split_at(2);
    let segment = [&b"Exif\0\0"[..], &exif(8)].concat();
    let length = (segment.len() as u16 + 2).to_be_bytes();
    write(
        "picture",
        "turned8.jpg",
        [start, &[0xff, 0xe1], &length, &segment, rest].concat(),
    )
}

/// A network for each layer and setting.
fn architectures() -> Vec<(&'static str, Value)> {
    let same = |sides: [usize; 4]| {
        let [top, bottom, left, right] = sides;
        json!({ "explicit": { "top": top, "bottom": bottom, "left": left, "right": right } })
    };
    vec![
        (
            "xor",
            json!({ "input": [2], "layers": [
            { "kind": "dense", "units": 4 }, { "kind": "tanh" }, { "kind": "dense", "units": 1, "bias": false, "init": "glorot_uniform" },
            { "kind": "sigmoid" } ] }),
        ),
        (
            "lenet",
            json!({ "input": [1, 8, 8], "layers": [
            { "kind": "conv2d", "channels": 2, "kernel": 3, "padding": "same" }, { "kind": "relu" },
            { "kind": "max_pool2d", "kernel": 2 }, { "kind": "flatten" }, { "kind": "dropout", "rate": 0.5 },
            { "kind": "dense", "units": 3, "init": "orthogonal" }, { "kind": "softmax" } ] }),
        ),
        (
            "windows",
            json!({ "input": [4, 7, 6], "layers": [
            { "kind": "conv2d", "channels": 2, "kernel": [3, 2], "stride": [2, 1], "padding": same([1, 0, 2, 1]), "dilation": 2,
              "groups": 2, "bias": false, "init": "he_uniform" },
            { "kind": "max_pool2d", "kernel": [1, 2], "stride": 1, "padding": "same" },
            { "kind": "avg_pool2d", "kernel": 2, "stride": 1, "padding": same([1, 1, 1, 1]), "exclude_padding": true },
            { "kind": "global_avg_pool2d" } ] }),
        ),
        (
            "residual",
            json!({ "input": [2, 4, 4], "layers": [
            { "kind": "residual", "body": [
                { "kind": "conv2d", "channels": 3, "kernel": 3, "stride": 2, "padding": "same" },
                { "kind": "batch_norm", "momentum": 0.2, "epsilon": 0.001 } ] },
            { "kind": "residual", "body": [{ "kind": "residual", "body": [{ "kind": "gelu" }] }],
              "shortcut": [{ "kind": "batch_norm" }] },
            { "kind": "reshape", "shape": [12] },
            { "kind": "residual", "body": [{ "kind": "dense", "units": 2 }] } ] }),
        ),
        (
            "joins",
            json!({ "input": [2, 3, 3], "layers": [
            { "kind": "concat", "branches": [[], [{ "kind": "conv2d", "channels": 2, "kernel": 3, "padding": "same" }]] },
            { "kind": "multiply", "branches": [[], [{ "kind": "global_avg_pool2d" }, { "kind": "dense", "units": 4 }, { "kind": "sigmoid" }]] },
            { "kind": "flatten" },
            { "kind": "multiply", "branches": [[{ "kind": "dense", "units": 2 }], [{ "kind": "dense", "units": 2 }, { "kind": "tanh" }]] } ] }),
        ),
        (
            "activations",
            json!({ "input": [3], "layers": [
            { "kind": "leaky_relu", "slope": 0.1 }, { "kind": "elu", "alpha": 2.0 }, { "kind": "gelu" }, { "kind": "silu" },
            { "kind": "softplus" }, { "kind": "tanh" }, { "kind": "dropout", "rate": 0 } ] }),
        ),
    ]
}

fn write_networks() -> Result {
    for (name, declared) in architectures() {
        write("architecture", &format!("{name}.json"), declared.to_string())?;
        write("toml", &format!("{name}.toml"), toml(&declared))?;
        let mut network = Sequential::from_json(&declared, &Registry::default())?.build(1)?;
        network.set_note("data", "mnist");
        if name == "lenet" {
            let frame = r#"{"kind": "character", "height": 8, "width": 8, "fit": 8}"#;
            network.set_note("preprocessing", frame);
        }
        let file = network.to_bytes()?;
        assert!(Network::from_bytes(&file, &Registry::default()).is_ok());
        write("model", &format!("{name}.safetensors"), unchecked(&file))?;
        let mut options = gradus_onnx::Export::default();
        match name {
            "lenet" => options.bytes = Some(gradus_onnx::Normalization::default()),
            "xor" => {
                let scaling = |mean: &[f64], deviation: &[f64]| gradus_onnx::Scaling {
                    mean: mean.to_vec(),
                    deviation: deviation.to_vec(),
                };
                options.inputs = Some(scaling(&[20.5, 0.0], &[5.0, 0.25]));
                // In double precision.
                options.outputs = Some(scaling(&[1.7e9], &[3e3]));
                options.columns = vec!["a".into(), "b".into()];
            }
            _ => {}
        }
        write(
            "onnx",
            &format!("{name}.onnx"),
            gradus_onnx::export(&network, &options)?,
        )?;
    }
    write(
        "toml",
        "tables.toml",
        "# A comment.\ninput = [1, 0x4, 4]\n[[layers]]\nkind = 'flatten'\n[[layers]]\nkind = \"dense\"\nunits = 3\n",
    )
}

/// At the end of an epoch, and within one.
fn write_checkpoints() -> Result {
    let (network, data) = gradus_fuzz::small_training();
    for (name, steps) in [("end", 3), ("within", 4)] {
        let path = seeds("checkpoint").join(format!("{name}.safetensors"));
        let done = std::cell::Cell::new(0);
        let interrupted = || done.replace(done.get() + 1) + 1 == steps;
        let training = gradus_fuzz::small_fit()
            .checkpoint(&path, std::time::Duration::MAX)
            .interrupt_when(interrupted)
            .run(&mut network.clone(), &data);
        assert!(training.is_err());
        fs::write(&path, unchecked(&fs::read(&path)?))?;
    }
    Ok(())
}

/// A safetensors file of ours without its checksum, which no change would get past.
fn unchecked(file: &[u8]) -> Vec<u8> {
    let mut file = file.to_vec();
    for (from, to) in [
        ("\"gradus.checksum\"", "\"others.checksum\""),
        ("\"gradus.format\":\"2\"", "\"gradus.format\":\"1\""),
        ("\"gradus.checkpoint\":\"2\"", "\"gradus.checkpoint\":\"1\""),
    ] {
        if let Some(at) = file.windows(from.len()).position(|window| window == from.as_bytes()) {
            file[at..at + to.len()].copy_from_slice(to.as_bytes());
        }
    }
    file
}

/// TOML with the layers in inline tables.
fn toml(value: &Value) -> String {
    fn inline(value: &Value) -> String {
        match value {
            Value::Array(values) => format!("[{}]", values.iter().map(inline).collect::<Vec<_>>().join(", ")),
            Value::Object(values) => {
                let pairs = values.iter().map(|(key, value)| format!("{key} = {}", inline(value)));
                format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
            }
            other => other.to_string(),
        }
    }
    format!(
        "input = {}\nlayers = {}\n",
        inline(&value["input"]),
        inline(&value["layers"])
    )
}
