//! A user's layers that are called like the library's own, and compute something else.

use gradus::layer::{Backward, BoundLayer, Forward, Passes, State};
use gradus::prelude::*;
use gradus::{Layer, check};

/// It has the name, the settings, the shapes and the parameters of another layer, and all its outputs are -1.
#[derive(Debug)]
struct Impostor(Box<dyn Layer>);

impl Layer for Impostor {
    fn kind(&self) -> &'static str {
        self.0.kind()
    }
    fn bind(&self, input: &Shape) -> Result<BoundLayer, String> {
        let own = self.0.bind(input)?;
        let bound = BoundLayer::new(own.output(), MinusOne);
        let bound = own.parameters().iter().cloned().fold(bound, BoundLayer::with_parameter);
        let add = |bound: BoundLayer, state: &State| bound.with_state(state.name, &state.shape, state.value);
        Ok(own.state().iter().fold(bound, add))
    }
    fn settings(&self) -> Option<serde_json::Value> {
        self.0.settings()
    }
}

/// All outputs are -1.
#[derive(Debug)]
struct MinusOne;

impl Passes for MinusOne {
    fn forward(&self, pass: Forward<'_>) {
        pass.y.fill(-1.0);
    }
    fn backward(&self, pass: Backward<'_>) {
        pass.dx.fill(0.0);
    }
}

/// Networks with an impostor of each kind: alone, and in a residual block where that is possible. Each comes with how messages
/// name the impostor.
pub fn networks() -> Vec<(String, Network)> {
    let alone = check::every_layer().into_iter().map(|(layer, input)| {
        let label = format!("layer 0 ({})", layer.kind());
        (label, Sequential::new(input).layer(Impostor(layer)).build(1).unwrap())
    });
    let blocks = check::every_layer().into_iter().filter_map(|(layer, input)| {
        let label = format!("layer 1.body.0 ({})", layer.kind());
        let block = Residual::new(Layers::new().layer(Impostor(layer)));
        let network = Sequential::new(input).layer(Relu).layer(block).build(1);
        network.ok().map(|network| (label, network))
    });
    alone.chain(blocks).collect()
}
