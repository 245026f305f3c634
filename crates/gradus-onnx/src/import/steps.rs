//! The network that a graph turns out to be, while it is read.
//!
//! Every value that depends on the input is given by a step: a layer, or a part of one that takes several nodes. A step has one
//! other before it, so that steps form a tree; where values are joined a block ends, whose steps are then taken from the tree.
//! What remains at the end is the row of steps from the input to the output.

use gradus::{Conv1d, Conv2d, Dense, Flatten, Float, Join, Layer, Reshape, Shape};

/// The most blocks that can be in one another: what walks through them is recursive.
const MOST_NESTED: usize = 32;

/// The tensors of a layer, by their names.
pub(super) type Tensors = Vec<(&'static str, Vec<Float>)>;

/// What a step computes.
#[derive(Debug)]
pub(super) enum Kind {
    /// The network's input.
    Input,
    /// A dense layer or a convolution.
    Linear(Linear),
    /// Any other layer.
    Layer { layer: Box<dyn Layer>, tensors: Tensors },
    /// A block of layers in branches.
    Block { join: Join, branches: Vec<Vec<Part>> },
    /// y = scale · x + shift, with a number for each feature or one for all.
    Scale { scale: Vec<Float>, shift: Vec<Float> },
    /// erf(x), a part of GELU.
    Erf,
    /// x³, a part of GELU's approximation.
    Cube,
    /// x + 0.044715 · x³, likewise.
    CubicSum,
    /// Whether x is above a number: a part of how PyTorch writes softplus.
    Above(Float),
    /// The probabilities 1 − x and x of two classes; the network gives x.
    Pair,
    /// What a block has taken.
    Taken,
}

/// A layer whose outputs are weighted sums.
#[derive(Debug)]
pub(super) struct Linear {
    /// The convolution's settings; none for a dense layer.
    pub(super) conv: Option<Convolution>,
    /// Units, or output channels.
    pub(super) units: usize,
    /// As the layer has it: inputs × units, or channel after channel.
    pub(super) weight: Vec<Float>,
    pub(super) bias: Option<Vec<Float>>,
}

/// A convolution's settings.
#[derive(Debug)]
pub(super) enum Convolution {
    OfImages(Conv2d),
    OfSequences(Conv1d),
}

impl Linear {
    fn layer(&self) -> Box<dyn Layer> {
        match &self.conv {
            Some(Convolution::OfImages(conv)) => Box::new(conv.clone().bias(self.bias.is_some())),
            Some(Convolution::OfSequences(conv)) => Box::new(conv.clone().bias(self.bias.is_some())),
            None => Box::new(Dense::new(self.units).bias(self.bias.is_some())),
        }
    }

    /// Scales and shifts the outputs, with a number for each unit or one for all.
    fn scale(&mut self, scale: &[Float], shift: &[Float]) {
        let inputs = self.weight.len() / self.units;
        for (i, w) in self.weight.iter_mut().enumerate() {
            let unit = if self.conv.is_some() {
                i / inputs
            } else {
                i % self.units
            };
            *w *= of(scale, unit);
        }
        if self.bias.is_some() || shift.iter().any(|&shift| shift != 0.0) {
            let bias = self.bias.get_or_insert_with(|| vec![0.0; self.units]);
            for (unit, b) in bias.iter_mut().enumerate() {
                *b = *b * of(scale, unit) + of(shift, unit);
            }
        }
    }

    /// Takes inputs that are not yet scaled and shifted, with a number for each input or one for all; a dense layer only.
    fn scale_inputs(&mut self, scale: &[Float], shift: &[Float]) {
        if shift.iter().any(|&shift| shift != 0.0) {
            let bias = self.bias.get_or_insert_with(|| vec![0.0; self.units]);
            for (i, w) in self.weight.chunks_exact(self.units).enumerate() {
                bias.iter_mut().zip(w).for_each(|(b, w)| *b += of(shift, i) * w);
            }
        }
        for (i, w) in self.weight.chunks_exact_mut(self.units).enumerate() {
            w.iter_mut().for_each(|w| *w *= of(scale, i));
        }
    }

    fn part(self) -> Part {
        let layer = self.layer();
        let bias = self.bias.map(|bias| ("bias", bias));
        let tensors = [("weight", self.weight)].into_iter().chain(bias).collect();
        Part::Layer { layer, tensors }
    }
}

/// A step in its place.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) kind: Kind,
    pub(super) parent: usize,
    depth: usize,
    pub(super) output: Shape,
    /// The node that it came from.
    label: String,
    /// How many blocks are in one another here.
    nesting: usize,
}

/// A part of the network that is made.
#[derive(Debug)]
pub(super) enum Part {
    Layer { layer: Box<dyn Layer>, tensors: Tensors },
    Block { join: Join, branches: Vec<Vec<Part>> },
}

impl Part {
    fn new(layer: impl Layer, tensors: Tensors) -> Self {
        Part::Layer {
            layer: Box::new(layer),
            tensors,
        }
    }
}

/// All steps; the first is the input.
#[derive(Debug)]
pub(super) struct Steps {
    pub(super) all: Vec<Step>,
    /// The node that is read now.
    pub(super) label: String,
    /// Values that were joined one after the other, and the step that did it.
    joined: Vec<(Vec<usize>, usize)>,
    /// How many more values layers may have.
    values_left: usize,
}

impl Steps {
    /// Steps from an input of this shape, of layers with at most `most_values` values.
    pub(super) fn new(input: Shape, most_values: usize) -> Self {
        Steps {
            all: vec![Step {
                kind: Kind::Input,
                parent: 0,
                depth: 0,
                output: input,
                label: "the graph's input".into(),
                nesting: 0,
            }],
            label: String::new(),
            joined: Vec::new(),
            values_left: most_values,
        }
    }

    pub(super) fn output(&self, step: usize) -> &Shape {
        &self.all[step].output
    }

    /// A step whose output has the shape of its input.
    pub(super) fn push(&mut self, parent: usize, kind: Kind) -> usize {
        self.push_to(parent, kind, self.output(parent).clone())
    }

    fn push_to(&mut self, parent: usize, kind: Kind, output: Shape) -> usize {
        self.all.push(Step {
            kind,
            parent,
            depth: self.all[parent].depth + 1,
            output,
            label: self.label.clone(),
            nesting: 0,
        });
        self.all.len() - 1
    }

    /// A layer, with all its parameters and state.
    pub(super) fn layer(&mut self, parent: usize, layer: impl Layer, tensors: Tensors) -> Result<usize, String> {
        self.boxed(parent, Box::new(layer), tensors)
    }

    /// A layer that was chosen by its operator.
    pub(super) fn boxed(&mut self, parent: usize, layer: Box<dyn Layer>, tensors: Tensors) -> Result<usize, String> {
        let output = self.planned(
            parent,
            &*layer,
            tensors.iter().map(|(name, values)| (*name, values.len())),
        )?;
        Ok(self.push_to(parent, Kind::Layer { layer, tensors }, output))
    }

    /// A dense layer or a convolution.
    pub(super) fn linear(&mut self, parent: usize, linear: Linear) -> Result<usize, String> {
        let bias = linear.bias.as_ref().map(|bias| ("bias", bias.len()));
        let sizes = [("weight", linear.weight.len())].into_iter().chain(bias);
        let output = self.planned(parent, &*linear.layer(), sizes)?;
        Ok(self.push_to(parent, Kind::Linear(linear), output))
    }

    /// The output of a layer that has tensors of these sizes, and whether they are what it needs.
    fn planned(
        &mut self,
        parent: usize,
        layer: &dyn Layer,
        tensors: impl Iterator<Item = (&'static str, usize)>,
    ) -> Result<Shape, String> {
        let bound = layer.bind(self.output(parent))?;
        let parameters = bound
            .parameters()
            .iter()
            .map(|parameter| (parameter.name, &parameter.shape));
        let needed: Vec<_> = parameters
            .chain(bound.state().iter().map(|state| (state.name, &state.shape)))
            .collect();
        let mut count = 0;
        for (name, size) in tensors {
            let fits = |&(needed, shape): &(&str, &Shape)| needed == name && shape.size() == size;
            if !needed.iter().any(fits) {
                return Err(format!(
                    "its {name} has {size} values, which do not suit its input {}",
                    self.output(parent)
                ));
            }
            count += 1;
            self.values_left = self
                .values_left
                .checked_sub(size)
                .ok_or("the graph uses its constants again and again, for more parameters than the file has bytes")?;
        }
        if count != needed.len() {
            return Err("it lacks some of its parameters".into());
        }
        Ok(bound.output().clone())
    }

    /// The step, or one after it that gives its output this shape.
    pub(super) fn shaped(&mut self, step: usize, dims: &[usize]) -> Result<usize, String> {
        if self.output(step).dims() == dims {
            return Ok(step);
        }
        match dims {
            [_] => self
                .layer(step, Flatten, vec![])
                .and_then(|flat| match self.output(flat).dims() == dims {
                    true => Ok(flat),
                    false => Err(format!("its input has the shape {}, not {dims:?}", self.output(step))),
                }),
            _ => self.layer(step, Reshape::new(dims), vec![]),
        }
    }

    /// y = scale · x + shift, after what may be such a step too. What changes nothing is no step.
    pub(super) fn scale(&mut self, x: usize, scale: Vec<Float>, shift: Vec<Float>) -> usize {
        let (from, s, t) = self.unscaled(x);
        let scaled = combine(&s, &scale, |s, scale| s * scale);
        let moved = combine(&combine(&t, &scale, |t, scale| t * scale), &shift, |t, shift| t + shift);
        if scaled.iter().all(|&scale| scale == 1.0) && moved.iter().all(|&shift| shift == 0.0) {
            return from;
        }
        self.push(
            from,
            Kind::Scale {
                scale: scaled,
                shift: moved,
            },
        )
    }

    /// What a step scales and shifts: the step before it, and its numbers. Of any other step, itself.
    pub(super) fn unscaled(&self, step: usize) -> (usize, Vec<Float>, Vec<Float>) {
        match &self.all[step].kind {
            Kind::Scale { scale, shift } => (self.all[step].parent, scale.clone(), shift.clone()),
            _ => (step, vec![1.0], vec![0.0]),
        }
    }

    /// The last step that all come from.
    pub(super) fn fork(&self, values: &[usize]) -> usize {
        let both = |mut a: usize, mut b: usize| {
            while a != b {
                let deeper = if self.all[a].depth >= self.all[b].depth {
                    &mut a
                } else {
                    &mut b
                };
                *deeper = self.all[*deeper].parent;
            }
            a
        };
        values.iter().copied().reduce(both).unwrap_or(0)
    }

    /// The steps after `from` up to `to`, in order.
    pub(super) fn between(&self, from: usize, to: usize) -> Vec<usize> {
        let mut row = Vec::new();
        let mut step = to;
        while step != from {
            row.push(step);
            step = self.all[step].parent;
        }
        row.reverse();
        row
    }

    /// y = a + b: a residual block, whose body is the longer branch.
    pub(super) fn sum(&mut self, a: usize, b: usize) -> Result<usize, String> {
        if a == b {
            return Ok(self.scale(a, vec![2.0], vec![0.0]));
        }
        let from = self.fork(&[a, b]);
        let is_longer = |a: usize, b: usize| self.between(from, a).len() >= self.between(from, b).len();
        let values = if is_longer(a, b) { [a, b] } else { [b, a] };
        self.join(Join::Add, &values)
    }

    /// Values one after the other. Where the first of them are what was joined before, that is taken: networks with dense
    /// connections join all that they have computed, again and again.
    pub(super) fn concat(&mut self, values: &[usize]) -> Result<usize, String> {
        let known = (self.joined.iter().rev()).find(|(before, _)| values.starts_with(before));
        let step = match known {
            Some((before, joined)) if before.len() == values.len() => return Ok(*joined),
            Some((before, joined)) => self.concat_branches(&[&[*joined], &values[before.len()..]].concat())?,
            None => self.concat_branches(values)?,
        };
        self.joined.push((values.to_vec(), step));
        Ok(step)
    }

    /// Values one after the other, where those that have more in common than the others are joined first: exporters make one node
    /// of a concatenation within another.
    fn concat_branches(&mut self, values: &[usize]) -> Result<usize, String> {
        let from = self.fork(values);
        let branch = |&value: &usize| self.between(from, value).first().copied();
        let together = |a: &usize, b: &usize| branch(a).is_some() && branch(a) == branch(b);
        let groups: Vec<Vec<usize>> = values.chunk_by(together).map(<[usize]>::to_vec).collect();
        let mut joined = Vec::with_capacity(groups.len());
        for group in groups {
            joined.push(match group[..] {
                [value] => value,
                _ => self.concat_branches(&group)?,
            });
        }
        self.join(Join::Concat, &joined)
    }

    /// A block whose branches give these values; they begin where the values part.
    pub(super) fn join(&mut self, join: Join, values: &[usize]) -> Result<usize, String> {
        let from = self.fork(values);
        let rows: Vec<_> = values.iter().map(|&value| self.between(from, value)).collect();
        let inner = rows.iter().flatten().map(|&step| self.all[step].nesting).max();
        let nesting = 1 + inner.unwrap_or(0);
        if nesting > MOST_NESTED {
            return Err(format!(
                "it ends a block in which more than {MOST_NESTED} others are, one in another"
            ));
        }
        let shapes: Vec<Shape> = values.iter().map(|&value| self.output(value).clone()).collect();
        let output = join.output(&shapes).map_err(|error| error.to_string())?;
        let branches = rows.iter().map(|row| self.take(row)).collect::<Result<Vec<_>, _>>()?;
        let without_layers = branches.iter().filter(|branch| branch.is_empty()).count();
        if join != Join::Concat && without_layers > 1 {
            return Err("it combines a value with itself".into());
        }
        let step = self.push_to(from, Kind::Block { join, branches }, output);
        self.all[step].nesting = nesting;
        Ok(step)
    }

    /// Takes a row of steps and makes layers of them.
    pub(super) fn take(&mut self, row: &[usize]) -> Result<Vec<Part>, String> {
        let mut parts = Vec::new();
        let mut waiting: Option<Waiting> = None;
        for &i in row {
            let input = self.output(self.all[i].parent).clone();
            let step = &mut self.all[i];
            let unfinished = |what: &str| format!("{}: {what}", step.label);
            let kind = match (waiting.take(), std::mem::replace(&mut step.kind, Kind::Taken)) {
                (Some(Waiting::Linear(mut linear)), Kind::Scale { scale, shift })
                    if [&scale, &shift]
                        .iter()
                        .all(|values| [1, linear.units].contains(&values.len())) =>
                {
                    linear.scale(&scale, &shift);
                    Kind::Linear(linear)
                }
                (Some(Waiting::Scale { scale, shift, .. }), Kind::Linear(mut linear)) if linear.conv.is_none() => {
                    linear.scale_inputs(&scale, &shift);
                    Kind::Linear(linear)
                }
                (before, kind) => {
                    before.into_iter().for_each(|waiting| waiting.finish(&mut parts));
                    kind
                }
            };
            match kind {
                Kind::Linear(linear) => waiting = Some(Waiting::Linear(linear)),
                Kind::Layer { layer, tensors } => parts.push(Part::Layer { layer, tensors }),
                Kind::Block { join, branches } => parts.push(Part::Block { join, branches }),
                Kind::Scale { scale, shift } => waiting = Some(Waiting::Scale { scale, shift, input }),
                Kind::Pair if Some(&i) == row.last() => {}
                Kind::Pair => return Err(unfinished("nothing can follow the probabilities of two classes")),
                Kind::Erf => return Err(unfinished("there is a layer for it only as a part of GELU")),
                Kind::Cube | Kind::CubicSum => {
                    return Err(unfinished(
                        "there is a layer for it only as a part of GELU's approximation",
                    ));
                }
                Kind::Above(_) => return Err(unfinished("there is a layer for it only as a part of softplus")),
                Kind::Input | Kind::Taken => {
                    return Err(unfinished(
                        "what it gives is used inside and outside of a block: only blocks whose branches part and are joined again can be imported",
                    ));
                }
            }
        }
        waiting.into_iter().for_each(|waiting| waiting.finish(&mut parts));
        Ok(parts)
    }
}

/// What may still become one with what follows it in a row.
enum Waiting {
    Linear(Linear),
    Scale {
        scale: Vec<Float>,
        shift: Vec<Float>,
        input: Shape,
    },
}

impl Waiting {
    fn finish(self, parts: &mut Vec<Part>) {
        match self {
            Waiting::Linear(linear) => parts.push(linear.part()),
            Waiting::Scale { scale, shift, input } => scaling(&input, scale, shift, parts),
        }
    }
}

/// The number of a list, or the only one.
pub(super) fn of(values: &[Float], i: usize) -> Float {
    if values.len() == 1 { values[0] } else { values[i] }
}

/// Combines two lists, of which one may be a single number for all.
fn combine(a: &[Float], b: &[Float], with: impl Fn(Float, Float) -> Float) -> Vec<Float> {
    (0..a.len().max(b.len())).map(|i| with(of(a, i), of(b, i))).collect()
}

/// y = scale · x + shift as a layer that is trained as such: a convolution with a kernel of one pixel and a group for each
/// feature. Nothing, if the factors are 1 but for their rounding.
fn scaling(input: &Shape, scale: Vec<Float>, shift: Vec<Float>, parts: &mut Vec<Part>) {
    if scale.iter().all(|scale| (scale - 1.0).abs() < 1e-6) && shift.iter().all(|&shift| shift == 0.0) {
        return;
    }
    let features = scale.len().max(shift.len());
    let all = combine(&scale, &vec![0.0; features], |scale, _| scale);
    let shift = combine(&shift, &vec![0.0; features], |shift, _| shift);
    let image = Shape::from([features, input.size() / features, 1]);
    // An image with a number for each channel is one already.
    let as_it_is = input.image().is_some_and(|(channels, ..)| channels == features);
    if !as_it_is {
        parts.push(Part::new(Reshape::new(&image), vec![]));
    }
    let tensors = vec![("weight", all), ("bias", shift)];
    parts.push(Part::new(Conv2d::new(features, 1).groups(features), tensors));
    if !as_it_is {
        parts.push(Part::new(Reshape::new(input), vec![]));
    }
}
