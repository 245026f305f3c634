"""Keras on TensorFlow: `fit`. Variants: graph, xla (jit_compile)."""

import os
import time

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from keras import layers  # noqa: E402

from common import CHECKED_IMAGES, Work  # noqa: E402

work = Work("keras")
tf.config.threading.set_intra_op_parallelism_threads(work.threads)
tf.config.threading.set_inter_op_parallelism_threads(work.threads)


def convolution(x, channels, kernel, stride=1, padding=0, bias=False):
    """TensorFlow's own padding is uneven where the stride is 2: ours is a layer before."""
    same = padding and stride == 1
    if padding and not same:
        x = layers.ZeroPadding2D(padding)(x)
    return layers.Conv2D(channels, kernel, stride, padding="same" if same else "valid", use_bias=bias)(x)


def norm(x):
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)


def block(x, channels, stride):
    y = layers.ReLU()(norm(convolution(x, channels, 3, stride, 1)))
    y = norm(convolution(y, channels, 3, 1, 1))
    if stride != 1:
        x = convolution(x, channels, 1, stride)
    return layers.ReLU()(layers.Add()([x, y]))


def resnet8():
    image = keras.Input((32, 32, 3))
    x = layers.ReLU()(norm(convolution(image, 16, 3, 1, 1)))
    for channels, stride in [(16, 1), (32, 2), (64, 2)]:
        x = block(x, channels, stride)
    return keras.Model(image, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))


def network():
    if work.network == "resnet8":
        return resnet8()
    stacks = {
        "mlp": [keras.Input((784,)), layers.Dense(256, "relu"), layers.Dense(256, "relu"), layers.Dense(10)],
        "cnn": [
            *(keras.Input((28, 28, 1)), layers.Conv2D(5, 3, activation="relu"), layers.MaxPooling2D(2)),
            *(layers.Flatten(), layers.Dense(100, "relu"), layers.Dense(10)),
        ],
        "lenet": [
            *(keras.Input((28, 28, 1)), layers.Conv2D(6, 5, activation="relu"), layers.MaxPooling2D(2)),
            *(layers.Conv2D(16, 5, activation="relu"), layers.MaxPooling2D(2)),
            *(layers.Flatten(), layers.Dense(120, "relu"), layers.Dense(84, "relu"), layers.Dense(10)),
        ],
        "small": [keras.Input((4,)), layers.Dense(16, "tanh"), layers.Dense(16, "tanh"), layers.Dense(2)],
    }
    return keras.Sequential(stacks[work.network])


def set_weights(model):
    """The weights in TensorFlow's layouts, in the order of the layers: a block's body comes before its shortcut in both."""
    after_image = {"cnn": ("4.weight", 13), "lenet": ("7.weight", 4)}.get(work.network, ("", 0))
    given = work.weights()
    names = sorted({name.rsplit(".", 1)[0] for name in given}, key=lambda name: [int(p) if p.isdigit() else p for p in name.split(".")])
    own = [layer for layer in model.layers if layer.weights]
    kinds = lambda kind: iter([layer for layer in own if isinstance(layer, kind)])
    sources = {layers.BatchNormalization: kinds(layers.BatchNormalization), layers.Dense: kinds(layers.Dense)}
    convolutions = [layer for layer in own if isinstance(layer, layers.Conv2D)]
    for name in names:
        w = given[f"{name}.weight"]
        if w.ndim == 1:
            layer, values = next(sources[layers.BatchNormalization]), [w, given[f"{name}.bias"]]
            values += [np.zeros_like(w), np.ones_like(w)]
        elif w.ndim == 2:
            layer = next(sources[layers.Dense])
            if name + ".weight" == after_image[0]:
                side = after_image[1]
                w = w.reshape(len(w), -1, side, side).transpose(2, 3, 1, 0).reshape(-1, len(w)).T
            values = [w.T, given[f"{name}.bias"]]
        else:
            w = w.transpose(2, 3, 1, 0)
            layer = next(layer for layer in convolutions if tuple(layer.kernel.shape) == w.shape)
            convolutions.remove(layer)
            values = [w] + ([given[f"{name}.bias"]] if f"{name}.bias" in given else [])
        layer.set_weights(values)


def arrays():
    x, y = work.samples()
    return (x.transpose(0, 2, 3, 1).copy() if x.ndim == 4 else x), y


def compiled():
    model = network()
    set_weights(model)
    if work.momentum is None:
        # Keras adds epsilon to the second moment before its bias is corrected, where it weighs more, at the 20th step 7 times.
        optimizer = keras.optimizers.Adam(work.rate, epsilon=1e-9)
    else:
        optimizer = keras.optimizers.SGD(work.rate, work.momentum)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, jit_compile=work.variant == "xla")
    return model


class Clock(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.times = []

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.times.append(time.perf_counter() - self.start)
        if sum(self.times[1:]) > work.limit:
            self.model.stop_training = True


def train():
    x, y = arrays()
    model = compiled()
    losses = []
    checked = work.checked(len(y))
    for indices in checked:
        model.reset_metrics()
        losses.append(float(model.train_on_batch(x[indices], y[indices])))
    work.report["losses"] = losses
    model = compiled()
    if work.small:
        x, y = x[checked[0]], y[checked[0]]
        repeated = tf.data.Dataset.from_tensors((x, y)).cache().repeat(2000)
        clock = Clock()
        model.fit(repeated, epochs=work.repeats + 1, verbose=0, callbacks=[clock])
        work.report["times"] = [seconds / 2000 for seconds in clock.times[1:]]
    else:
        clock = Clock()
        model.fit(x, y, work.batch, epochs=work.repeats + 1, verbose=0, callbacks=[clock])
        work.report["times"] = clock.times[1:]


def predict():
    x, _ = arrays()
    model = network()
    set_weights(model)
    run = tf.function(lambda x: tf.nn.softmax(model(x, training=False)), jit_compile=work.variant == "xla", reduce_retracing=False)
    work.report["outputs"] = run(tf.constant(x[:CHECKED_IMAGES])).numpy().flatten().tolist()
    if work.batch == 1:
        work.calls(lambda i: run(tf.constant(x[i : i + 1])).numpy())
    else:
        work.passes(lambda first, end: run(tf.constant(x[first:end])).numpy())


(predict if work.predicts else train)()
work.print(f"{keras.__version__} (TensorFlow {tf.__version__})")
