"""Losses: the mean over a batch, the loss of every sample, and the gradient of the mean."""

import torch
from torch.nn import functional as F

from common import Draw, flat, number, write


def case(name, kind, y, target, loss, settings={}, after=None):
    """`loss(y, target, reduction)` is PyTorch's; its mean must be the mean over the samples of the samples' losses.

    `after` names the layer whose inputs y is, if the loss is computed together with that layer.
    """
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
        "after": after,
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


def nll_of_logarithms(y, t, reduction):
    """Of logarithms of probabilities."""
    return F.nll_loss(y, t, reduction=reduction)


def nll(y, t, reduction):
    """The negative log likelihood of probabilities, not of their logarithms as PyTorch's has it."""
    return F.nll_loss(y.log(), t, reduction=reduction)


def nll_of_distributions(y, t, reduction):
    """-Σ t log y."""
    each = -(t * y.log()).sum(1)
    return each.mean() if reduction == "mean" else each


def plain(function, **settings):
    """A loss between values; a class stands for its number."""

    def loss(y, t, reduction):
        return function(y, t.reshape(y.shape).to(y.dtype), reduction=reduction, **settings)

    return loss


def losses():
    draw = Draw("losses")
    n, k = 6, 5
    logits = lambda: draw.tensor(n, k, low=-4.0, high=4.0)
    # Softmax and sigmoid of these overflow or vanish unless computed with care.
    large = lambda bound: draw.tensor(n, k, low=-bound, high=bound, step=1 / 4)
    bits = lambda: draw.tensor(n, k, low=0.0, high=2.0, step=1.0)
    shares = lambda outputs=k: draw.tensor(n, outputs, low=1 / 64, high=1.0)
    distributions = lambda: probabilities(draw, n, k)
    classes = lambda count=k: draw.classes(n, count)
    values = lambda: draw.tensor(n, k)

    softmax = lambda name, y, t, smoothing=0.0: case(
        f"cross entropy of logits, {name}",
        "cross_entropy",
        y,
        t,
        cross_entropy(smoothing),
        {"label_smoothing": smoothing},
        after="softmax",
    )
    binary = lambda name, y, t: case(
        f"binary cross entropy, {name}", "binary_cross_entropy", y, t, plain(F.binary_cross_entropy)
    )
    sigmoid = lambda name, y, t: case(
        f"binary cross entropy of logits, {name}",
        "binary_cross_entropy",
        y,
        t,
        plain(F.binary_cross_entropy_with_logits),
        after="sigmoid",
    )
    huber = lambda delta: case(
        f"huber, delta {delta}", "huber", values(), values(), plain(F.huber_loss, delta=delta), {"delta": delta}
    )
    return [
        softmax("classes", logits(), classes()),
        softmax("large", large(1000.0), classes()),
        softmax("probabilities", logits(), distributions()),
        softmax("smoothed classes", logits(), classes(), 0.1),
        softmax("smoothed probabilities", logits(), distributions(), 0.1),
        case("cross entropy, classes", "cross_entropy", distributions(), classes(), nll),
        case("cross entropy, probabilities", "cross_entropy", distributions(), distributions(), nll_of_distributions),
        binary("bits", shares(), bits()),
        binary("shares", shares(), shares()),
        binary("one output for two classes", shares(1), classes(2)),
        sigmoid("bits", logits(), bits()),
        sigmoid("large", large(200.0), shares()),
        sigmoid("one output for two classes", draw.tensor(n, 1), classes(2)),
        case("mean squared error", "mean_squared_error", values(), values(), plain(F.mse_loss)),
        case("mean absolute error", "mean_absolute_error", values(), values(), plain(F.l1_loss)),
        huber(1.0),
        huber(0.5),
        case("negative log-likelihood", "nll", logits(), classes(), nll_of_logarithms),
    ]


def generate():
    write("losses", {"losses": losses()})
