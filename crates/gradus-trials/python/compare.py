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

    from optimizers import optimizer

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
    """A pass of samples through layers, at inference or, with the random numbers of layers, in training."""

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
        if kind in WITH_PARAMETERS:
            return WITH_PARAMETERS[kind](layer, x, weight, bias)
        if kind == "batch_norm":
            mean, var = (self.tensors[f"{path}.running_{name}"] for name in ("mean", "var"))
            training = self.masks is not None
            return F.batch_norm(x, mean, var, weight, bias, training, layer["momentum"], layer["epsilon"])
        if kind in ("dropout", "gaussian_noise"):
            if self.masks is None:
                return x
            mask = torch.tensor(self.masks[path]).reshape(x.shape)
            return x * mask if kind == "dropout" else x + mask
        if kind == "residual":
            return self.residual(layer, x, path)
        if kind in ("concat", "multiply"):
            branches = enumerate(layer["branches"])
            outputs = [self.layers(branch, x, f"{path}.branches.{i}.") for i, branch in branches]
            if kind == "concat":
                return torch.cat(outputs, 1)
            y, gate = outputs
            return y * gate.reshape(gate.shape + (1,) * (y.dim() - gate.dim()))
        return WITHOUT_PARAMETERS[kind](layer, x)

    def residual(self, layer, x, path):
        y = self.layers(layer["body"], x, f"{path}.body.")
        if "shortcut" in layer:
            return y + self.layers(layer["shortcut"], x, f"{path}.shortcut.")
        if f"{path}.shortcut.0.weight" not in self.tensors:
            return y + x
        return y + self.layer(projection(x, y), x, f"{path}.shortcut.0")


def dense(_, x, weight, bias):
    return x @ weight if bias is None else x @ weight + bias


def convolution(layer, x, weight, bias):
    x = pad(x, layer, 0.0)
    convolve = F.conv1d if x.dim() == 3 else F.conv2d
    return convolve(x, weight, bias, layer["stride"], 0, layer["dilation"], layer["groups"])


def conv_transpose2d(layer, x, weight, bias):
    y = F.conv_transpose2d(x, weight, None, layer["stride"], 0, 0, layer["groups"], layer["dilation"])
    sides = []
    for size, whole, step, more, padding in zip(
        x.shape[2:], y.shape[2:], layer["stride"], layer["output_padding"], explicit(layer["padding"], 2)
    ):
        cut = whole - size * step
        # What is cut off, or added where it is below 0.
        before, after = padding or (max(cut, 0) // 2, cut - max(cut, 0) // 2)
        sides.append([-before, more - after])
    y = F.pad(y, [*sides[1], *sides[0]])
    return y if bias is None else y + bias.reshape(-1, 1, 1)


def max_pool(layer, x):
    pool = F.max_pool1d if x.dim() == 3 else F.max_pool2d
    return pool(pad(x, layer, -torch.inf), layer["kernel"], stride(layer))


def avg_pool(layer, x):
    pool = F.avg_pool1d if x.dim() == 3 else F.avg_pool2d
    mean = pool(pad(x, layer, 0.0), layer["kernel"], stride(layer))
    if layer["exclude_padding"]:
        inside = pad(torch.ones_like(x), layer, 0.0)
        mean = mean / pool(inside, layer["kernel"], stride(layer))
    return mean


def upsample2d(layer, x):
    return F.interpolate(x, scale_factor=[float(scale) for scale in layer["scale"]], mode=layer["mode"])


def zero_pad2d(layer, x):
    rows, columns = explicit(layer["padding"], 2)
    return F.pad(x, [*columns, *rows])


def crop2d(layer, x):
    rows, columns = explicit(layer["cropping"], 2)
    return F.pad(x, [-side for side in [*columns, *rows]])


def group_norm(layer, x, weight, bias):
    # Not that of torch.nn.functional, which refuses groups of one value.
    groups = x.shape[1] if layer["groups"] is None else layer["groups"]
    return torch.group_norm(x, groups, weight, bias, layer["epsilon"])


WITH_PARAMETERS = {
    "dense": dense,
    "conv1d": convolution,
    "conv2d": convolution,
    "conv_transpose2d": conv_transpose2d,
    "layer_norm": lambda layer, x, weight, bias: F.layer_norm(x, x.shape[1:], weight, bias, layer["epsilon"]),
    "group_norm": group_norm,
    "prelu": lambda layer, x, weight, bias: F.prelu(x, weight),
}

WITHOUT_PARAMETERS = {
    "max_pool1d": max_pool,
    "max_pool2d": max_pool,
    "avg_pool1d": avg_pool,
    "avg_pool2d": avg_pool,
    "global_max_pool1d": lambda layer, x: F.adaptive_max_pool1d(x, 1).flatten(1),
    "global_max_pool2d": lambda layer, x: F.adaptive_max_pool2d(x, 1).flatten(1),
    "global_avg_pool1d": lambda layer, x: x.mean(2),
    "global_avg_pool2d": lambda layer, x: x.mean((2, 3)),
    "upsample2d": upsample2d,
    "zero_pad2d": zero_pad2d,
    "crop2d": crop2d,
    "flatten": lambda layer, x: x.flatten(1),
    "reshape": lambda layer, x: x.reshape(-1, *layer["shape"]),
    "maxout": lambda layer, x: x.unflatten(1, (-1, layer["pieces"])).max(2).values,
    "softmax": lambda layer, x: F.softmax(x, 1),
    "log_softmax": lambda layer, x: F.log_softmax(x, 1),
    "relu": lambda layer, x: F.relu(x),
    "leaky_relu": lambda layer, x: F.leaky_relu(x, layer["slope"]),
    "elu": lambda layer, x: F.elu(x, layer["alpha"]),
    "gelu": lambda layer, x: F.gelu(x),
    "gelu_tanh": lambda layer, x: F.gelu(x, approximate="tanh"),
    "silu": lambda layer, x: F.silu(x),
    "softplus": lambda layer, x: F.softplus(x),
    "sigmoid": lambda layer, x: torch.sigmoid(x),
    "tanh": lambda layer, x: torch.tanh(x),
    "clamp": lambda layer, x: F.hardtanh(x, layer["low"], layer["high"]),
    "hard_sigmoid": lambda layer, x: F.hardsigmoid(x),
    "hard_swish": lambda layer, x: F.hardswish(x),
    "selu": lambda layer, x: F.selu(x),
    "mish": lambda layer, x: F.mish(x),
}


def axes(value):
    """A setting with a number for each axis: of sequences, it is the number itself."""
    return value if isinstance(value, list) else [value]


def stride(layer):
    return layer.get("stride", layer["kernel"])


def explicit(padding, dimensions):
    """Before and after for each axis; None where it depends on the window."""
    if padding == "valid":
        return [(0, 0)] * dimensions
    if padding == "same":
        return [None] * dimensions
    sides = (("before", "after"),) if dimensions == 1 else (("top", "bottom"), ("left", "right"))
    return [tuple(padding["explicit"][side] for side in axis) for axis in sides]


def pad(x, layer, value):
    """Sequences or images with their padding: where it is "same" and odd, one more at the end."""
    sizes = x.shape[2:]
    kernel, step, apart = axes(layer["kernel"]), axes(stride(layer)), axes(layer.get("dilation", [1] * len(sizes)))
    sides = explicit(layer["padding"], len(sizes))
    for i, side in enumerate(sides):
        if side is None:
            whole = max(0, (-(-sizes[i] // step[i]) - 1) * step[i] + (kernel[i] - 1) * apart[i] + 1 - sizes[i])
            sides[i] = (whole // 2, whole - whole // 2)
    # From the last axis on.
    return F.pad(x, [side for axis in reversed(sides) for side in axis], value=value)


def projection(x, y):
    """The layer of a shortcut that has none of its own, from the shape of x to that of y."""
    if x.dim() == 2:
        return {"kind": "dense"}
    steps = [-(-size // to) for size, to in zip(x.shape[2:], y.shape[2:])]
    return {
        "kind": "conv2d",
        "kernel": [1, 1],
        "padding": "valid",
        "stride": steps,
        "dilation": [1, 1],
        "groups": 1,
    }


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
            decays = set(case["decaying"])
            decaying = [w for name, w in weights.items() if name in decays]
            rule = optimizer(case["optimizer"], decaying, [w for name, w in weights.items() if name not in decays])
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
