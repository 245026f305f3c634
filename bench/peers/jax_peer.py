"""JAX. Variants: scan (a whole epoch in one lax.scan), step (each step jitted).

Images are channels-last, XLA's natural layout; pooling is a maximum over a reshaped array, whose gradient is much faster on a
CPU than reduce_window's; the training state is donated."""

import functools
import os

import numpy as np

from common import CHECKED_IMAGES, Work

work = Work("jax")
os.environ["JAX_PLATFORMS"] = "cpu"
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: work.threads])

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
from jax import lax  # noqa: E402


def dense(p, name, x):
    return x @ p[f"{name}.weight"] + p[f"{name}.bias"]


def convolution(p, name, x, stride=1, padding=0):
    y = lax.conv_general_dilated(
        x, p[f"{name}.weight"], (stride, stride), [(padding, padding)] * 2, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return y + p[f"{name}.bias"] if f"{name}.bias" in p else y


def pool(x):
    n, h, w, c = x.shape
    return x.reshape(n, h // 2, 2, w // 2, 2, c).max((2, 4))


def norm(p, name, x):
    """Batch normalization in training. The running statistics are a result too, so that they are computed."""
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    scale = p[f"{name}.weight"] * lax.rsqrt(variance + 1e-5)
    return (x - mean) * scale + p[f"{name}.bias"], [mean, variance]


def flat(x):
    return x.reshape(len(x), -1)


def mlp(p, x):
    x = jax.nn.relu(dense(p, "1", x))
    return dense(p, "5", jax.nn.relu(dense(p, "3", x))), []


def cnn(p, x):
    x = pool(jax.nn.relu(convolution(p, "0", x)))
    return dense(p, "6", jax.nn.relu(dense(p, "4", flat(x)))), []


def lenet(p, x):
    x = pool(jax.nn.relu(convolution(p, "0", x)))
    x = pool(jax.nn.relu(convolution(p, "3", x)))
    x = jax.nn.relu(dense(p, "7", flat(x)))
    return dense(p, "11", jax.nn.relu(dense(p, "9", x))), []


def resnet8(p, x):
    x, statistics = norm(p, "1", convolution(p, "0", x, padding=1))
    x = jax.nn.relu(x)
    for name, stride in [("3", 1), ("5", 2), ("7", 2)]:
        y, first = norm(p, f"{name}.body.1", convolution(p, f"{name}.body.0", x, stride, 1))
        y, second = norm(p, f"{name}.body.4", convolution(p, f"{name}.body.3", jax.nn.relu(y), 1, 1))
        if f"{name}.shortcut.0.weight" in p:
            x = convolution(p, f"{name}.shortcut.0", x, stride)
        x = jax.nn.relu(x + y)
        statistics += first + second
    return dense(p, "10", x.mean((1, 2))), statistics


def small(p, x):
    x = jnp.tanh(dense(p, "0", x))
    return dense(p, "4", jnp.tanh(dense(p, "2", x))), []


forward = {"mlp": mlp, "cnn": cnn, "lenet": lenet, "resnet8": resnet8, "small": small}[work.network]


def parameters():
    """The weights in JAX's layouts: dense inputs x units, convolutions height x width x inputs x channels."""
    # The dense layer after the last image: its inputs are channels x height x width in the file.
    after_image = {"cnn": ("4.weight", 13), "lenet": ("7.weight", 4)}.get(work.network, ("", 0))
    result = {}
    for name, w in work.weights().items():
        if name == after_image[0]:
            side = after_image[1]
            w = w.reshape(len(w), -1, side, side).transpose(2, 3, 1, 0).reshape(-1, len(w))
        elif w.ndim == 4:
            w = w.transpose(2, 3, 1, 0)
        elif w.ndim == 2:
            w = w.T
        result[name] = jnp.array(w)
    return result


def loss(p, x, y):
    logits, statistics = forward(p, x)
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1).mean(), statistics


def initial():
    """Parameters, first and second moments (or velocities), step, running statistics."""
    p = parameters()
    zeros = lambda: jax.tree.map(jnp.zeros_like, p) if work.momentum != 0.0 else {}
    running = [jnp.zeros(n) for n in [16] * 6 + [32] * 4 + [64] * 4] if work.network == "resnet8" else []
    return p, zeros(), zeros() if work.momentum is None else {}, jnp.int32(0), running


def step(state, x, y):
    p, m, v, t, running = state
    (value, statistics), g = jax.value_and_grad(loss, has_aux=True)(p, x, y)
    t = t + 1
    running = [0.9 * old + 0.1 * new for old, new in zip(running, statistics)]
    if work.momentum is None:
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        a, b = 1 - 0.9**t, 1 - 0.999**t
        p = jax.tree.map(lambda p, m, v: p - work.rate * (m / a) / (jnp.sqrt(v / b) + 1e-8), p, m, v)
    elif work.momentum:
        m = jax.tree.map(lambda m, g: work.momentum * m + g, m, g)
        p = jax.tree.map(lambda p, m: p - work.rate * m, p, m)
    else:
        p = jax.tree.map(lambda p, g: p - work.rate * g, p, g)
    return (p, m, v, t, running), value


def arrays():
    x, y = work.samples()
    if x.ndim == 4:
        x = x.transpose(0, 2, 3, 1)
    return jnp.array(x), jnp.array(y.astype(np.int32))


def train():
    x, y = arrays()
    take = lambda state, x, y, indices: step(state, x[indices], y[indices])
    jitted = jax.jit(take, donate_argnums=0)

    @functools.partial(jax.jit, donate_argnums=0)
    def scan(state, x, y, order):
        return lax.scan(lambda state, indices: take(state, x, y, indices), state, order)

    checked = jnp.array(work.checked(len(y)).astype(np.int32))
    if work.variant == "scan":
        work.report["losses"] = scan(initial(), x, y, checked)[1].tolist()
    else:
        state, losses = initial(), []
        for indices in checked:
            state, value = jitted(state, x, y, indices)
            losses.append(value.item())
        work.report["losses"] = losses
    now = [initial()]

    def wait():
        jax.block_until_ready(now[0])

    def one(indices):
        now[0], _ = jitted(now[0], x, y, indices.astype(np.int32))

    def whole(order):
        full = len(order) // work.batch * work.batch
        batches = order[:full].reshape(-1, work.batch).astype(np.int32)
        now[0], _ = scan(now[0], x, y, batches)
        if full < len(order):
            one(order[full:])

    if not work.small:
        work.epochs(len(y), one, wait, whole if work.variant == "scan" else None)
    elif work.variant == "scan":
        x, y = x[checked[0]], y[checked[0]]

        @functools.partial(jax.jit, donate_argnums=0, static_argnums=3)
        def repeat(state, x, y, count):
            return lax.scan(lambda state, _: step(state, x, y), state, length=count)

        def many():
            now[0], _ = repeat(now[0], x, y, 10_000)

        work.steps(many, wait, at_once=10_000)
    else:
        x, y = x[checked[0]], y[checked[0]]
        plain = jax.jit(step, donate_argnums=0)

        def again():
            now[0], _ = plain(now[0], x, y)

        work.steps(again, wait)


def predict():
    x, _ = arrays()
    p = parameters()
    run = jax.jit(lambda x: jax.nn.softmax(forward(p, x)[0]))
    work.report["outputs"] = run(x[:CHECKED_IMAGES]).flatten().tolist()
    images = np.asarray(x)
    if work.batch == 1:
        work.calls(lambda i: run(images[i : i + 1]).block_until_ready())
    else:
        work.passes(lambda first, end: run(images[first:end]).block_until_ready())


(predict if work.predicts else train)()
work.print(jax.__version__)
