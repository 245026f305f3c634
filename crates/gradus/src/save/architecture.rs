//! A network's architecture as JSON:
//! `{"input": [1, 28, 28], "layers": [{"kind": "conv2d", "channels": 5, "kernel": 3}, ...]}`.
//! A residual block is `{"kind": "residual", "body": [...], "shortcut": [...]}`, its shortcut absent if it is the identity; other
//! blocks are `{"kind": "concat", "branches": [[...], [...]]}`.

use serde_json::{Map, Value, json};

use crate::blocks::{Concat, Join, Multiply, Residual};
use crate::graph::{Graph, LayerOp};
use crate::registry::{Registry, is_built_in, is_built_in_kind};
use crate::tree::{Block, Node};
use crate::{Error, Layers, Result, Sequential, Shape};

pub(super) fn to_json(graph: &Graph) -> Result<Value> {
    Ok(json!({ "input": &graph.input, "layers": layers_to_json(graph, &graph.tree)? }))
}

fn layers_to_json(graph: &Graph, layers: &[Node<usize>]) -> Result<Vec<Value>> {
    let node_to_json = |node: &Node<usize>| match node {
        Node::Layer(op) => layer_to_json(graph.layer(*op)),
        Node::Block(block) => block_to_json(graph, block),
    };
    layers.iter().map(node_to_json).collect()
}

fn layer_to_json(op: &LayerOp) -> Result<Value> {
    let kind = op.layer.kind();
    if is_built_in_kind(kind) && !is_built_in(&*op.layer) {
        return Err(Error::invalid(format!(
            "{} can't be saved: a file that names the kind {kind} is loaded with the library's own {kind}, and this is another \
             type; give its kind another name",
            op.label
        )));
    }
    let mut object = Map::new();
    object.insert("kind".into(), kind.into());
    match op.settings()? {
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

fn block_to_json(graph: &Graph, block: &Block<usize>) -> Result<Value> {
    let branches = block.branches.iter().map(|branch| layers_to_json(graph, branch));
    let mut branches = branches.collect::<Result<Vec<_>>>()?;
    let mut object = Map::new();
    object.insert("kind".into(), block.join.kind().into());
    match block.join {
        Join::Add => {
            let shortcut = branches.pop().filter(|shortcut| !shortcut.is_empty());
            object.insert("body".into(), branches.pop().unwrap_or_default().into());
            if let Some(shortcut) = shortcut {
                object.insert("shortcut".into(), shortcut.into());
            }
        }
        Join::Concat | Join::Multiply => {
            object.insert("branches".into(), branches.into());
        }
    }
    Ok(Value::Object(object))
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
    if let Some(join) = Join::ALL.into_iter().find(|join| join.kind() == kind) {
        return block_from_json(join, object, place, registry);
    }
    let mut settings = object.clone();
    settings.remove("kind");
    let layer = registry.layer(kind, Value::Object(settings));
    Ok(layer.map_err(|e| Error::invalid(format!("`{place}`: {e}")))?.into())
}

fn block_from_json(join: Join, object: &Map<String, Value>, place: &str, registry: &Registry) -> Result<Node> {
    let known: &[&str] = match join {
        Join::Add => &["kind", "body", "shortcut"],
        Join::Concat | Join::Multiply => &["kind", "branches"],
    };
    if let Some(key) = object.keys().find(|key| !known.contains(&key.as_str())) {
        return Err(Error::invalid(format!(
            "`{place}`: a {} block has no `{key}`",
            join.kind()
        )));
    }
    let layers = |key: &str| layers_from_json(object.get(key), &format!("{place}.{key}"), registry);
    Ok(match join {
        Join::Add => {
            let residual = Residual::new(layers("body")?);
            match object.contains_key("shortcut") {
                true => residual.shortcut(layers("shortcut")?).into(),
                false => residual.into(),
            }
        }
        Join::Concat => Concat::new(branches_from_json(object.get("branches"), place, registry)?).into(),
        Join::Multiply => Multiply::new(branches_from_json(object.get("branches"), place, registry)?).into(),
    })
}

fn branches_from_json(value: Option<&Value>, place: &str, registry: &Registry) -> Result<Vec<Layers>> {
    let Some(Value::Array(branches)) = value else {
        return Err(Error::invalid(format!(
            "`{place}.branches` must be a list of branches, each a list of layers"
        )));
    };
    (branches.iter().enumerate())
        .map(|(i, branch)| layers_from_json(Some(branch), &format!("{place}.branches[{i}]"), registry))
        .collect()
}
