//! Networks of Gradus as ONNX files, and ONNX files as networks.
//!
//! [ONNX](https://onnx.ai) is a file format for trained networks that most frameworks write and most runtimes read: a graph of
//! nodes, each with an operator that is defined by the format. [`export`] writes such a file from any network of built-in
//! layers, for use with onnxruntime and others; [`import`] makes a network of a file from PyTorch, Keras or scikit-learn, which
//! can be evaluated here and trained further.
//!
//! ```
//! use gradus::prelude::*;
//! use gradus_onnx::{Export, export, import};
//!
//! let network = Sequential::new([1, 8, 8])
//!     .layer(Conv2d::new(4, 3))
//!     .layer(Relu)
//!     .layer(Flatten)
//!     .layer(Dense::new(10))
//!     .layer(Softmax)
//!     .build(42)?;
//! let file = export(&network, &Export::default())?;
//! let again = import(&file)?.network;
//! assert_eq!(again.parameter_count(), network.parameter_count());
//! # Ok::<(), gradus::Error>(())
//! ```
//!
//! # Export
//!
//! Files use version 17 of ONNX's operators ([`OPSET`]), and any number of samples.
//!
//! | layer | operators |
//! | --- | --- |
//! | dense | Gemm, the weight as units × inputs |
//! | conv2d | Conv |
//! | batch_norm | BatchNormalization, with the running statistics |
//! | layer_norm | LayerNormalization |
//! | group_norm | InstanceNormalization; between Reshape, and with Mul and Add, where the groups are not channels |
//! | zero_pad2d | Pad |
//! | crop2d | Slice |
//! | upsample2d | Resize |
//! | maxout | Reshape, MaxPool, Reshape |
//! | max_pool2d, avg_pool2d | MaxPool, AveragePool |
//! | global_avg_pool2d | GlobalAveragePool, Flatten |
//! | flatten, reshape | Flatten, Reshape |
//! | dropout, gaussian_noise | none: at inference they do nothing |
//! | prelu | PRelu |
//! | log_softmax | LogSoftmax |
//! | softmax | Softmax; left out at the end with [`Export::logits`] |
//! | relu, leaky_relu, elu, softplus, sigmoid, tanh, clamp, hard_sigmoid, hard_swish | Relu, LeakyRelu, Elu, Softplus, Sigmoid, Tanh, Clip, HardSigmoid, HardSwish |
//! | silu | Sigmoid, Mul |
//! | mish | Softplus, Tanh, Mul: the operator Mish came with a later version |
//! | selu | Elu, Mul: runtimes lack Selu |
//! | gelu | Div, Erf, Add, Mul, Mul: the exact function |
//! | gelu_tanh | Pow, Mul, Add, Mul, Tanh, Add, Mul, Mul |
//! | residual, concat, multiply | Add; Concat; Mul, of a gate after Reshape |
//! | with [`Export::bytes`] | Cast, Mul and, where there is a shift, Add before all |
//! | with [`Export::inputs`] | Sub, Div before all: the graph takes numbers as they are measured; in double precision, and Cast, where it needs to |
//! | with [`Export::outputs`] | Mul, Add after all: the graph gives values in their own units; Cast before, in double precision |
//!
//! Padding is always given in numbers. Parameters are in single precision, and have the names of the network's own files.
//!
//! # Import
//!
//! Versions 7 to 28 of the operators, in graphs with one input, whose dimensions beside the number of samples are fixed.
//!
//! | operators | become |
//! | --- | --- |
//! | Gemm; MatMul and Add | dense |
//! | Conv (two-dimensional) | conv2d, with any padding, stride, dilation and groups |
//! | BatchNormalization | batch_norm |
//! | LayerNormalization of whole samples | layer_norm |
//! | InstanceNormalization, GroupNormalization (of version 21) | group_norm |
//! | Pad of images, with zeros; with negative numbers | zero_pad2d; crop2d |
//! | Slice of the rows and columns of images, by steps of 1 | crop2d |
//! | Resize, Upsample of images by whole factors: nearest; linear, between the centers of pixels | upsample2d |
//! | MaxPool, AveragePool | max_pool2d, avg_pool2d |
//! | GlobalAveragePool, ReduceMean over all pixels | global_avg_pool2d |
//! | GlobalMaxPool | max_pool2d |
//! | Relu, LeakyRelu, Elu, Softplus, Sigmoid, Tanh, Clip, HardSigmoid (with the slope 1/6), HardSwish | the activations |
//! | Selu, or its Elu and Mul | selu |
//! | Mul of x and its sigmoid | silu |
//! | Mish, or Mul of x and the tanh of its softplus | mish |
//! | Gelu (exact), or its formula with Erf | gelu, of whatever is scaled and shifted before it |
//! | Gelu (approximate), or its formula with Pow and Tanh | gelu_tanh, likewise |
//! | PRelu, with a slope for each feature, or one for all | prelu |
//! | Softmax, LogSoftmax of flat samples | softmax, log_softmax |
//! | Dropout | dropout |
//! | Flatten, Reshape, Squeeze, Unsqueeze | flatten and reshape where they are needed |
//! | Transpose | nothing: see below |
//! | Add or Mul of two values, of which one may have a number for each channel; Concat along the channels | residual, multiply, concat: blocks from where the values part |
//! | Add, Sub, Mul, Div, Neg, and scikit-learn's Scaler, with a number for each feature, or one for all | part of the dense layer or convolution before it, or of the dense layer after it; else a 1×1 convolution with as many groups as channels |
//! | Greater and Where in PyTorch's softplus | softplus |
//! | Concat and Sub in scikit-learn's probabilities of two classes | nothing: [`Imported::two_classes`] |
//! | Cast between types of floats, or from bytes at the input; Identity | nothing |
//! | Constant, Shape, Gather, Slice, Concat, Sqrt and those above, of constants | computed when the file is read |
//!
//! Anything else is refused, by the name of the node and its operator; so are recurrent networks, several inputs, and values in a
//! second file. What the output does not depend on is not looked at: of a classifier of scikit-learn the
//! labels.
//!
//! **Transpositions.** Keras puts the channels of an image last, and its exporter puts nodes between that turn its axes. None of
//! them is computed: the network takes images with their channels first ([`Imported::channels_last`]), and where turned values
//! are put into a row before a dense layer, the rows of its weight are put into that order. Where no node shows the order of the
//! axes, as in a network that begins with Flatten, it is that of Keras if tf2onnx wrote the file, and that of PyTorch if
//! PyTorch or this library did; else channels are last if the last axis is 1 or 3 and the first is not.
//! [`Imported::channels_guessed`] says so, and [`Import::channels_last`] decides.
//!
//! **Scaling.** The nodes that [`Export::inputs`] and [`Export::outputs`] have put into a file are not made layers: the network
//! takes and gives scaled numbers as it did, and [`Imported::inputs`] and [`Imported::outputs`] are what they scale by.
//!
//! **Training further.** A batch_norm of PyTorch is one here. The exporter of Keras makes factors of its statistics, and they
//! come back as factors, trained as such.
#![forbid(unsafe_code)]

mod export;
mod functions;
mod import;
mod model;
mod wire;

pub use export::{Export, INPUT, Normalization, OPSET, OUTPUT, Scaling, export};
pub use import::{Import, Imported, NEWEST_OPSET, OLDEST_OPSET, import, import_with};
