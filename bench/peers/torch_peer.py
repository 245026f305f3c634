"""PyTorch. Variants: eager, channels-last, compile, bf16 (autocast); for predictions eager, compile, jit (frozen)."""

import torch
from torch import nn
from torch.nn import functional as F

from common import CHECKED_IMAGES, Work


class Block(nn.Module):
    """A residual block; a 1x1 convolution is the shortcut where the shape changes."""

    def __init__(self, inputs, channels, stride):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, channels, 3, stride, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False),
            nn.BatchNorm2d(channels),
        )
        changes = inputs != channels or stride != 1
        self.shortcut = nn.Sequential(nn.Conv2d(inputs, channels, 1, stride, bias=False)) if changes else None

    def forward(self, x):
        return self.body(x) + (x if self.shortcut is None else self.shortcut(x))


class Mean(nn.Module):
    def forward(self, x):
        return x.mean((2, 3))


def network(name):
    """The same layers under the same names as ours; the first of a perceptron keeps its place."""
    layers = {
        "mlp": lambda: [nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)],
        "cnn": lambda: [
            *(nn.Conv2d(1, 5, 3), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(845, 100), nn.ReLU(), nn.Linear(100, 10)),
        ],
        "lenet": lambda: [
            *(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(256, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
        ],
        "resnet8": lambda: [
            *(nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()),
            *(Block(16, 16, 1), nn.ReLU(), Block(16, 32, 2), nn.ReLU(), Block(32, 64, 2), nn.ReLU()),
            *(Mean(), nn.Linear(64, 10)),
        ],
        "small": lambda: [nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 2)],
    }
    return nn.Sequential(*layers[name]())


def train(work):
    net = network(work.network)
    net.load_state_dict({name: torch.tensor(value) for name, value in work.weights().items()}, strict=False)
    x, y = (torch.from_numpy(part) for part in work.samples())
    if work.variant == "channels-last":
        net = net.to(memory_format=torch.channels_last)
        x = x.to(memory_format=torch.channels_last)
    initial = {name: value.clone() for name, value in net.state_dict().items()}
    # The fused optimizers are the fastest on a CPU too.
    if work.momentum is None:
        make = lambda: torch.optim.Adam(net.parameters(), work.rate, fused=True)
    else:
        make = lambda: torch.optim.SGD(net.parameters(), work.rate, work.momentum, fused=True)

    def loss_of(x, y):
        with torch.autocast("cpu", torch.bfloat16, enabled=work.variant == "bf16"):
            return F.cross_entropy(net(x), y)

    if work.variant == "compile":
        loss_of = torch.compile(loss_of, dynamic=False)
    optimizer = make()

    def step_on(x, y):
        loss = loss_of(x, y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss

    def step(indices):
        indices = torch.from_numpy(indices)
        return step_on(x[indices], y[indices])

    checked = work.checked(len(y))
    work.report["losses"] = [step(indices).item() for indices in checked]
    net.load_state_dict(initial)
    optimizer = make()
    if work.small:
        first = torch.from_numpy(checked[0])
        x, y = x[first], y[first]
        work.steps(lambda: step_on(x, y))
    else:
        work.epochs(len(y), step)


def predict(work):
    net = network(work.network)
    net.load_state_dict({name: torch.tensor(value) for name, value in work.weights().items()})
    net = nn.Sequential(net, nn.Softmax(1)).eval()
    x = torch.from_numpy(work.samples()[0])
    with torch.inference_mode():
        if work.variant == "compile":
            torch._inductor.config.freezing = True
            net = torch.compile(net, dynamic=False)
        if work.variant == "jit":
            net = torch.jit.optimize_for_inference(torch.jit.trace(net, x[:1]))
        work.report["outputs"] = net(x[:CHECKED_IMAGES]).flatten().tolist()
        if work.batch == 1:
            work.calls(lambda i: net(x[i : i + 1]))
        else:
            work.passes(lambda first, end: net(x[first:end]))


work = Work("torch")
torch.set_num_threads(work.threads)
(predict if work.predicts else train)(work)
work.print(torch.__version__)
