//! A network that can be used and trained.

use std::collections::BTreeMap;
use std::sync::Arc;

use gradus_kernels::Buffer;
use ndarray::{Array2, ArrayD, ArrayViewD, Axis, CowArray, Dimension, IxDyn};

use crate::engine::Inference;
use crate::evaluation::default_threads;
use crate::graph::Graph;
use crate::layer::OutputKind;
use crate::metric::predicted_class;
use crate::random::{self, Purpose};
use crate::{Error, Float, Result, Shape};

/// A network: its layers, and the values of its parameters and state.
///
/// It is made by [`Sequential::build`](crate::Sequential::build) or [`Network::load`], trained by [`Fit`](crate::Fit), and used through
/// [`predict`](Network::predict) and [`evaluate`](Network::evaluate). Using it needs only `&self`: threads can share it.
#[derive(Debug, Clone)]
pub struct Network {
    pub(crate) graph: Arc<Graph>,
    pub(crate) weights: Weights,
    pub(crate) seed: u64,
    pub(crate) notes: BTreeMap<String, String>,
}

/// All values of a network that training changes: parameters, and state such as running statistics.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Weights {
    pub(crate) parameters: Buffer,
    pub(crate) state: Buffer,
}

/// One parameter tensor of a network.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NamedTensor<'a> {
    /// Its name, `0.weight`: the path of its layer and its name there.
    pub name: String,
    /// Its shape.
    pub shape: Shape,
    /// Its values, row-major.
    pub values: &'a [Float],
}

impl<'a> NamedTensor<'a> {
    /// Its values as an array of its shape.
    pub fn array(&self) -> ArrayViewD<'a, Float> {
        ArrayViewD::from_shape(IxDyn(&self.shape), self.values).expect("as many values as the shape has")
    }
}

impl Weights {
    /// Whether the others are of a network with as many parameters, and as much state.
    pub(crate) fn same_sizes(&self, others: &Weights) -> bool {
        self.parameters.len() == others.parameters.len() && self.state.len() == others.state.len()
    }
}

impl Network {
    pub(crate) fn from_graph(graph: Graph) -> Self {
        let weights = Weights {
            parameters: Buffer::zeros(graph.parameters),
            state: Buffer::zeros(graph.state),
        };
        Network {
            graph: Arc::new(graph),
            weights,
            seed: 0,
            notes: BTreeMap::new(),
        }
    }

    /// Gives all parameters new first values, which follow from `seed`, and resets the state.
    pub fn initialize(&mut self, seed: u64) {
        self.seed = seed;
        for (i, named) in self.graph.named_parameters().enumerate() {
            let mut rng = random::stream(seed, Purpose::Initialize, &[i as u64]);
            let p = named.parameter;
            p.init
                .fill(&p.shape, p.fans, &mut rng, &mut self.weights.parameters[named.range]);
        }
        for (_, state, range) in self.graph.named_state() {
            self.weights.state[range].fill(state.value);
        }
    }

    /// The seed that the parameters' first values came from; training uses it too unless told otherwise.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The shape of one input sample.
    pub fn input_shape(&self) -> &Shape {
        &self.graph.input
    }

    /// The shape of one output sample.
    pub fn output_shape(&self) -> &Shape {
        &self.graph.output
    }

    /// The number of trained values.
    pub fn parameter_count(&self) -> usize {
        self.graph.parameters
    }

    /// Multiplications with an addition in one forward pass of one sample.
    pub fn multiply_adds(&self) -> u64 {
        self.graph.multiply_adds()
    }

    /// Every parameter tensor, in order: names, shapes and values.
    pub fn parameters(&self) -> impl Iterator<Item = NamedTensor<'_>> {
        self.graph.named_parameters().map(|named| NamedTensor {
            name: named.name,
            shape: named.parameter.shape.clone(),
            values: &self.weights.parameters[named.range],
        })
    }

    /// Every tensor of the state (running statistics), in order.
    pub fn state(&self) -> impl Iterator<Item = NamedTensor<'_>> {
        self.graph.named_state().map(|(name, state, range)| NamedTensor {
            name,
            shape: state.shape.clone(),
            values: &self.weights.state[range],
        })
    }

    /// The parameter, or the tensor of the state, of this name.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let network = Sequential::new([2]).layer(Dense::new(3)).build(7)?;
    /// let bias = network.parameter("0.bias")?;
    /// assert_eq!((&bias.shape, bias.values), (&Shape::from(3), &[0.0; 3][..]));
    /// let error = network.parameter("0.beta").unwrap_err().to_string();
    /// assert_eq!(error, "the network has no parameter `0.beta`; it has 0.weight, 0.bias");
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// # Errors
    /// If there is none of this name; the sentence lists the names.
    pub fn parameter(&self, name: &str) -> Result<NamedTensor<'_>> {
        let found = self.parameters().chain(self.state()).find(|tensor| tensor.name == name);
        found.ok_or_else(|| self.unknown(name))
    }

    /// Sets a parameter, or a tensor of the state, to an array of its shape: owned, borrowed or a view, of any memory layout.
    ///
    /// ```
    /// use gradus::{ndarray::array, prelude::*};
    /// let mut network = Sequential::new([2]).layer(Dense::new(3)).build(7)?;
    /// network.set_parameter("0.bias", array![1.0, 2.0, 3.0])?;
    /// assert_eq!(network.parameter("0.bias")?.array(), array![1.0, 2.0, 3.0].into_dyn());
    /// let error = network.set_parameter("0.bias", array![[1.0, 2.0, 3.0]]).unwrap_err().to_string();
    /// assert_eq!(error, "the parameter `0.bias` has the shape 3, got an array of shape 1×3");
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// # Errors
    /// If there is none of this name, or it has another shape.
    pub fn set_parameter<'a, D: Dimension>(
        &mut self,
        name: &str,
        array: impl Into<CowArray<'a, Float, D>>,
    ) -> Result<()> {
        let array = array.into();
        let shape = self.parameter(name)?.shape;
        if array.shape() != &*shape {
            let found = Shape::from(array.shape());
            return Err(Error::invalid(format!(
                "the parameter `{name}` has the shape {shape}, got an array of shape {found}"
            )));
        }
        self.set(name, array.as_standard_layout().as_slice().expect("standard layout"))
    }

    /// Sets the values of one parameter, or of one tensor of the state, in row-major order.
    ///
    /// # Errors
    /// If there is none of this name, or it has another size.
    pub fn set(&mut self, name: &str, values: &[Float]) -> Result<()> {
        let target = self.tensor_mut(name)?;
        if target.len() != values.len() {
            return Err(Error::invalid(format!(
                "the tensor `{name}` has {} values, got {}",
                target.len(),
                values.len()
            )));
        }
        target.copy_from_slice(values);
        Ok(())
    }

    fn tensor_mut(&mut self, name: &str) -> Result<&mut [Float]> {
        if let Some(named) = self.graph.named_parameters().find(|p| p.name == name) {
            return Ok(&mut self.weights.parameters[named.range]);
        }
        if let Some((_, _, range)) = self.graph.named_state().find(|(n, _, _)| n == name) {
            return Ok(&mut self.weights.state[range]);
        }
        Err(self.unknown(name))
    }

    /// That there is no parameter of this name.
    fn unknown(&self, name: &str) -> Error {
        let names: Vec<String> = self
            .parameters()
            .chain(self.state())
            .map(|tensor| tensor.name)
            .collect();
        Error::invalid(format!(
            "the network has no parameter `{name}`; it has {}",
            if names.is_empty() {
                "none".to_string()
            } else {
                names.join(", ")
            }
        ))
    }

    /// The values of all parameters and state, to keep a moment of training.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// Puts back what [`weights`](Network::weights) gave.
    ///
    /// # Errors
    /// If they are of a network with other parameters.
    pub fn set_weights(&mut self, weights: &Weights) -> Result<()> {
        if !weights.same_sizes(&self.weights) {
            return Err(Error::invalid(format!(
                "these weights are of another network: {} parameters, this one has {}",
                weights.parameters.len(),
                self.weights.parameters.len()
            )));
        }
        self.weights.clone_from(weights);
        Ok(())
    }

    /// The outputs for a batch of samples: the first axis counts samples, the rest have the
    /// [input shape](Network::input_shape). The array may be owned, borrowed or a view, of any memory layout.
    ///
    /// It computes on as many of the machine's threads as the samples are worth, with the same bits on any number. A sample alone is
    /// computed on the caller's thread.
    ///
    /// Every call allocates the outputs and, until it returns, memory for up to 128 samples on each thread, and it starts the threads;
    /// of an array that is not in row-major order it makes a copy. A [`Predictor`](crate::Predictor) allocates once for many calls.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// use gradus::ndarray::array;
    ///
    /// let mut network = Sequential::new([2]).layer(Dense::new(1)).build(7)?;
    /// network.set("0.weight", &[2.0, -1.0])?;
    /// network.set("0.bias", &[0.5])?;
    /// let y = network.predict(array![[1.0, 1.0], [0.0, 3.0]])?;
    /// assert_eq!(y, array![[1.5], [-2.5]].into_dyn());
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the samples have another shape.
    #[doc(alias = "feed_forward")]
    #[doc(alias = "forward")]
    pub fn predict<'a, D: Dimension>(&self, x: impl Into<CowArray<'a, Float, D>>) -> Result<ArrayD<Float>> {
        let x = x.into().into_dyn();
        if x.ndim() == 0 || x.shape()[1..] != **self.input_shape() {
            return Err(Error::invalid(format!(
                "the network takes samples of shape {}, got an array of shape {:?}: its first axis must count samples",
                self.input_shape(),
                x.shape()
            )));
        }
        let n = x.len_of(Axis(0));
        let mut inference = Inference::for_one_call(self, n, default_threads)?;
        let x = x.as_standard_layout();
        let y = inference.outputs(self, x.as_slice().expect("standard layout"), n)?;
        let mut shape = vec![n];
        shape.extend_from_slice(self.output_shape());
        Ok(ArrayD::from_shape_vec(IxDyn(&shape), y).expect("one output for each sample"))
    }

    /// The [predicted class](crate::metric::predicted_class) of each sample: of several outputs the largest, of a single
    /// probability whether it is above 0.5; and the output that says so.
    ///
    /// # Errors
    /// As [`predict`](Network::predict); if an output is not a number; and if the network gives a single value that is not a
    /// [probability](Network::output_kind): a logit divides the classes at 0, a value trained on 0 and 1 at 0.5.
    pub fn classify<'a, D: Dimension>(&self, x: impl Into<CowArray<'a, Float, D>>) -> Result<Vec<(usize, Float)>> {
        if self.output_shape().size() == 1 && self.output_kind() == OutputKind::Real {
            return Err(Error::invalid(
                "which class the network's single output stands for is not known, since it is not a probability: end the network \
                 with a sigmoid, or compare what predict gives with 0, if it is a logit, or with 0.5, if it was trained on values 0 \
                 and 1",
            ));
        }
        let y = self.predict(x)?;
        let n = y.len_of(Axis(0));
        let y: Array2<Float> = (y.into_shape_with_order((n, self.output_shape().size()))).expect("contiguous outputs");
        (y.rows().into_iter().enumerate())
            .map(|(i, row)| {
                let row = row.to_slice().expect("contiguous outputs");
                if row.iter().any(|y| y.is_nan()) {
                    return Err(Error::data(format!(
                        "the network's output for sample {i} is not a number, and so no class: a value of the sample or a weight is \
                         not finite, or too large"
                    )));
                }
                let class = predicted_class(row);
                Ok((class, row[class.min(row.len() - 1)]))
            })
            .collect()
    }

    /// Computes everything by the plain loops over one sample from now on, as they are written in the files of the layers, instead of
    /// the fast versions; or no longer. Trainers are made anew then. The outputs have the same bits either way (those of batch normalization in training, and
    /// gradients, are the same up to rounding), but it takes many times as long.
    ///
    /// ```
    /// use gradus::{Float, prelude::*};
    /// let (train, _) = digits::load()?;
    /// let network = Sequential::new([1, 8, 8]).layer(Conv2d::new(3, 3)).layer(Relu).layer(Flatten).layer(Dense::new(10)).build(1)?;
    /// let mut plain = network.clone();
    /// plain.set_reference(true)?;
    /// let x = ndarray::Array4::from_shape_fn((20, 1, 8, 8), |(n, _, i, j)| (n + i * j) as Float / 70.0);
    /// assert_eq!(plain.predict(&x)?, network.predict(&x)?);
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// # Errors
    /// If a layer of one's own binds in another way than before.
    pub fn set_reference(&mut self, reference: bool) -> Result<()> {
        if reference == self.is_reference() {
            return Ok(());
        }
        let graph = self.graph.with_reference(reference)?;
        if (graph.parameters, graph.state) != (self.graph.parameters, self.graph.state) {
            return Err(Error::invalid(
                "a layer has other parameters each time that it is bound",
            ));
        }
        self.graph = Arc::new(graph);
        Ok(())
    }

    /// Whether everything is computed by the plain loops.
    pub fn is_reference(&self) -> bool {
        self.graph.reference
    }
}
