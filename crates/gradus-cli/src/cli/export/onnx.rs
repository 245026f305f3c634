//! Networks as ONNX files, with what their notes tell of their samples and targets.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use clap::Args;
use gradus::Network;
use gradus_onnx::{Normalization, Scaling};

use crate::metadata::{Metadata, Preprocessing, changes};
use crate::terminal::eprint_line;

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
    /// How the network becomes a file: a table's network takes the numbers of the table, and gives values in their own units.
    ///
    /// # Errors
    /// If bytes are wanted of samples that are no pictures.
    pub fn export(&self, network: &Network) -> Result<gradus_onnx::Export> {
        let metadata = Metadata::of(network)?;
        let mut export = gradus_onnx::Export {
            logits: self.logits,
            outputs: (metadata.targets.as_ref()).and_then(|scale| scaling(&scale.mean, &scale.deviation)),
            ..gradus_onnx::Export::default()
        };
        match metadata.preprocessing_for(network) {
            Some(Preprocessing::Character(_) | Preprocessing::Picture { .. }) => {
                export.bytes = self.uint8.then(Normalization::default);
            }
            _ if self.uint8 => {
                bail!("the network's samples are numbers, not pictures: it can't take bytes (--uint8)")
            }
            Some(Preprocessing::Numbers {
                columns,
                mean,
                deviation,
            }) => {
                export.inputs = scaling(&mean, &deviation);
                let distinct: BTreeSet<&String> = columns.iter().filter(|name| !name.is_empty()).collect();
                if distinct.len() == columns.len() {
                    export.columns = columns;
                } else {
                    eprint_line(format_args!(
                        "note: the names of the table's columns are left out of the file: some are empty or the same"
                    ));
                }
            }
            None => {}
        }
        Ok(export)
    }
}

/// The scaling by these numbers, if it changes anything.
fn scaling(mean: &[f64], deviation: &[f64]) -> Option<Scaling> {
    changes(mean, deviation).then(|| Scaling {
        mean: mean.to_vec(),
        deviation: deviation.to_vec(),
    })
}

/// Sentences on what a file takes and gives, for people.
pub fn described(export: &gradus_onnx::Export) -> Vec<String> {
    let mut sentences = Vec::new();
    if let Some(inputs) = &export.inputs {
        sentences.push("It takes rows with the numbers of the table, and scales them itself.".into());
        if let Some(i) = inputs.double_column() {
            let name = (export.columns.get(i)).map_or_else(|| i.to_string(), |name| format!("`{name}`"));
            sentences.push(format!(
                "Its input is in double precision (float64): the numbers of column {name} are around {:.3e} with a deviation of {:.3e}, \
                 which single precision would round too much.",
                inputs.mean[i], inputs.deviation[i]
            ));
        }
    }
    if let Some(outputs) = &export.outputs {
        let precision = match outputs.double_column() {
            Some(_) => ", in double precision (float64)",
            None => "",
        };
        sentences.push(format!("It gives values in the units of the table{precision}."));
    }
    sentences
}

#[cfg(test)]
mod tests {
    use super::*;
    use gradus::prelude::*;
    use serde_json::json;

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
        let file = |options: &OnnxOptions, network: &Network| {
            let export = options.export(network)?;
            Ok::<_, anyhow::Error>(gradus_onnx::export(network, &export)?)
        };
        let imported = gradus_onnx::import(&file(&options, &build(64)).unwrap()).unwrap();
        assert!(imported.bytes && imported.network.parts().len() == 1);
        let message = file(&options, &build(7)).unwrap_err().to_string();
        assert!(message.contains("not pictures"), "{message}");
        let plain = gradus_onnx::import(&file(&OnnxOptions::default(), &build(7)).unwrap()).unwrap();
        assert!(!plain.bytes && plain.network.parts().len() == 2);
    }

    #[test]
    fn numbers_that_single_precision_rounds_are_told() {
        let mut network = Sequential::new([3]).layer(Dense::new(1)).build(1).unwrap();
        network.set_note(
            "preprocessing",
            r#"{"kind": "numbers", "columns": ["year", "time", "x"], "mean": [2019, 1.7e9, 0], "deviation": [5, 3e3, 1]}"#,
        );
        let export = OnnxOptions::default().export(&network).unwrap();
        assert_eq!(export.columns, ["year", "time", "x"]);
        let sentences = described(&export);
        assert_eq!(sentences.len(), 2, "{sentences:?}");
        assert!(
            sentences[1].contains("the numbers of column `time` are around 1.700e9 with a deviation of 3.000e3"),
            "{sentences:?}"
        );
    }

    /// Tables may have such names, and a file of ONNX may not.
    #[test]
    fn names_that_do_not_tell_columns_apart_are_left_out() {
        let mut network = Sequential::new([2]).layer(Dense::new(1)).build(1).unwrap();
        for (names, expected) in [(["a", "b"], &["a", "b"][..]), (["a", "a"], &[]), (["", "b"], &[])] {
            let note = json!({ "kind": "numbers", "columns": names, "mean": [1, 2], "deviation": [3, 4] });
            network.set_note("preprocessing", note.to_string());
            let export = OnnxOptions::default().export(&network).unwrap();
            assert_eq!(export.columns, expected);
            assert!(gradus_onnx::export(&network, &export).is_ok());
        }
    }
}
