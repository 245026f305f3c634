"""Optimizers by their kinds and settings: PyTorch's, and those that it has otherwise."""

import torch


class Lion(torch.optim.Optimizer):
    """Lion as its authors have it."""

    def __init__(self, groups, rate, betas):
        super().__init__(groups, {"lr": rate, "betas": betas})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for w in group["params"]:
                w.mul_(1 - group["lr"] * group["weight_decay"])
                mean = self.state[w].setdefault("mean", torch.zeros_like(w))
                w.add_(torch.sign(mean * beta1 + w.grad * (1 - beta1)), alpha=-group["lr"])
                mean.mul_(beta2).add_(w.grad, alpha=1 - beta2)


class Muon(torch.optim.Optimizer):
    """Muon as its author has it, in double precision; the parameters that are no matrices follow AdamW."""

    def __init__(self, groups, settings):
        matrices = [w for w in groups[0] if w.dim() > 1]
        rest = [w for w in groups[0] if w.dim() == 1]
        betas, rate = (settings["beta1"], settings["beta2"]), settings["adamw_learning_rate"]
        decays = [(rest, settings["weight_decay"]), (groups[1], 0.0)]
        adamw = [{"params": some, "weight_decay": decay} for some, decay in decays if some]
        self.adamw = torch.optim.AdamW(adamw, rate, betas, settings["epsilon"]) if adamw else None
        super().__init__(matrices or [torch.zeros(1)], settings)

    @torch.no_grad()
    def step(self):
        if self.adamw:
            self.adamw.step()
        group = self.param_groups[0]
        for w in group["params"]:
            if w.grad is None:
                continue
            gradient, momentum = w.grad.reshape(len(w), -1), group["momentum"]
            mean = self.state[w].setdefault("mean", torch.zeros_like(gradient))
            mean.lerp_(gradient, 1 - momentum)
            update = gradient.lerp(mean, momentum) if group["nesterov"] else mean
            # A dense weight is inputs × outputs, a kernel outputs × inputs.
            inputs, outputs = update.shape if w.dim() == 2 else update.shape[::-1]
            scale = max(1, outputs / inputs) ** 0.5
            if group["scale"] == "match_rms_adamw":
                scale = 0.2 * max(outputs, inputs) ** 0.5
            w.mul_(1 - group["learning_rate"] * group["weight_decay"])
            w.add_(orthogonalized(update).reshape(w.shape), alpha=-group["learning_rate"] * scale)


def orthogonalized(matrix):
    if matrix.shape[0] > matrix.shape[1]:
        return orthogonalized(matrix.T).T
    x = matrix / matrix.norm().clamp(min=1e-7)
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x


def optimizer(settings, decaying, others):
    """The optimizer; weight decay is for the tensors that are `decaying`."""
    groups = [{"params": decaying, "weight_decay": settings["weight_decay"]}, {"params": others, "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    rate, kind = settings["learning_rate"], settings["kind"]
    if kind == "sgd":
        return torch.optim.SGD(groups, rate, momentum=settings["momentum"], nesterov=settings["nesterov"])
    if kind in ("adam", "adamw"):
        make = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[kind]
        return make(groups, rate, betas=(settings["beta1"], settings["beta2"]), eps=settings["epsilon"])
    if kind == "nadam":
        betas, decay = (settings["beta1"], settings["beta2"]), settings["momentum_decay"]
        return torch.optim.NAdam(groups, rate, betas=betas, eps=settings["epsilon"], momentum_decay=decay)
    if kind == "muon":
        return Muon([decaying, others], settings)
    if kind == "lion":
        return Lion(groups, rate, (settings["beta1"], settings["beta2"]))
    return torch.optim.RMSprop(groups, rate, settings["alpha"], settings["epsilon"], momentum=settings["momentum"])
