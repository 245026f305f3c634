"""Losses: the mean over a batch, the loss of every sample, and the gradient of the mean."""

import torch
from torch.nn import functional as F

from common import Draw, flat, number, write


def case(name, kind, settings, y, target, loss):
    """`loss(y, target, reduction)` is PyTorch's; its mean must be the mean over the samples of the samples' losses."""
    y = y.requires_grad_()
    mean = loss(y, target, "mean")
    mean.backward()
    each = loss(y, target, "none").detach().reshape(len(y), -1).mean(1)
    assert torch.isclose(each.mean(), mean), name
    whole = target.dtype == torch.int64
    return {
        "name": name,
        "kind": kind,
        "settings": settings,
        "samples": len(y),
        "outputs": y.shape[1],
        "y": flat(y),
        "classes" if whole else "values": flat(target),
        "losses": flat(each),
        "loss": number(mean.item()),
        "dy": flat(y.grad),
    }


def probabilities(draw, *shape):
    """Rows of positive multiples of 1/64 whose sum is 1."""
    rows = torch.zeros(shape)
    for row in rows:
        row += 1 / 64
        for _ in range(64 - shape[1]):
            row[int(draw.random.random() * shape[1])] += 1 / 64
    return rows


def cross_entropy(smoothing=0.0):
    return lambda y, t, reduction: F.cross_entropy(y, t, reduction=reduction, label_smoothing=smoothing)


def nll(y, t, reduction):
    """The negative log likelihood of probabilities, not of their logarithms as PyTorch's has it."""
    return F.nll_loss(y.log(), t, reduction=reduction)


def nll_of_distributions(y, t, reduction):
    """-Σ t log y."""
    each = -(t * y.log()).sum(1)
    return each.mean() if reduction == "mean" else each


def plain(function, **settings):
    return lambda y, t, reduction: function(y, t, reduction=reduction, **settings)


def generate():
    draw = Draw("losses")
    n, k = 6, 5
    logits = lambda: draw.tensor(n, k, low=-4.0, high=4.0)
    # Softmax of these overflows or vanishes unless it is taken relative to the largest.
    large = draw.tensor(n, k, low=-1000.0, high=1000.0, step=1 / 4)
    bits = lambda: draw.tensor(n, k, low=0.0, high=2.0, step=1.0)
    shares = lambda: draw.tensor(n, k, low=1 / 64, high=1.0)
    classes = lambda: draw.classes(n, k)
    values = lambda: draw.tensor(n, k)
    smoothed = {"label_smoothing": 0.1}
    write(
        "losses",
        {
            "losses": [
                case("cross entropy, classes", "cross_entropy", {}, logits(), classes(), cross_entropy()),
                case("cross entropy, large logits", "cross_entropy", {}, large, classes(), cross_entropy()),
                case(
                    "cross entropy, probabilities",
                    "cross_entropy",
                    {},
                    logits(),
                    probabilities(draw, n, k),
                    cross_entropy(),
                ),
                case("cross entropy, smoothed", "cross_entropy", smoothed, logits(), classes(), cross_entropy(0.1)),
                case(
                    "cross entropy, probabilities, smoothed",
                    "cross_entropy",
                    smoothed,
                    logits(),
                    probabilities(draw, n, k),
                    cross_entropy(0.1),
                ),
                case("negative log likelihood, classes", "nll", {}, probabilities(draw, n, k), classes(), nll),
                case(
                    "negative log likelihood, probabilities",
                    "nll",
                    {},
                    probabilities(draw, n, k),
                    probabilities(draw, n, k),
                    nll_of_distributions,
                ),
                case("binary cross entropy", "bce", {}, shares(), bits(), plain(F.binary_cross_entropy)),
                case("binary cross entropy, shares", "bce", {}, shares(), shares(), plain(F.binary_cross_entropy)),
                case(
                    "binary cross entropy with logits",
                    "bce_with_logits",
                    {},
                    logits(),
                    bits(),
                    plain(F.binary_cross_entropy_with_logits),
                ),
                case(
                    "binary cross entropy with large logits",
                    "bce_with_logits",
                    {},
                    draw.tensor(n, k, low=-200.0, high=200.0, step=1 / 4),
                    shares(),
                    plain(F.binary_cross_entropy_with_logits),
                ),
                case("mean squared error", "mse", {}, values(), values(), plain(F.mse_loss)),
                case("mean absolute error", "mae", {}, values(), values(), plain(F.l1_loss)),
                case("huber", "huber", {"delta": 1.0}, values(), values(), plain(F.huber_loss, delta=1.0)),
                case("huber, delta 0.5", "huber", {"delta": 0.5}, values(), values(), plain(F.huber_loss, delta=0.5)),
            ]
        },
    )
