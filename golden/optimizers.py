"""Optimizers, gradient clipping and learning-rate schedules."""

import torch
from torch import optim
from torch.optim import lr_scheduler as schedulers

from common import Draw, flat, number, write


def optimizer(name, kind, settings, make):
    """Ten steps along given gradients: the parameters after each."""
    draw = Draw("optimizers")
    start = draw.tensor(6)
    gradients = [draw.tensor(6) for _ in range(10)]
    # A parameter whose gradient is always zero, one with tiny and one with large gradients.
    for g in gradients:
        g[0], g[1], g[2] = 0.0, g[1] * 2.0**-20, g[2] * 2.0**7
    w = start.clone().requires_grad_()
    steps = make([w])
    trajectory = []
    for g in gradients:
        w.grad = g.clone()
        steps.step()
        trajectory.append(flat(w))
    return {
        "name": name,
        "kind": kind,
        "settings": settings,
        "w": flat(start),
        "gradients": [flat(g) for g in gradients],
        "trajectory": trajectory,
    }


class Lion(optim.Optimizer):
    """Lion as its authors have it (github.com/google/automl, lion/lion_pytorch.py)."""

    def __init__(self, parameters, lr, betas, weight_decay):
        super().__init__(parameters, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in group["params"]:
                p.mul_(1 - group["lr"] * group["weight_decay"])
                mean = self.state[p].setdefault("exp_avg", torch.zeros_like(p))
                update = mean * beta1 + p.grad * (1 - beta1)
                p.add_(torch.sign(update), alpha=-group["lr"])
                mean.mul_(beta2).add_(p.grad, alpha=1 - beta2)


def orthogonalized(gradient):
    """The iteration of torch.optim.Muon and its author (github.com/KellerJordan/Muon), in double precision where they have bfloat16."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = gradient.T if gradient.size(0) > gradient.size(1) else gradient
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(5):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if gradient.size(0) > gradient.size(1) else x


def muon(name, shape, **own):
    """Ten steps of torch.optim.Muon in double precision, along given gradients of one matrix.

    A dense weight has inputs × outputs here and the transpose in PyTorch; a kernel is a matrix of its output channels.
    """
    settings = {"learning_rate": 0.02, "momentum": 0.95, "nesterov": True, "weight_decay": 0.0, "scale": "original", **own}
    draw = Draw("muon")
    start = draw.tensor(*shape)
    gradients = [draw.tensor(*shape) for _ in range(10)]
    if len(shape) == 2:
        here, there = lambda w: w.T, lambda w: w.T.contiguous()
    else:
        here, there = lambda w: w, lambda w: w.reshape(shape[0], -1)
    w = there(start).clone().requires_grad_()
    steps = optim.Muon(
        [w],
        lr=settings["learning_rate"],
        weight_decay=settings["weight_decay"],
        momentum=settings["momentum"],
        nesterov=settings["nesterov"],
        adjust_lr_fn=settings["scale"],
    )
    trajectory = []
    for g in gradients:
        w.grad = there(g).clone()
        steps.step()
        trajectory.append(flat(here(w)))
    return {
        "name": name,
        "shape": list(shape),
        "settings": settings,
        "w": flat(start),
        "gradients": [flat(g) for g in gradients],
        "trajectory": trajectory,
    }


def muons():
    from torch.optim import _muon

    _muon._zeropower_via_newtonschulz = lambda gradient, *_: orthogonalized(gradient)
    return [
        muon("more inputs", (6, 4)),
        muon("more outputs, weight decay", (3, 8), weight_decay=0.5),
        muon("kernel, as long as AdamW", (4, 2, 3, 3), scale="match_rms_adamw", weight_decay=0.1),
        muon("plain momentum", (5, 5), nesterov=False, momentum=0.8),
    ]


def optimizers():
    sgd = lambda name, lr, **s: optimizer(
        name, "sgd", {"learning_rate": lr, **s}, lambda w: optim.SGD(w, lr=lr, **s)
    )
    rms = lambda name, **s: optimizer(
        name,
        "rmsprop",
        {"learning_rate": 0.01, "alpha": 0.99, "epsilon": 1e-8, "weight_decay": 0.0, "momentum": 0.0, **s},
        lambda w: optim.RMSprop(w, lr=0.01, **s),
    )
    betas = {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
    adam = lambda name, kind, make, lr, decay: optimizer(
        name,
        kind,
        {"learning_rate": lr, **betas, "weight_decay": decay},
        lambda w: make(w, lr=lr, weight_decay=decay),
    )

    def nadam(name, **own):
        own = {"weight_decay": 0.0, "momentum_decay": 0.004, **own}
        return optimizer(
            name, "nadam", {"learning_rate": 0.01, **betas, **own}, lambda w: optim.NAdam(w, lr=0.01, **own)
        )

    def lion(name, betas, decay):
        settings = {"learning_rate": 0.01, "beta1": betas[0], "beta2": betas[1], "weight_decay": decay}
        return optimizer(name, "lion", settings, lambda w: Lion(w, 0.01, betas, decay))

    return [
        sgd("sgd", 0.05, momentum=0.0, nesterov=False, weight_decay=0.0),
        sgd("sgd, weight decay", 0.05, momentum=0.0, nesterov=False, weight_decay=0.1),
        sgd("momentum", 0.05, momentum=0.9, nesterov=False, weight_decay=0.0),
        sgd("nesterov", 0.05, momentum=0.9, nesterov=True, weight_decay=0.0),
        sgd("nesterov, weight decay", 0.05, momentum=0.9, nesterov=True, weight_decay=0.1),
        adam("adam", "adam", optim.Adam, 0.01, 0.0),
        adam("adam, weight decay", "adam", optim.Adam, 0.01, 0.1),
        adam("adamw", "adamw", optim.AdamW, 0.01, 0.1),
        rms("rmsprop"),
        rms("rmsprop, weight decay", weight_decay=0.1),
        rms("rmsprop, momentum", momentum=0.9),
        nadam("nadam"),
        nadam("nadam, weight decay", weight_decay=0.1),
        nadam("nadam, momentum decay", momentum_decay=0.5),
        lion("lion", (0.9, 0.99), 0.0),
        lion("lion, weight decay", (0.95, 0.98), 0.5),
    ]


def group_case(name, kind, settings, make, groups):
    """Ten steps of a small network whose parameters are in groups: its parameters at the end.

    `make` makes the optimizer of some of PyTorch's groups. Each of `groups` has names of parameters, the factor of the learning rate,
    and its weight decay or Adam with settings of its own; the other parameters have the optimizer's settings. Biases never decay.
    """
    draw = Draw("groups")
    network = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))
    start = {n: draw.tensor(*p.shape, low=-1.0, high=1.0) for n, p in network.named_parameters()}
    network.load_state_dict(start)
    x, targets = draw.tensor(8, 4), draw.tensor(8, 2)
    parameters = dict(network.named_parameters())
    rest = dict(parameters)
    optimizers = []

    def add(chosen, make, rate, decay):
        decays = lambda name: decay if name.endswith("weight") else 0.0
        optimizers.append(make([{"params": [p], "lr": rate, "weight_decay": decays(n)} for n, p in chosen.items()]))

    for group in groups:
        chosen = {n: rest.pop(n) for n in parameters if any(n == g or n.startswith(g + ".") for g in group["names"])}
        own_make, own = (optim.Adam, group["settings"]) if "optimizer" in group else (make, settings)
        rate = own["learning_rate"] * group["learning_rate_factor"]
        add(chosen, own_make, rate, group.get("weight_decay", own["weight_decay"]))
    if rest:
        add(rest, make, settings["learning_rate"], settings["weight_decay"])
    for _ in range(10):
        network.zero_grad()
        torch.nn.functional.mse_loss(network(x), targets).backward()
        for one in optimizers:
            one.step()
    return {
        "name": name,
        "kind": kind,
        "settings": settings,
        "groups": groups,
        "x": flat(x),
        "targets": flat(targets),
        "start": {n: flat(p) for n, p in start.items()},
        "end": {n: flat(p) for n, p in parameters.items()},
    }


def groups():
    sgd = {"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.1}
    adamw = {"learning_rate": 0.02, "weight_decay": 0.1}
    adam = {"learning_rate": 0.02, "weight_decay": 0.1}
    make_sgd = lambda groups: optim.SGD(groups, momentum=0.9)
    group = lambda names, factor, **own: {"names": names, "learning_rate_factor": factor, **own}
    return [
        group_case("another learning rate", "sgd", sgd, make_sgd, [group(["0"], 0.25)]),
        group_case("another weight decay", "adamw", adamw, optim.AdamW, [group(["2"], 2.0, weight_decay=1.0)]),
        group_case(
            "three groups",
            "sgd",
            sgd,
            make_sgd,
            [
                group(["0.weight"], 0.5, optimizer="adam", settings=adam),
                group(["0.bias", "2.bias"], 3.0),
                group(["2.weight"], 1.0, weight_decay=0.0),
            ],
        ),
    ]


def clipping():
    """Two parameter tensors' gradients, clipped together."""
    cases = []
    for name, kind, limit, scale in (
        ("norm above the limit", "norm", 1.0, 1.0),
        ("norm below the limit", "norm", 50.0, 1.0),
        ("norm far above the limit", "norm", 0.5, 1024.0),
        ("value", "value", 0.75, 1.0),
    ):
        draw = Draw("clipping")
        gradients = [draw.tensor(4, 3) * scale, draw.tensor(5) * scale]
        parameters = [torch.zeros_like(g) for g in gradients]
        for p, g in zip(parameters, gradients):
            p.grad = g.clone()
        if kind == "norm":
            torch.nn.utils.clip_grad_norm_(parameters, limit)
        else:
            torch.nn.utils.clip_grad_value_(parameters, limit)
        cases.append(
            {
                "name": name,
                "kind": kind,
                "limit": limit,
                "gradients": [flat(g) for g in gradients],
                "clipped": [flat(p.grad) for p in parameters],
            }
        )
    return cases


EPOCHS, STEPS_PER_EPOCH = 5, 4
STEPS = EPOCHS * STEPS_PER_EPOCH


def schedule(name, kind, settings, *make, per_epoch=False):
    """The factor at each of 20 steps in 5 epochs: the learning rate of an optimizer whose own is 1."""
    sgd = optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    together = [m(sgd) for m in make]
    factors = []
    for step in range(STEPS):
        factors.append(number(sgd.param_groups[0]["lr"]))
        sgd.step()
        if not per_epoch or (step + 1) % STEPS_PER_EPOCH == 0:
            for scheduler in together:
                scheduler.step()
    return {
        "name": name,
        "kind": kind,
        "settings": settings,
        "steps": STEPS,
        "steps_per_epoch": STEPS_PER_EPOCH,
        "factors": factors,
    }


class Restarts:
    """CosineAnnealingWarmRestarts, stepped once a step: by one, or by the fraction of an epoch that a step is."""

    def __init__(self, optimizer, period, multiplier=2, to=0.0, unit="epochs"):
        self.scheduler = schedulers.CosineAnnealingWarmRestarts(optimizer, period, multiplier, to)
        self.each = 1 if unit == "steps" else 1 / STEPS_PER_EPOCH
        self.steps = 0

    def step(self):
        self.steps += 1
        self.scheduler.step(self.steps * self.each)


def plateau(name, losses, factor, patience, min_delta=1e-4):
    """The factor before the first epoch and after each."""
    sgd = optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    # No learning rate is too small, and no change of it.
    scheduler = schedulers.ReduceLROnPlateau(sgd, "min", factor, patience, min_delta, "rel", eps=0.0)
    factors = [1]
    for loss in losses:
        scheduler.step(loss)
        factors.append(number(sgd.param_groups[0]["lr"]))
    settings = {"factor": factor, "patience": patience, "min_delta": min_delta}
    return {"name": name, "kind": "plateau", "settings": settings, "losses": losses, "factors": factors}


def schedules():
    # Warm-up over 7 steps is 1/7 of the learning rate at the first step, 2/7 at the second, all of it from the seventh on.
    warm_up = lambda o: schedulers.LinearLR(o, 1 / 7, 1.0, 6)
    cosine = lambda o: schedulers.CosineAnnealingLR(o, STEPS)
    # In epochs, the factor changes at every step: PyTorch is told the fraction of the epoch.
    restarts = lambda name, period, **own: schedule(
        name,
        "cosine_restarts",
        {"period": period, "multiplier": 2, "to": 0.0, **own},
        lambda o: Restarts(o, period, **own),
    )
    return [
        schedule(
            "step decay",
            "step_decay",
            {"every": 2, "factor": 0.5},
            lambda o: schedulers.StepLR(o, 2, 0.5),
            per_epoch=True,
        ),
        schedule(
            "exponential",
            "exponential",
            {"per_epoch": 0.8},
            lambda o: schedulers.ExponentialLR(o, 0.8),
            per_epoch=True,
        ),
        schedule("cosine", "cosine", {"to": 0.0}, cosine),
        schedule("cosine to 0.1", "cosine", {"to": 0.1}, lambda o: schedulers.CosineAnnealingLR(o, STEPS, 0.1)),
        schedule(
            "one cycle",
            "one_cycle",
            {"warm_up": 0.3, "start_divisor": 25.0, "final_divisor": 1e4},
            lambda o: schedulers.OneCycleLR(
                o, 1.0, STEPS, pct_start=0.3, div_factor=25.0, final_div_factor=1e4, cycle_momentum=False
            ),
        ),
        schedule(
            "step decay by steps",
            "step_decay",
            {"every": 3, "unit": "steps", "factor": 0.5},
            lambda o: schedulers.StepLR(o, 3, 0.5),
        ),
        schedule("linear", "linear", {"to": 0.0}, lambda o: schedulers.LinearLR(o, 1.0, 0.0, STEPS)),
        schedule("linear to 0.25", "linear", {"to": 0.25}, lambda o: schedulers.LinearLR(o, 1.0, 0.25, STEPS)),
        restarts("restarts", 1),
        restarts("restarts, periods of the same length", 2, multiplier=1, to=0.1),
        restarts("restarts by steps", 3, unit="steps"),
        restarts("restarts by steps, periods three times as long", 2, unit="steps", multiplier=3, to=0.25),
        schedule(
            "warm-up over epochs, then linear",
            "warmup",
            {"epochs": 2, "then": "linear"},
            lambda o: schedulers.LinearLR(o, 1 / 8, 1.0, 7),
            lambda o: schedulers.LinearLR(o, 1.0, 0.0, STEPS),
        ),
        schedule("warm-up", "warmup", {"steps": 7, "then": "constant"}, warm_up),
        schedule("warm-up, then cosine", "warmup", {"steps": 7, "then": "cosine"}, warm_up, cosine),
    ]


def plateaus():
    losses = [1.0, 0.8, 0.81, 0.79999, 0.85, 0.7, 0.71, 0.72, 0.73, 0.74, 0.75, 0.76, 0.5, 0.51, 0.52, 0.53, 0.54]
    return [
        plateau("patience 2", losses, 0.5, 2),
        plateau("patience 0", losses, 0.5, 0),
        plateau("a tenth less is less", losses, 0.1, 3, min_delta=0.1),
    ]


def generate():
    write("optimizers", {"optimizers": optimizers(), "clipping": clipping(), "groups": groups(), "muon": muons()})
    write("schedules", {"schedules": schedules(), "plateaus": plateaus()})
