"""Ten training steps of the report's two networks, from parameters and images that a formula gives.

The networks are too large to commit. Every number of a run follows from SplitMix64's finalizer (Steele, Lea and
Flood, 2014):

    mix(x):  z = x + 0x9e3779b97f4a7c15
             z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9
             z = (z ^ (z >> 27)) * 0x94d049bb133111eb
             z ^ (z >> 31)                                (all modulo 2^64)

    draw(stream, i) = mix(stream * 2^32 + i) >> 48        (an integer in [0, 2^16))

    parameter tensor p, value i (row-major, in PyTorch's layout, in PyTorch's order):
        (draw(p, i) / 2^15 - 1) * scale                   (scale: a power of two, given with the tensor)
    image n, pixel i:  max(draw(100, n * 784 + i) / 2^15 - 1, 0)
    class of image n:  draw(101, n) mod 10

All are exact in f32. Step s trains on images s * batch to (s + 1) * batch.
"""

import torch
from torch import nn, optim
from torch.nn import functional as F

from common import flat, number, write

IMAGES, CLASSES = 100, 101
STEPS = 10
SAMPLED = 24


def draws(stream, start, count):
    """draw(stream, i) for `count` values of i. torch's integers are signed: shifts are made logical by a mask."""
    wrap = lambda v: v - 2**64 if v >= 2**63 else v
    shift = lambda z, n: (z >> n) & (2 ** (64 - n) - 1)
    z = torch.arange(start, start + count, dtype=torch.int64) + (stream << 32) + wrap(0x9E3779B97F4A7C15)
    z = (z ^ shift(z, 30)) * wrap(0xBF58476D1CE4E5B9)
    z = (z ^ shift(z, 27)) * wrap(0x94D049BB133111EB)
    return shift(z ^ shift(z, 31), 48)


def signed(stream, start, count):
    """draw / 2^15 - 1, in [-1, 1)."""
    return draws(stream, start, count).double() / 2**15 - 1


def batch(step, samples):
    """The images and classes of a step."""
    images = signed(IMAGES, step * samples * 784, samples * 784).clamp(min=0).reshape(samples, 784)
    return images, draws(CLASSES, step * samples, samples) % 10


def mlp():
    return nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))


def cnn():
    return nn.Sequential(
        nn.Unflatten(1, (1, 28, 28)),
        nn.Conv2d(1, 5, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(845, 100),
        nn.ReLU(),
        nn.Linear(100, 10),
    )


def scale(parameter):
    """The largest power of two within He's uniform limit √(6 / fan in), for a weight; 1/32 for a bias."""
    if parameter.dim() == 1:
        return 2.0**-5
    limit = (6 / parameter[0].numel()) ** 0.5
    power = 1.0
    while power > limit:
        power /= 2
    return power


def case(name, network, samples, kind, learning_rate, dtype=torch.float64):
    """Trains ten steps."""
    parameters = list(network.named_parameters())
    for i, (_, p) in enumerate(parameters):
        p.data = (signed(i, 0, p.numel()) * scale(p)).reshape(p.shape)
    network.to(dtype)
    make = {"sgd": optim.SGD, "adam": optim.Adam}[kind]
    optimizer = make(network.parameters(), lr=learning_rate)
    losses = []
    for step in range(STEPS):
        x, classes = batch(step, samples)
        optimizer.zero_grad()
        loss = F.cross_entropy(network(x.to(dtype)), classes)
        loss.backward()
        optimizer.step()
        losses.append(number(loss.item()))
    tensors = []
    for name_, p in parameters:
        values = p.detach().reshape(-1)
        at = sorted({k * (len(values) - 1) // (SAMPLED - 1) for k in range(SAMPLED)})
        tensors.append(
            {
                "name": name_,
                "shape": list(p.shape),
                "scale": scale(p),
                "sum": number(values.sum().item()),
                "norm": number(values.norm().item()),
                "at": at,
                "values": flat(values[at]),
            }
        )
    return {
        "name": name,
        "batch": samples,
        "optimizer": kind,
        "learning_rate": learning_rate,
        "losses": losses,
        "parameters": tensors,
    }


def cases(dtype=torch.float64):
    return [
        case("mlp, sgd", mlp(), 100, "sgd", 0.04, dtype),
        case("mlp, adam", mlp(), 100, "adam", 0.001, dtype),
        case("cnn, sgd", cnn(), 128, "sgd", 0.01, dtype),
        case("cnn, adam", cnn(), 128, "adam", 0.001, dtype),
    ]


def generate():
    write("training", {"training": cases()})
