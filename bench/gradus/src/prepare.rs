//! What every side reads: `SET-x.bin` (bytes), `SET-y.bin` (a byte a class), `SET-order.bin` (u32), `NETWORK.safetensors`.

use std::path::Path;

use anyhow::Result;
use bench_protocol::Random;
use gradus::Network;

use bench_gradus::works;

pub fn all(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let (train, test) = gradus_mnist::load()?;
    let mut random = Random(42);
    for (name, set) in [("train", &train), ("test", &test)] {
        write(folder, name, &set.pixels, &set.labels, &mut random)?;
    }
    for (name, samples, size, classes) in [("noise", 2048, 3 * 32 * 32, 10), ("small", 1024, 4, 2)] {
        let x: Vec<u8> = (0..samples * size).map(|_| random.draw() as u8).collect();
        let y: Vec<u8> = (0..samples).map(|_| (random.draw() % classes) as u8).collect();
        write(folder, name, &x, &y, &mut random)?;
    }
    for name in works::NETWORKS {
        let mut network = works::network(name)?;
        if name != "resnet8" {
            set_biases(&mut network, &mut random)?;
        }
        network.save(folder.join(format!("{name}.safetensors")))?;
    }
    Ok(())
}

/// Small random biases: where an image is black, a bias of 0 would put ReLU at its kink, where everyone has a slope of his own.
fn set_biases(network: &mut Network, random: &mut Random) -> Result<()> {
    let biases: Vec<(String, usize)> = (network.parameters())
        .filter(|p| p.name.ends_with("bias"))
        .map(|p| (p.name, p.values.len()))
        .collect();
    for (name, n) in biases {
        let values: Vec<f32> = (0..n)
            .map(|_| ((random.draw() >> 48) as f32 / 32768.0 - 1.0) / 16.0)
            .collect();
        network.set(&name, &values)?;
    }
    Ok(())
}

fn write(folder: &Path, name: &str, x: &[u8], y: &[u8], random: &mut Random) -> Result<()> {
    let mut order: Vec<usize> = (0..y.len()).collect();
    random.shuffle(&mut order);
    let order: Vec<u8> = order.iter().flat_map(|&i| (i as u32).to_le_bytes()).collect();
    for (part, bytes) in [("x", x), ("y", y), ("order", &order)] {
        std::fs::write(folder.join(format!("{name}-{part}.bin")), bytes)?;
    }
    Ok(())
}
