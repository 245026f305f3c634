//! A user's layers that are called like the library's own, and compute something else.

use gradus::Layer;
use gradus::layer::{Backward, BoundLayer, Forward, Passes, State};
use gradus::layers::BatchNorm;
use gradus::prelude::*;
use gradus::save::Registry;

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

/// A layer of every kind that the library has, each with an input that suits it.
fn own() -> Vec<(Shape, Box<dyn Layer>)> {
    let flat = |layer: Box<dyn Layer>| (Shape::from(4), layer);
    let image = |layer: Box<dyn Layer>| (Shape::from([2, 4, 4]), layer);
    vec![
        flat(Box::new(Dense::new(4))),
        image(Box::new(Conv2d::new(2, 3).padding(Padding::Same))),
        image(Box::new(MaxPool2d::new(3).stride(1).padding(Padding::Same))),
        image(Box::new(AvgPool2d::new(3).stride(1).padding(Padding::Same))),
        image(Box::new(GlobalAvgPool2d::new())),
        image(Box::new(Flatten)),
        image(Box::new(Reshape::to([2, 4, 4]))),
        image(Box::new(Dropout::new(0.5))),
        image(Box::new(BatchNorm::new())),
        flat(Box::new(Softmax::new())),
        flat(Box::new(Relu)),
        flat(Box::new(LeakyRelu::new(0.1))),
        flat(Box::new(Elu::new(1.0))),
        flat(Box::new(Gelu)),
        flat(Box::new(Silu)),
        flat(Box::new(Softplus)),
        flat(Box::new(Sigmoid)),
        flat(Box::new(Tanh)),
    ]
}

/// Networks with an impostor of each kind: alone, and in a residual block where that is possible. Each comes with how messages
/// name the impostor.
pub fn networks() -> Vec<(String, Network)> {
    let mut kinds: Vec<&str> = own().iter().map(|(_, layer)| layer.kind()).collect();
    kinds.sort_unstable();
    assert_eq!(
        kinds,
        Registry::default().kinds().collect::<Vec<_>>(),
        "every kind is here"
    );

    let alone = own().into_iter().map(|(input, layer)| {
        let label = format!("layer 0 ({})", layer.kind());
        (label, Sequential::new(input).layer(Impostor(layer)).build(1).unwrap())
    });
    let blocks = own().into_iter().filter_map(|(input, layer)| {
        let label = format!("layer 1.body.0 ({})", layer.kind());
        let block = Residual::new(Layers::new().layer(Impostor(layer)));
        let network = Sequential::new(input).layer(Relu).layer(block).build(1);
        network.ok().map(|network| (label, network))
    });
    alone.chain(blocks).collect()
}
