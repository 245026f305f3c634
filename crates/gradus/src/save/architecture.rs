//! A network's architecture as JSON:
//! `{"input": [1, 28, 28], "layers": [{"kind": "conv2d", "channels": 5, "kernel": 3}, ...]}`.
//! A residual block is `{"kind": "residual", "body": [...], "shortcut": [...]}`, its shortcut absent if it is the identity.

use serde_json::{Map, Value, json};

use crate::graph::{Graph, Op, Tree};
use crate::registry::{Registry, is_built_in, is_built_in_kind};
use crate::sequential::{Layers, Node, Residual, Sequential};
use crate::{Error, Result, Shape};

/// The kinds that are blocks of layers.
pub(crate) const BLOCKS: &[&str] = &["residual"];

pub(super) fn to_json(graph: &Graph) -> Result<Value> {
    Ok(json!({ "input": &graph.input, "layers": layers_to_json(graph, &graph.tree)? }))
}

fn layers_to_json(graph: &Graph, layers: &[Tree]) -> Result<Vec<Value>> {
    layers.iter().map(|tree| node_to_json(graph, tree)).collect()
}

fn node_to_json(graph: &Graph, tree: &Tree) -> Result<Value> {
    match tree {
        Tree::Layer(op) => {
            let Op::Layer(op) = &graph.ops[*op] else {
                unreachable!("the tree names layers")
            };
            let kind = op.layer.kind();
            if is_built_in_kind(kind) && !is_built_in(&*op.layer) {
                return Err(Error::invalid(format!(
                    "{} can't be saved: a file that names the kind {kind} is loaded with the library's own {kind}, and this is another \
                     type; give its kind another name",
                    op.label
                )));
            }
            let settings = op.settings()?;
            let mut object = Map::new();
            object.insert("kind".into(), kind.into());
            match settings {
                Value::Object(settings) => object.extend(settings),
                Value::Null => {}
                other => {
                    return Err(Error::invalid(format!(
                        "{}: its settings are {other}, not an object",
                        op.label
                    )));
                }
            }
            Ok(Value::Object(object))
        }
        Tree::Residual { body, shortcut } => {
            let mut object = Map::new();
            object.insert("kind".into(), "residual".into());
            object.insert("body".into(), layers_to_json(graph, body)?.into());
            if let Some(shortcut) = shortcut {
                object.insert("shortcut".into(), layers_to_json(graph, shortcut)?.into());
            }
            Ok(Value::Object(object))
        }
    }
}

impl Sequential {
    /// A network declared in JSON, as [`Network::architecture`](crate::Network::architecture) gives it.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// use gradus::save::Registry;
    /// use serde_json::json;
    ///
    /// let declared = json!({ "input": [2], "layers": [{ "kind": "dense", "units": 3 }, { "kind": "relu" }] });
    /// let network = Sequential::from_json(&declared, &Registry::default())?.build(1)?;
    /// assert_eq!(network.parameter_count(), 9);
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// # Errors
    /// If something is missing, unknown or of the wrong type; the error says where.
    pub fn from_json(declared: &Value, registry: &Registry) -> Result<Sequential> {
        let Value::Object(object) = declared else {
            return Err(Error::invalid(
                "a network is declared by an object with `input` and `layers`",
            ));
        };
        if let Some(key) = object.keys().find(|key| !["input", "layers"].contains(&key.as_str())) {
            return Err(Error::invalid(format!(
                "a network is declared by `input` and `layers`; there is no `{key}`"
            )));
        }
        let shape = object.get("input").cloned().unwrap_or(Value::Null);
        let shape: Shape = serde_json::from_value(shape)
            .map_err(|_| Error::invalid("`input` must be the shape of one sample, such as [784] or [1, 28, 28]"))?;
        Ok(Sequential::new(shape).layers(layers_from_json(object.get("layers"), "layers", registry)?))
    }
}

fn layers_from_json(value: Option<&Value>, place: &str, registry: &Registry) -> Result<Layers> {
    let Some(Value::Array(nodes)) = value else {
        return Err(Error::invalid(format!("`{place}` must be a list of layers")));
    };
    let mut layers = Layers::new();
    for (i, node) in nodes.iter().enumerate() {
        layers = layers.layer(node_from_json(node, &format!("{place}[{i}]"), registry)?);
    }
    Ok(layers)
}

fn node_from_json(value: &Value, place: &str, registry: &Registry) -> Result<Node> {
    let (Value::Object(object), Some(Value::String(kind))) = (value, value.get("kind")) else {
        return Err(Error::invalid(format!(
            "`{place}` must be an object with a `kind`, such as {{\"kind\": \"relu\"}}"
        )));
    };
    if kind == "residual" {
        if let Some(key) = object
            .keys()
            .find(|key| !["kind", "body", "shortcut"].contains(&key.as_str()))
        {
            return Err(Error::invalid(format!("`{place}`: a residual block has no `{key}`")));
        }
        let mut residual = Residual::new(layers_from_json(
            object.get("body"),
            &format!("{place}.body"),
            registry,
        )?);
        if let Some(shortcut) = object.get("shortcut") {
            residual = residual.shortcut(layers_from_json(
                Some(shortcut),
                &format!("{place}.shortcut"),
                registry,
            )?);
        }
        return Ok(residual.into());
    }
    let mut settings = object.clone();
    settings.remove("kind");
    let layer = registry.layer(kind, Value::Object(settings));
    Ok(layer.map_err(|e| Error::invalid(format!("`{place}`: {e}")))?.into())
}
