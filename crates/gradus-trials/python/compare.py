"""Computes the cases of gradus-trials again: ONNX files with onnxruntime, networks and their training with PyTorch, in f64.

Reads cases.json in the current folder and writes answers.json; src/python.rs writes the one and compares the other. A package
that is not installed is left out, with a word.
"""

import json
import math
import sys

try:
    import numpy as np
    import onnx
    import onnxruntime
except ImportError as error:
    onnxruntime = None
    print(f"ONNX files are not compared with onnxruntime: {error}", file=sys.stderr)

try:
    import torch
    import torch.nn.functional as F

    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
except ImportError as error:
    torch = None
    print(f"networks are not compared with PyTorch: {error}", file=sys.stderr)

# The probability below which a loss goes on as the tangent of its logarithm.
TINY = 1e-7

NUMBERS = {"tensor(float)": "float32", "tensor(double)": "float64", "tensor(uint8)": "uint8"}


def run_onnx(case):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    model = with_exact_sigmoids(onnx.load(case["onnx"]["file"])).SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    (x,) = session.get_inputs()
    values = np.array(case["onnx"]["x"]).reshape([-1, *case["input"]]).astype(NUMBERS[x.type])
    (y,) = session.run(None, {x.name: values})
    return {"outputs": numbers(y)}


def with_exact_sigmoids(model):
    """The same graph with every sigmoid in f64: onnxruntime's in f32 is off by up to 1.7e-7, whatever its value."""
    nodes = []
    for node in model.graph.node:
        if node.op_type != "Sigmoid":
            nodes.append(node)
            continue
        (x,), (y,) = node.input, node.output
        wide = [f"{node.name}.f64.{end}" for end in "xy"]
        nodes.append(onnx.helper.make_node("Cast", [x], wide[:1], to=onnx.TensorProto.DOUBLE))
        nodes.append(onnx.helper.make_node("Sigmoid", wide[:1], wide[1:]))
        nodes.append(onnx.helper.make_node("Cast", wide[1:], [y], to=onnx.TensorProto.FLOAT))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def numbers(values):
    """The numbers as a list; None for what is not finite, which JSON does not have."""
    return [value if math.isfinite(value) else None for value in values.flatten().tolist()]


class Pass:
    """A pass of samples through layers, at inference or, with the masks of dropout, in training."""

    def __init__(self, network, masks=None):
        self.tensors = {name: torch.tensor(t["values"]).reshape(t["shape"]) for name, t in network.items()}
        self.masks = masks

    def layers(self, layers, x, prefix=""):
        for i, layer in enumerate(layers):
            x = self.layer(layer, x, f"{prefix}{i}")
        return x

    def layer(self, layer, x, path):
        kind = layer["kind"]
        weight, bias = (self.tensors.get(f"{path}.{name}") for name in ("weight", "bias"))
        if kind == "dense":
            return x @ weight if bias is None else x @ weight + bias
        if kind == "conv2d":
            x = pad(x, layer, layer["dilation"], 0.0)
            return F.conv2d(x, weight, bias, layer["stride"], 0, layer["dilation"], layer["groups"])
        if kind == "max_pool2d":
            return F.max_pool2d(pad(x, layer, [1, 1], -torch.inf), layer["kernel"], stride(layer))
        if kind == "avg_pool2d":
            mean = F.avg_pool2d(pad(x, layer, [1, 1], 0.0), layer["kernel"], stride(layer))
            if layer["exclude_padding"]:
                inside = pad(torch.ones_like(x), layer, [1, 1], 0.0)
                mean = mean / F.avg_pool2d(inside, layer["kernel"], stride(layer))
            return mean
        if kind == "global_avg_pool2d":
            return x.mean((2, 3))
        if kind == "upsample2d":
            return F.interpolate(x, scale_factor=[float(scale) for scale in layer["scale"]], mode=layer["mode"])
        if kind == "flatten":
            return x.flatten(1)
        if kind == "reshape":
            return x.reshape(-1, *layer["shape"])
        if kind == "batch_norm":
            mean, var = (self.tensors[f"{path}.running_{name}"] for name in ("mean", "var"))
            training = self.masks is not None
            return F.batch_norm(x, mean, var, weight, bias, training, layer["momentum"], layer["epsilon"])
        if kind == "dropout":
            return x if self.masks is None else x * torch.tensor(self.masks[path]).reshape(x.shape)
        if kind == "residual":
            y = self.layers(layer["body"], x, f"{path}.body.")
            if "shortcut" in layer:
                return y + self.layers(layer["shortcut"], x, f"{path}.shortcut.")
            if f"{path}.shortcut.0.weight" not in self.tensors:
                return y + x
            return y + self.layer(projection(x, y), x, f"{path}.shortcut.0")
        if kind in ("concat", "multiply"):
            branches = enumerate(layer["branches"])
            outputs = [self.layers(branch, x, f"{path}.branches.{i}.") for i, branch in branches]
            if kind == "concat":
                return torch.cat(outputs, 1)
            y, gate = outputs
            return y * gate.reshape(gate.shape + (1,) * (y.dim() - gate.dim()))
        return {
            "softmax": lambda: F.softmax(x, 1),
            "relu": lambda: F.relu(x),
            "leaky_relu": lambda: F.leaky_relu(x, layer["slope"]),
            "elu": lambda: F.elu(x, layer["alpha"]),
            "gelu": lambda: F.gelu(x),
            "silu": lambda: F.silu(x),
            "softplus": lambda: F.softplus(x),
            "sigmoid": lambda: torch.sigmoid(x),
            "tanh": lambda: torch.tanh(x),
        }[kind]()


def stride(layer):
    return layer.get("stride", layer["kernel"])


def pad(x, layer, dilation, value):
    """The images with their padding: where it is "same" and odd, one more at the end."""
    padding = layer["padding"]
    if padding == "valid":
        return x
    if padding == "same":
        sides = []
        for size, kernel, step, apart in zip(x.shape[2:], layer["kernel"], stride(layer), dilation):
            whole = max(0, (-(-size // step) - 1) * step + (kernel - 1) * apart + 1 - size)
            sides.append([whole // 2, whole - whole // 2])
    else:
        sides = [[padding["explicit"][side] for side in axis] for axis in (("top", "bottom"), ("left", "right"))]
    return F.pad(x, [*sides[1], *sides[0]], value=value)


def projection(x, y):
    """The layer of a shortcut that has none of its own, from the shape of x to that of y."""
    if x.dim() == 2:
        return {"kind": "dense"}
    steps = [-(-size // to) for size, to in zip(x.shape[2:], y.shape[2:])]
    return {"kind": "conv2d", "padding": "valid", "stride": steps, "dilation": [1, 1], "groups": 1}


def log(p):
    return torch.where(p < TINY, torch.log(torch.tensor(TINY)) + (p - TINY) / TINY, torch.log(p.clamp(min=TINY)))


def loss(rule, logits, y, t):
    """The mean loss of samples."""
    kind = rule["kind"]
    y = y.flatten(1)
    if kind == "cross_entropy":
        t = (1 - rule["smoothing"]) * t + rule["smoothing"] / y.shape[1]
        # With targets that are probabilities, whatever their sum is.
        return F.cross_entropy(y, t) if logits else -(t * log(y)).sum(1).mean()
    if kind == "binary_cross_entropy":
        if logits:
            return F.binary_cross_entropy_with_logits(y, t)
        return -(t * log(y) + (1 - t) * log(1 - y)).mean()
    if kind == "nll":
        return -(t * y).sum(1).mean()
    if kind == "huber":
        return F.huber_loss(y, t, delta=rule["delta"])
    return {"mean_squared_error": F.mse_loss, "mean_absolute_error": F.l1_loss}[kind](y, t)


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
    return torch.optim.RMSprop(groups, rate, settings["alpha"], settings["epsilon"], momentum=settings["momentum"])


def run_torch(case):
    network = Pass(case["network"])
    x = torch.tensor(case["x"]).reshape(-1, *case["input"])
    with torch.no_grad():
        outputs = numbers(network.layers(case["layers"], x))

    steps, weights = [], None
    for step in case["steps"]:
        network = Pass(step["network"], step["masks"])
        names = list(step["gradient"])
        parameters = [network.tensors[name].requires_grad_() for name in names]
        x = torch.tensor(step["x"]).reshape(-1, *case["input"])
        end = len(case["layers"]) if case["logits"] is None else case["logits"]
        y = network.layers(case["layers"][:end], x)
        value = loss(case["loss"], case["logits"] is not None, y, torch.tensor(step["targets"]))
        gradient = torch.autograd.grad(value, parameters, allow_unused=True)

        # The optimizer goes on from the library's own weights and gradients: where it divides by the size of a gradient,
        # the rounding of a small one would grow.
        if weights is None:
            weights = {name: torch.zeros(step["network"][name]["shape"]) for name in names}
            decaying = [w for w in weights.values() if w.dim() > 1]
            rule = optimizer(case["optimizer"], decaying, [w for w in weights.values() if w.dim() <= 1])
        for name, w in weights.items():
            w.data = network.tensors[name].detach().clone()
            w.grad = torch.tensor(step["gradient"][name]).reshape(w.shape)
        clip = case["clip"] or {}
        if "norm" in clip:
            torch.nn.utils.clip_grad_norm_(list(weights.values()), clip["norm"])
        if "value" in clip:
            torch.nn.utils.clip_grad_value_(list(weights.values()), clip["value"])
        rule.step()
        steps.append(
            {
                "loss": numbers(value),
                "gradient": {
                    name: numbers(torch.zeros_like(w) if g is None else g)
                    for name, w, g in zip(names, parameters, gradient)
                },
                "state": {
                    name: numbers(tensor) for name, tensor in network.tensors.items() if "running_" in name
                },
                "updated": {name: numbers(w.detach()) for name, w in weights.items()},
            }
        )
    return {"outputs": outputs, "steps": steps}


def attempt(run, case):
    try:
        return run(case)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def main():
    with open("cases.json") as file:
        cases = json.load(file)
    answers = {
        "onnxruntime": onnxruntime and onnxruntime.__version__,
        "torch": torch and torch.__version__,
        "cases": [
            {
                "onnx": onnxruntime and attempt(run_onnx, case),
                "torch": torch and attempt(run_torch, case),
            }
            for case in cases
        ],
    }
    with open("answers.json", "w") as file:
        json.dump(answers, file)


main()
