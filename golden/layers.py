"""Layers and activations: y, dx and the parameters' gradients for a given x, parameters and dy."""

import torch
from torch import nn
from torch.nn import functional as F

from common import Draw, flat, tensor, write


def randomize(module, draw):
    """Gives every parameter and running statistic values of the case's own."""
    for name, parameter in module.named_parameters():
        parameter.data = draw.tensor(*parameter.shape, low=-1.0, high=1.0)
    for m in module.modules():
        if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d):
            m.weight.data = draw.tensor(*m.weight.shape, low=0.5, high=1.5)
            m.running_mean = draw.tensor(*m.running_mean.shape, low=-1.0, high=1.0)
            m.running_var = draw.tensor(*m.running_var.shape, low=0.5, high=2.0)


def named(tensors):
    """Named tensors in their order."""
    return [{"name": name, **tensor(values)} for name, values in tensors]


def running(module):
    """The running statistics, without the counts of batches that PyTorch keeps beside them."""
    return [(n, b.clone()) for n, b in module.named_buffers() if not n.endswith("num_batches_tracked")]


def case(name, kind, settings, module, shape, samples=3, training=True, distinct=False):
    """Runs one layer forward and backward."""
    draw = Draw(name)
    randomize(module, draw)
    module.train(training)
    x = (draw.distinct if distinct else draw.tensor)(samples, *shape).requires_grad_()
    result = {
        "name": name,
        "kind": kind,
        "settings": settings,
        "training": training,
        "samples": samples,
        "input": list(shape),
        "parameters": named(module.named_parameters()),
        "state": named(running(module)),
        "x": flat(x),
    }
    y = module(x)
    dy = draw.tensor(*y.shape, low=-1.0, high=1.0)
    y.backward(dy)
    return result | {
        "output": list(y.shape[1:]),
        "y": flat(y),
        "dy": flat(dy),
        "dx": flat(x.grad),
        "gradients": named((n, p.grad) for n, p in module.named_parameters()),
        "state_after": named(running(module)),
    }


class PadThen(nn.Module):
    """Pads the image by zeros on [top, bottom, left, right], or the sequence by [0, 0, before, after]; then applies a module."""

    def __init__(self, padding, module):
        super().__init__()
        self.padding = padding
        self.module = module

    def forward(self, x):
        top, bottom, left, right = self.padding
        return self.module(F.pad(x, (left, right, top, bottom)[: 2 * (x.dim() - 2)]))

    def named_parameters(self, *args, **kwargs):
        return self.module.named_parameters(*args, **kwargs)


class Maxout(nn.Module):
    """The largest of so many channels in a row."""

    def __init__(self, pieces):
        super().__init__()
        self.pieces = pieces

    def forward(self, x):
        return x.unflatten(1, (-1, self.pieces)).max(2).values


def around(rows, columns):
    """Explicit padding, alike on both sides."""
    return {"explicit": {"top": rows, "bottom": rows, "left": columns, "right": columns}}


def same(size, kernel, stride, dilation):
    """The padding before and after an axis for ceil(size / stride) outputs, the odd zero after it.

    PyTorch has it only for a stride of 1, where it means the same.
    """
    total = max((-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2


def conv(name, shape, channels, kernel, stride=(1, 1), padding="valid", dilation=(1, 1), groups=1, bias=True, samples=2):
    settings = {
        "channels": channels,
        "kernel": list(kernel),
        "stride": list(stride),
        "padding": padding,
        "dilation": list(dilation),
        "groups": groups,
        "bias": bias,
    }
    if padding == "same" and stride == (1, 1):
        module = nn.Conv2d(shape[0], channels, kernel, stride, "same", dilation, groups, bias)
        return case(name, "conv2d", settings, module, shape, samples)
    if padding == "valid":
        pad = (0, 0, 0, 0)
    elif padding == "same":
        pad = [n for axis in zip(shape[1:], kernel, stride, dilation) for n in same(*axis)]
    else:
        pad = padding["explicit"].values()
    module = PadThen(pad, nn.Conv2d(shape[0], channels, kernel, stride, 0, dilation, groups, bias))
    return case(name, "conv2d", settings, module, shape, samples)


def conv1d(name, shape, channels, kernel, stride=1, padding="valid", dilation=1, groups=1, bias=True):
    settings = {
        "channels": channels,
        "kernel": kernel,
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "groups": groups,
        "bias": bias,
    }
    if padding == "valid":
        pad = (0, 0)
    elif padding == "same":
        pad = same(shape[1], kernel, stride, dilation)
    else:
        pad = (padding["explicit"]["before"], padding["explicit"]["after"])
    module = PadThen((0, 0, *pad), nn.Conv1d(shape[0], channels, kernel, stride, 0, dilation, groups, bias))
    return case(name, "conv1d", settings, module, shape, 2)


def conv_transpose(name, shape, channels, kernel, stride=(1, 1), padding=(0, 0), more=(0, 0), dilation=(1, 1), groups=1, bias=True):
    settings = {
        "channels": channels,
        "kernel": list(kernel),
        "stride": list(stride),
        "padding": around(*padding),
        "output_padding": list(more),
        "dilation": list(dilation),
        "groups": groups,
        "bias": bias,
    }
    module = nn.ConvTranspose2d(shape[0], channels, kernel, stride, padding, more, groups, bias, dilation)
    return case(name, "conv_transpose2d", settings, module, shape, 2)


def ends(before, after):
    """Explicit padding of a sequence."""
    return {"explicit": {"before": before, "after": after}}


def pool(name, kind, shape, kernel, stride=None, padding=(0, 0), exclude_padding=None, samples=2):
    """Max or average pooling; the stride is the kernel's size unless given."""
    stride = stride or kernel
    settings = {"kernel": list(kernel), "stride": list(stride), "padding": around(*padding)}
    if kind == "max_pool2d":
        module = nn.MaxPool2d(kernel, stride, padding)
    else:
        settings["exclude_padding"] = exclude_padding
        module = nn.AvgPool2d(kernel, stride, padding, count_include_pad=not exclude_padding)
    return case(name, kind, settings, module, shape, samples, distinct=True)


def pool1d(name, kind, shape, kernel, stride=None, padding=0, exclude_padding=None):
    """Max or average pooling of sequences; the stride is the kernel's length unless given."""
    stride = stride or kernel
    settings = {"kernel": kernel, "stride": stride, "padding": ends(padding, padding)}
    if kind == "max_pool1d":
        module = nn.MaxPool1d(kernel, stride, padding)
    else:
        settings["exclude_padding"] = exclude_padding
        module = nn.AvgPool1d(kernel, stride, padding, count_include_pad=not exclude_padding)
    return case(name, kind, settings, module, shape, 2, distinct=True)


def upsample(name, shape, scale, mode):
    """Upsampling by a height and a width; bilinear between the centers of pixels."""
    module = nn.Upsample(scale_factor=tuple(map(float, scale)), mode=mode)
    return case(name, "upsample2d", {"scale": list(scale), "mode": mode}, module, shape, 2)


class Residual(nn.Module):
    """body(x) + shortcut(x)."""

    def __init__(self, body, shortcut):
        super().__init__()
        self.body = body
        self.shortcut = shortcut

    def forward(self, x):
        return self.body(x) + self.shortcut(x)


def residual(name, shape, channels, stride, projected, training):
    """A 1×1 convolution, a residual block, relu. The convolution's gradient shows whether the block's dx is right."""
    # A bias before a norm does nothing: its gradient is zero up to rounding.
    body = nn.Sequential(
        nn.Conv2d(shape[0], channels, 3, stride, 1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Conv2d(channels, channels, 3, 1, 1, bias=False),
        nn.BatchNorm2d(channels),
    )
    shortcut = nn.Sequential(nn.Conv2d(shape[0], channels, 1, stride, bias=False)) if projected else nn.Sequential()
    network = nn.Sequential(nn.Conv2d(shape[0], shape[0], 1), Residual(body, shortcut), nn.ReLU())
    settings = {"channels": channels, "stride": stride}
    return case(name, "residual", settings, network, shape, 4, training)


class Concat(nn.Module):
    """The branches' outputs one after the other."""

    def __init__(self, *branches):
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x):
        return torch.cat([branch(x) for branch in self.branches], 1)


class Multiply(nn.Module):
    """The product of the branches' outputs, of which the last may have a number for each channel."""

    def __init__(self, *branches):
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x):
        y = self.branches[0](x)
        for branch in self.branches[1:]:
            factor = branch(x)
            y = y * factor.reshape(factor.shape + (1,) * (y.dim() - factor.dim()))
        return y


def concatenated():
    """Branches of three sizes of windows, one of them the input itself, of images."""
    branches = (
        nn.Sequential(),
        nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU()),
        nn.Sequential(nn.Conv2d(3, 4, 3, 1, 1), nn.Tanh(), nn.Conv2d(4, 3, 3, 1, 1)),
    )
    network = nn.Sequential(nn.Conv2d(3, 3, 1), Concat(*branches), nn.Conv2d(8, 2, 1))
    conv = lambda channels, kernel, padding: {"kind": "conv2d", "channels": channels, "kernel": kernel, "padding": padding}
    declared = [[], [conv(2, 1, 0), {"kind": "relu"}], [conv(4, 3, 1), {"kind": "tanh"}, conv(3, 3, 1)]]
    layers = [conv(3, 1, 0), {"kind": "concat", "branches": declared}, conv(2, 1, 0)]
    return case("concat of images", "concat", {"layers": layers}, network, (3, 5, 4), 4, True)


def gated():
    """Squeeze and excitation."""
    gate = nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2), nn.ReLU(), nn.Linear(2, 4), nn.Sigmoid()
    )
    # The layers that have parameters keep their places: ours pools and flattens in one.
    names = {"1.branches.1.2": "1.branches.1.1", "1.branches.1.4": "1.branches.1.3"}
    network = nn.Sequential(nn.Conv2d(3, 4, 1), Multiply(nn.Sequential(), gate), nn.Conv2d(4, 2, 1))
    conv = lambda channels: {"kind": "conv2d", "channels": channels, "kernel": 1}
    dense = lambda units: {"kind": "dense", "units": units}
    declared = [{"kind": "global_avg_pool2d"}, dense(2), {"kind": "relu"}, dense(4), {"kind": "sigmoid"}]
    layers = [conv(4), {"kind": "multiply", "branches": [[], declared]}, conv(2)]
    found = case("multiply by a gate", "multiply", {"layers": layers}, network, (3, 5, 4), 4, True)
    for tensor in found["parameters"] + found["gradients"]:
        place, name = tensor["name"].rsplit(".", 1)
        tensor["name"] = f"{names.get(place, place)}.{name}"
    return found


def multiplied():
    """Three branches of flat samples."""
    branches = (
        nn.Sequential(nn.Linear(5, 4), nn.Tanh()),
        nn.Sequential(nn.Linear(5, 4)),
        nn.Sequential(nn.Linear(5, 4, bias=False), nn.Sigmoid()),
    )
    network = nn.Sequential(nn.Linear(6, 5), Multiply(*branches), nn.Linear(4, 3))
    dense = lambda units, bias=True: {"kind": "dense", "units": units, "bias": bias}
    declared = [[dense(4), {"kind": "tanh"}], [dense(4)], [dense(4, False), {"kind": "sigmoid"}]]
    layers = [dense(5), {"kind": "multiply", "branches": declared}, dense(3)]
    return case("multiply three branches", "multiply", {"layers": layers}, network, (6,), 5, True)


def layers():
    dense = lambda name, n, units, bias, samples: case(
        name, "dense", {"units": units, "bias": bias}, nn.Linear(n, units, bias), (n,), samples
    )
    norm = lambda name, shape, training: case(
        name,
        "batch_norm",
        {"epsilon": 1e-5, "momentum": 0.1},
        (nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d)(shape[0]),
        shape,
        5,
        training,
    )
    return [
        dense("dense", 7, 5, True, 4),
        dense("dense without bias", 5, 3, False, 3),
        dense("dense, one input and one unit", 1, 1, True, 2),
        dense("dense, wider than a vector", 67, 35, True, 5),
        conv("conv2d valid", (1, 6, 7), 3, (3, 3)),
        conv("conv2d valid, many channels", (3, 7, 6), 4, (3, 3)),
        conv("conv2d same", (2, 5, 8), 3, (3, 3), padding="same"),
        conv("conv2d same, 5×3", (2, 6, 5), 2, (5, 3), padding="same"),
        conv("conv2d same, even kernel", (2, 5, 6), 2, (2, 4), padding="same"),
        conv("conv2d same, strided", (2, 7, 6), 3, (3, 3), stride=(2, 2), padding="same"),
        conv("conv2d explicit padding", (2, 5, 6), 3, (3, 3), padding=around(2, 1)),
        conv(
            "conv2d explicit padding, each side its own",
            (2, 4, 5),
            3,
            (3, 2),
            padding={"explicit": {"top": 2, "bottom": 0, "left": 1, "right": 3}},
        ),
        conv("conv2d rectangular kernel", (2, 6, 7), 3, (2, 4)),
        conv("conv2d strided", (2, 8, 9), 3, (3, 3), stride=(2, 3)),
        conv("conv2d strided, padded", (3, 7, 8), 4, (3, 3), stride=(2, 2), padding=around(1, 1)),
        conv("conv2d stride leaves a rest", (1, 8, 8), 2, (3, 3), stride=(2, 2)),
        conv("conv2d dilated", (2, 8, 9), 3, (3, 3), dilation=(2, 3)),
        conv("conv2d dilated, same", (2, 7, 7), 2, (3, 3), padding="same", dilation=(2, 2)),
        conv("conv2d dilated, strided, padded", (2, 9, 8), 2, (3, 2), (2, 2), around(2, 1), (2, 3)),
        conv("conv2d in groups", (4, 5, 6), 6, (3, 3), groups=2),
        conv("conv2d in groups, strided, padded", (6, 7, 5), 3, (3, 3), (2, 1), around(1, 1), groups=3),
        conv("conv2d depthwise", (4, 6, 5), 4, (3, 3), padding="same", groups=4),
        conv("conv2d depthwise, two filters a channel", (3, 5, 5), 6, (3, 3), groups=3),
        conv("conv2d without bias", (2, 5, 5), 3, (3, 3), bias=False),
        conv("conv2d 1×1", (5, 4, 3), 4, (1, 1)),
        conv("conv2d 1×1, strided", (3, 5, 6), 4, (1, 1), stride=(2, 2)),
        conv("conv2d kernel as large as the image", (2, 4, 3), 5, (4, 3)),
        conv("conv2d wider than a vector", (1, 5, 39), 17, (3, 3), samples=1),
        conv1d("conv1d valid", (2, 9), 3, 4),
        conv1d("conv1d same", (3, 8), 2, 3, padding="same"),
        conv1d("conv1d same, strided, even kernel", (2, 9), 3, 4, 3, "same"),
        conv1d("conv1d explicit padding, dilated", (2, 7), 3, 3, padding=ends(4, 1), dilation=2),
        conv1d("conv1d in groups, strided, padded", (6, 9), 3, 3, 2, ends(1, 1), groups=3),
        conv1d("conv1d without bias, one value", (3, 1), 4, 1, bias=False),
        conv1d("conv1d wider than a vector", (1, 39), 17, 5),
        conv_transpose("conv_transpose2d", (2, 3, 4), 3, (3, 2)),
        conv_transpose("conv_transpose2d strided, padded", (3, 4, 3), 2, (4, 4), (2, 2), (1, 1)),
        conv_transpose("conv_transpose2d with output padding", (2, 3, 4), 2, (3, 3), (2, 3), (1, 0), (1, 2)),
        conv_transpose("conv_transpose2d dilated, strided, padded", (2, 3, 3), 2, (3, 2), (2, 1), (2, 1), dilation=(2, 3)),
        conv_transpose("conv_transpose2d in groups, strided", (4, 3, 2), 6, (3, 3), (2, 2), groups=2),
        conv_transpose("conv_transpose2d without bias, strided apart", (2, 2, 3), 3, (2, 2), (3, 3), bias=False),
        conv_transpose("conv_transpose2d wider than a vector", (2, 3, 20), 5, (3, 3), (1, 2)),
        pool1d("max_pool1d leaves a rest", "max_pool1d", (2, 7), 2),
        pool1d("max_pool1d overlapping, padded", "max_pool1d", (3, 8), 3, 2, 1),
        pool1d("avg_pool1d overlapping", "avg_pool1d", (2, 8), 3, 2, 0, False),
        pool1d("avg_pool1d padded", "avg_pool1d", (2, 7), 4, 3, 2, False),
        pool1d("avg_pool1d padded, zeros not counted", "avg_pool1d", (2, 7), 4, 3, 2, True),
        pool("max_pool2d", "max_pool2d", (2, 6, 8), (2, 2)),
        pool("max_pool2d leaves a rest", "max_pool2d", (2, 7, 5), (2, 2)),
        pool("max_pool2d rectangular", "max_pool2d", (2, 6, 9), (2, 3)),
        pool("max_pool2d overlapping", "max_pool2d", (2, 7, 7), (3, 3), (2, 2)),
        pool("max_pool2d strided apart", "max_pool2d", (2, 8, 7), (2, 2), (3, 3)),
        pool("max_pool2d padded", "max_pool2d", (2, 6, 7), (3, 3), (2, 2), (1, 1)),
        pool("max_pool2d padded, rectangular", "max_pool2d", (3, 5, 8), (2, 4), (1, 3), (1, 2)),
        pool("avg_pool2d", "avg_pool2d", (2, 6, 8), (2, 2), exclude_padding=False),
        pool("avg_pool2d rectangular, overlapping", "avg_pool2d", (2, 7, 8), (3, 2), (2, 1), exclude_padding=False),
        pool("avg_pool2d padded", "avg_pool2d", (2, 6, 7), (3, 3), (2, 2), (1, 1), False),
        pool("avg_pool2d padded, zeros not counted", "avg_pool2d", (2, 6, 7), (3, 3), (2, 2), (1, 1), True),
        case(
            "global_avg_pool2d",
            "global_avg_pool2d",
            {},
            nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
            (3, 4, 5),
        ),
        case(
            "global_max_pool2d",
            "global_max_pool2d",
            {},
            nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten()),
            (3, 4, 5),
            distinct=True,
        ),
        case(
            "global_avg_pool1d", "global_avg_pool1d", {}, nn.Sequential(nn.AdaptiveAvgPool1d(1), nn.Flatten()), (3, 7)
        ),
        case(
            "global_max_pool1d",
            "global_max_pool1d",
            {},
            nn.Sequential(nn.AdaptiveMaxPool1d(1), nn.Flatten()),
            (3, 7),
            distinct=True,
        ),
        case("flatten", "flatten", {}, nn.Flatten(), (2, 3, 4), 2),
        case("reshape", "reshape", {"shape": [3, 2, 4]}, nn.Unflatten(1, (3, 2, 4)), (24,), 2),
        case("dropout does nothing at inference", "dropout", {"rate": 0.4}, nn.Dropout(0.4), (12,), 2, False),
        norm("batch_norm over features", (6,), True),
        norm("batch_norm over features, inference", (6,), False),
        norm("batch_norm over channels of sequences", (3, 6), True),
        norm("batch_norm over channels of sequences, inference", (3, 6), False),
        norm("batch_norm over channels", (3, 4, 5), True),
        norm("batch_norm over channels, inference", (3, 4, 5), False),
        case("softmax", "softmax", {}, nn.Softmax(1), (7,), 4),
        case("maxout", "maxout", {"pieces": 3}, Maxout(3), (6,), distinct=True),
        case("maxout of channels", "maxout", {"pieces": 2}, Maxout(2), (4, 2, 3), distinct=True),
        case("zero_pad2d", "zero_pad2d", {"padding": 1}, nn.ZeroPad2d(1), (2, 3, 4), 2),
        case("zero_pad2d, each side its own", "zero_pad2d", {"padding": {"explicit": {"top": 1, "bottom": 2, "left": 3, "right": 0}}}, nn.ZeroPad2d((3, 0, 1, 2)), (2, 3, 2), 2),
        case("crop2d", "crop2d", {"cropping": 1}, nn.ZeroPad2d(-1), (2, 4, 5), 2),
        case("crop2d, each side its own", "crop2d", {"cropping": {"explicit": {"top": 1, "bottom": 2, "left": 3, "right": 0}}}, nn.ZeroPad2d((-3, 0, -1, -2)), (2, 5, 5), 2),
        upsample("upsample2d, nearest", (2, 3, 4), (2, 2), "nearest"),
        upsample("upsample2d, nearest, each axis its own", (3, 2, 3), (3, 1), "nearest"),
        upsample("upsample2d, bilinear", (2, 3, 4), (2, 2), "bilinear"),
        upsample("upsample2d, bilinear, each axis its own", (2, 3, 2), (3, 4), "bilinear"),
        upsample("upsample2d, bilinear, of one pixel", (3, 1, 1), (2, 3), "bilinear"),
        case("group_norm", "group_norm", {"groups": 2, "epsilon": 1e-5}, nn.GroupNorm(2, 4), (4, 3, 2)),
        case("group_norm of a flat sample", "group_norm", {"groups": 2, "epsilon": 0.01}, nn.GroupNorm(2, 6, eps=0.01), (6,)),
        case("group_norm, a group for each channel", "group_norm", {"groups": None}, nn.InstanceNorm2d(3, affine=True), (3, 2, 4)),
        case("layer_norm", "layer_norm", {"epsilon": 1e-5}, nn.LayerNorm(6), (6,), 4),
        case("layer_norm of an image", "layer_norm", {"epsilon": 0.01}, nn.LayerNorm((2, 3, 4), eps=0.01), (2, 3, 4)),
        case("log_softmax", "log_softmax", {}, nn.LogSoftmax(1), (7,), 4),
        case("gaussian_noise does nothing at inference", "gaussian_noise", {"deviation": 0.5}, nn.Identity(), (12,), 2, False),
        case("prelu", "prelu", {}, nn.PReLU(), (2, 3, 4)),
        case("prelu, a slope for each channel", "prelu", {"per_channel": True}, nn.PReLU(3), (3, 2, 5)),
        case("prelu, a slope for each value", "prelu", {"per_channel": True}, nn.PReLU(6), (6,)),
    ]


def residuals():
    return [
        residual("residual, identity", (3, 6, 5), 3, 1, False, True),
        residual("residual, identity, inference", (3, 6, 5), 3, 1, False, False),
        residual("residual, projected", (2, 7, 6), 4, 2, True, True),
    ]


def activations():
    """Near zero at a fine grid that no kink is hidden in, and far out where a careless formula overflows."""
    near = torch.arange(-6 * 8, 6 * 8 + 1) / 8
    tiny = torch.tensor([s * 2.0**-k for k in (4, 6, 10, 14, 20) for s in (-1.0, 1.0)])
    magnitudes = (7.5, 9.0, 12.0, 15.5, 18.0, 21.0, 30.0, 60.0, 88.0, 104.0, 750.0, 1e4, 1e6)
    far = torch.tensor([s * v for v in magnitudes for s in (-1.0, 1.0)])
    functions = [
        ("relu", {}, nn.ReLU()),
        ("leaky_relu", {"slope": 0.01}, nn.LeakyReLU(0.01)),
        ("elu", {"alpha": 1.0}, nn.ELU(1.0)),
        ("gelu", {}, nn.GELU()),
        ("silu", {}, nn.SiLU()),
        # PyTorch's own is the identity from 20 on, which is off by 10⁻⁹ there; this is the same function without the switch.
        ("softplus", {}, lambda x: -F.logsigmoid(-x)),
        ("sigmoid", {}, nn.Sigmoid()),
        ("tanh", {}, nn.Tanh()),
        ("clamp", {}, nn.ReLU6()),
        ("clamp", {"low": -0.5, "high": 2.0}, nn.Hardtanh(-0.5, 2.0)),
        # PyTorch's own derivative is 1/6 in single precision even in f64; this is the same function.
        ("hard_sigmoid", {}, lambda x: torch.where((x > -3) & (x < 3), x / 6 + 0.5, (x >= 3).to(x))),
        ("hard_swish", {}, nn.Hardswish()),
        ("selu", {}, nn.SELU()),
        ("mish", {}, nn.Mish()),
        ("gelu_tanh", {}, nn.GELU("tanh")),
    ]
    cases = []
    for kind, settings, function in functions:
        for where, points in (("near", torch.cat([near, tiny])), ("far", far)):
            x = points.clone().requires_grad_()
            y = function(x)
            y.sum().backward()
            cases.append(
                {
                    "name": f"{kind}, {where}",
                    "kind": kind,
                    "settings": settings,
                    "x": flat(x),
                    "y": flat(y),
                    "derivative": flat(x.grad),
                }
            )
    return cases


def generate():
    write("layers", {"layers": layers()})
    write("residual", {"residual": residuals()})
    write("joins", {"joins": [concatenated(), gated(), multiplied()]})
    write("activations", {"activations": activations()})
