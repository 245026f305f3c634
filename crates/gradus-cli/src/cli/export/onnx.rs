//! Networks as ONNX files, with what their notes tell of their samples.

use anyhow::{Result, bail};
use clap::Args;
use gradus::Network;
use gradus_onnx::Normalisation;

use crate::notes::{Notes, Preprocessing};

/// How a network becomes an ONNX file.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "ONNX")]
pub struct OnnxOptions {
    /// Leave out the softmax or sigmoid at the end: the outputs are then logits
    #[arg(long)]
    pub logits: bool,
    /// Take the bytes of pictures, 0 to 255, and make samples of them in the graph
    #[arg(long)]
    pub uint8: bool,
}

impl OnnxOptions {
    /// The content of the file.
    ///
    /// # Errors
    /// If a layer has no counterpart, or if bytes are wanted of samples that are no pictures.
    pub fn file(&self, network: &Network) -> Result<Vec<u8>> {
        let bytes = match Notes::of(network)?.preprocessing_for(network) {
            _ if !self.uint8 => None,
            Some(Preprocessing::Character(_) | Preprocessing::Picture { .. }) => Some(Normalisation::default()),
            Some(Preprocessing::Numbers { .. }) | None => {
                bail!("the network's samples are numbers, not pictures: it can't take bytes (--uint8)")
            }
        };
        let logits = self.logits;
        Ok(gradus_onnx::export(network, &gradus_onnx::Export { logits, bytes })?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gradus::prelude::*;

    #[test]
    fn bytes_are_taken_where_samples_are_pictures() {
        let build = |input: usize| {
            Sequential::new([input])
                .layer(Dense::new(2))
                .layer(Softmax)
                .build(1)
                .unwrap()
        };
        let options = OnnxOptions {
            logits: true,
            uint8: true,
        };
        let imported = gradus_onnx::import(&options.file(&build(64)).unwrap()).unwrap();
        assert!(imported.bytes && imported.network.parts().len() == 1);
        let message = options.file(&build(7)).unwrap_err().to_string();
        assert!(message.contains("not pictures"), "{message}");
        let plain = gradus_onnx::import(&OnnxOptions::default().file(&build(7)).unwrap()).unwrap();
        assert!(!plain.bytes && plain.network.parts().len() == 2);
    }
}
