"""Writes the ONNX files that the tests of import read: small networks as PyTorch, Keras and scikit-learn export them, each with
inputs and the outputs that the framework itself gives for them.

    python fixtures.py            # all of them
    python fixtures.py torch      # those of one framework: torch, keras or sklearn

It needs the framework and its exporter: torch and onnxscript; tensorflow, keras and tf2onnx; scikit-learn and skl2onnx.
"""

import json
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "fixtures"


def write(name, model, x, y):
    """Writes the file, without the comments that exporters leave in it, and the JSON beside it."""
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    for value in [*model.graph.input, *model.graph.output, *model.graph.initializer]:
        value.doc_string = ""
        del value.metadata_props[:]
    del model.graph.value_info[:]
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    onnx.checker.check_model(model)
    (FOLDER / f"{name}.onnx").write_bytes(model.SerializeToString())
    case = {
        "x": {"shape": list(x.shape), "values": [float(v) for v in np.asarray(x, np.float32).ravel()]},
        "y": {"shape": list(y.shape), "values": [float(v) for v in np.asarray(y, np.float32).ravel()]},
    }
    (FOLDER / f"{name}.json").write_text(json.dumps(case) + "\n")
    operators = ", ".join(dict.fromkeys(node.op_type for node in model.graph.node))
    print(f"{name}: {model.ByteSize()} bytes, opset {model.opset_import[0].version}: {operators}")


def torch_fixtures():
    import torch
    from torch import nn
    import torch.nn.functional as F

    class Mlp(nn.Module):
        """Its own flattening, with the size of the batch asked for at run time."""

        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(12, 7), nn.Linear(7, 3)

        def forward(self, x):
            x = x.view(x.size(0), -1)
            return F.softmax(self.second(torch.tanh(self.first(x))), dim=1)

    class Block(nn.Module):
        """A residual block as in ResNet."""

        def __init__(self, channels, out, stride):
            super().__init__()
            self.a = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
            self.b = nn.Conv2d(out, out, 3, 1, 1, bias=False)
            self.na, self.nb = nn.BatchNorm2d(out), nn.BatchNorm2d(out)
            self.shortcut = None if stride == 1 else nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))

        def forward(self, x):
            y = self.nb(self.b(F.relu(self.na(self.a(x)))))
            return F.relu(y + (x if self.shortcut is None else self.shortcut(x)))

    class Inception(nn.Module):
        """Branches with windows of several sizes, one of which splits again."""

        def __init__(self):
            super().__init__()
            self.one, self.reduce = nn.Conv2d(3, 2, 1), nn.Conv2d(3, 2, 1)
            self.wide, self.tall = nn.Conv2d(2, 2, (1, 3), padding=(0, 1)), nn.Conv2d(2, 1, (3, 1), padding=(1, 0))
            self.pooled = nn.Conv2d(3, 1, 1)

        def forward(self, x):
            reduced = F.relu(self.reduce(x))
            split = torch.cat([F.relu(self.wide(reduced)), F.relu(self.tall(reduced))], 1)
            pooled = self.pooled(F.avg_pool2d(x, 3, 1, 1))
            return torch.cat([self.one(x), split, pooled], 1)

    class Dense(nn.Module):
        """Every layer takes what all before it gave, as torchvision's DenseNet joins it."""

        def __init__(self, channels, growth, layers):
            super().__init__()
            sizes = [channels + growth * i for i in range(layers)]
            self.norms = nn.ModuleList(nn.BatchNorm2d(size) for size in sizes)
            self.convolutions = nn.ModuleList(nn.Conv2d(size, growth, 3, padding=1, bias=False) for size in sizes)

        def forward(self, x):
            features = [x]
            for norm, convolution in zip(self.norms, self.convolutions):
                features.append(convolution(F.relu(norm(torch.cat(features, 1)))))
            return torch.cat(features, 1)

    class Gate(nn.Module):
        """Squeeze and excitation, with dense layers or with convolutions of a pixel."""

        def __init__(self, channels, dense):
            super().__init__()
            layer = nn.Linear if dense else lambda a, b: nn.Conv2d(a, b, 1)
            self.down, self.up, self.dense = layer(channels, 2), layer(2, channels), dense

        def forward(self, x):
            gate = F.adaptive_avg_pool2d(x, 1)
            if self.dense:
                gate = gate.flatten(1)
            gate = torch.sigmoid(self.up(F.relu(self.down(gate))))
            return x * (gate.view(x.size(0), -1, 1, 1) if self.dense else gate)

    class Product(nn.Module):
        """A gated linear unit: one half of the values times the sigmoid of the other."""

        def __init__(self, inputs, outputs):
            super().__init__()
            self.value, self.gate = nn.Linear(inputs, outputs), nn.Linear(inputs, outputs)

        def forward(self, x):
            return torch.cat([self.value(x) * torch.sigmoid(self.gate(x)), x], 1)

    cases = {
        "joins": (
            nn.Sequential(
                Inception(), nn.ReLU(), Gate(6, True), Dense(6, 2, 3), Gate(12, False), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                Product(12, 4), nn.Linear(16, 3),
            ),
            (3, 5, 4),
        ),
        "mlp": (Mlp(), (3, 4)),
        "cnn": (
            nn.Sequential(
                nn.Conv2d(2, 4, (3, 2), stride=(2, 1), padding=(1, 0)), nn.ReLU(), nn.MaxPool2d(2, stride=1, padding=1),
                nn.Conv2d(4, 4, 3, dilation=2, padding=2, groups=2), nn.LeakyReLU(0.2), nn.AvgPool2d(2, padding=1),
                nn.Flatten(), nn.Dropout(0.5), nn.Linear(60, 5), nn.BatchNorm1d(5), nn.Sigmoid(),
            ),
            (2, 8, 9),
        ),
        "resnet": (
            nn.Sequential(Block(2, 2, 1), Block(2, 4, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)),
            (2, 6, 6),
        ),
        "activations": (
            nn.Sequential(
                nn.Linear(5, 6), nn.GELU(), nn.Linear(6, 6), nn.SiLU(), nn.Linear(6, 6), nn.ELU(0.7), nn.Linear(6, 6),
                nn.Softplus(), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 4), nn.Softmax(dim=-1),
            ),
            (5,),
        ),
        # By scales and by sizes.
        "upsample": (
            nn.Sequential(
                nn.Conv2d(2, 3, 1), nn.Upsample(scale_factor=(2, 3)), nn.Tanh(), nn.Upsample(scale_factor=2, mode="bilinear"),
                nn.Conv2d(3, 2, 3, 2), nn.Upsample(size=(10, 16)), nn.Tanh(), nn.Upsample(size=(20, 16), mode="bilinear"),
                nn.AvgPool2d(4), nn.Flatten(), nn.Linear(40, 3),
            ),
            (2, 3, 3),
        ),
    }
    for name, (network, shape) in cases.items():
        torch.manual_seed(1)
        for parameter in network.parameters():
            nn.init.normal_(parameter, std=0.5)
        x = torch.randn(3, *shape)
        # Statistics that are not 0 and 1.
        network.train()
        for _ in range(3):
            network(torch.randn(16, *shape) * 2 + 0.5)
        network.eval()
        y = network(x).detach().numpy()
        for exporter in ("old", "dynamo"):
            with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
                warnings.simplefilter("ignore")
                path = f"{folder}/network.onnx"
                names = {"input_names": ["x"], "output_names": ["y"]}
                if exporter == "old":
                    torch.onnx.export(network, (x,), path, dynamo=False, dynamic_axes={"x": {0: "n"}}, **names)
                else:
                    batch = torch.export.Dim("n")
                    torch.onnx.export(
                        network, (x,), path, dynamo=True, dynamic_shapes=({0: batch},), external_data=False, verbose=False, **names
                    )
                write(f"torch_{name}_{exporter}", onnx.load(path), x, y)


def keras_fixtures():
    import keras
    from keras import layers

    def cnn(channels, padding):
        return keras.Sequential([
            keras.Input((8, 7, channels)),
            layers.Conv2D(4, 3, padding=padding, activation="relu"), layers.BatchNormalization(),
            layers.MaxPooling2D(2), layers.Conv2D(3, 2, strides=2, padding="same", use_bias=False), layers.ELU(),
            layers.Dropout(0.3), layers.Flatten(), layers.Dense(6, activation="silu"), layers.Dense(4, activation="softmax"),
        ])

    inputs = keras.Input((6, 6, 2))
    x = layers.Conv2D(3, 3, padding="same")(inputs)
    x = layers.Activation("relu")(layers.BatchNormalization()(x))
    side = x
    x = layers.DepthwiseConv2D(3, padding="same")(x)
    x = layers.Activation("relu")(layers.Add()([layers.Conv2D(3, 1)(x), side]))
    x = layers.AveragePooling2D(2, padding="same")(x)
    x = layers.GlobalAveragePooling2D()(x)
    residual = keras.Model(inputs, layers.Dense(2)(x))

    cases = {
        "mlp": keras.Sequential([
            keras.Input((3, 4)), layers.Flatten(), layers.Dense(8, activation="tanh"), layers.BatchNormalization(),
            layers.Dense(8, activation="softplus"), layers.Dropout(0.2), layers.Dense(5), layers.BatchNormalization(),
            layers.LeakyReLU(0.1), layers.Dense(3, activation="sigmoid"),
        ]),
        "cnn": cnn(2, "same"),
        "gray": cnn(1, "valid"),
        "rgb": keras.Sequential([keras.Input((3, 3, 3)), layers.Flatten(), layers.Dense(3, activation="softmax")]),
        "residual": residual,
    }
    for name, network in cases.items():
        random = np.random.default_rng(1)
        for weight in network.weights:
            values = random.normal(0, 0.4, weight.shape)
            weight.assign(np.abs(values) + 0.5 if "variance" in weight.path else values)
        x = random.normal(0, 1, (3, *network.input_shape[1:])).astype(np.float32)
        y = network.predict(x, verbose=0)
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/network.onnx"
            network.export(path, format="onnx", verbose=False)
            write(f"keras_{name}", onnx.load(path), x, y)


def sklearn_fixtures():
    from skl2onnx import to_onnx
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    random = np.random.default_rng(1)
    samples = random.normal(0, 1, (60, 4)).astype(np.float32)
    three = np.array(["ash", "elm", "oak"])[(samples[:, 0] + samples[:, 1] * 2 > 0).astype(int) + (samples[:, 2] > 1)]
    x = samples[:3]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, targets, options in [
            ("classes", three, {"zipmap": True}),
            ("tensor", three, {"zipmap": False}),
            ("binary", samples[:, 0] > samples[:, 3], {"zipmap": False}),
        ]:
            kind = "logistic" if name == "tensor" else "relu"
            network = MLPClassifier(hidden_layer_sizes=(6, 5), activation=kind, max_iter=40, random_state=1).fit(samples, targets)
            write(f"sklearn_{name}", to_onnx(network, x, options={id(network): options}), x, network.predict_proba(x))
        network = make_pipeline(StandardScaler(), MLPClassifier(hidden_layer_sizes=(5,), max_iter=40, random_state=1))
        network.fit(samples * 3 + 1, three)
        options = {id(network): {"zipmap": False}}
        write("sklearn_pipeline", to_onnx(network, x, options=options), x, network.predict_proba(x))
        network = MLPRegressor(hidden_layer_sizes=(6,), activation="tanh", max_iter=40, random_state=1).fit(samples, samples[:, 1] ** 2)
        write("sklearn_values", to_onnx(network, x), x, network.predict(x).reshape(-1, 1))


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    frameworks = {"torch": torch_fixtures, "keras": keras_fixtures, "sklearn": sklearn_fixtures}
    for framework in sys.argv[1:] or frameworks:
        frameworks[framework]()
