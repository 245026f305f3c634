"""Holds export and import against Python's tools, on 1,000 test images.

    python check.py [FOLDER]

1. Networks of Gradus, among them all its layers, are exported (by the example `peers`). `onnx.checker` must accept each file,
   and onnxruntime must give the same outputs for the images, within 1e-5.
2. scikit-learn trains networks on the images and skl2onnx exports them; so does PyTorch, with both of its exporters, if it is
   installed. Gradus imports each (the same example), and must give the same outputs, within 1e-5.

The images are MNIST's. Files are written into FOLDER, or a temporary one.
"""

import json
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

ROOT = Path(__file__).resolve().parents[3]
TOLERANCE = 1e-5


def peers(*arguments):
    """Runs the Rust half."""
    command = ["cargo", "run", "--quiet", "--package", "gradus-onnx", "--example", "peers", "--", *map(str, arguments)]
    subprocess.run(command, cwd=ROOT, check=True)


def floats(path):
    return np.fromfile(path, np.float32)


def check_exported(folder):
    """Every file that Gradus has written; True if all are as they should be."""
    images = json.loads((folder / "images.json").read_text())
    bytes_ = np.fromfile(folder / "images.u8", np.uint8)
    good = True
    for path in sorted(folder.glob("*.onnx")):
        onnx.checker.check_model(onnx.load(path), full_check=True)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        (x,) = session.get_inputs()
        assert x.shape[1:] == images["shape"] and not isinstance(x.shape[0], int), x.shape
        samples = bytes_.reshape(-1, *images["shape"])
        if x.type == "tensor(float)":
            samples = samples.astype(np.float32) / 255
        expected = floats(path.with_suffix(".y"))
        # At once, and in batches of other sizes: the number of samples is free.
        for size in (len(samples), 7):
            parts = [session.run(None, {x.name: samples[i : i + size]})[0] for i in range(0, len(samples), size)]
            difference = np.abs(np.concatenate(parts).ravel() - expected)
            worst = float((difference / np.maximum(np.abs(expected), 1)).max())
            good &= worst <= TOLERANCE
        print(f"exported {path.stem}: {len(samples)} images, largest difference {worst:.1e}")
    return good


def write(folder, name, model, x, y):
    """A network of another framework, with what it is given and gives."""
    path = folder / name
    (path.with_suffix(".onnx")).write_bytes(model)
    np.ascontiguousarray(x, np.float32).tofile(path.with_suffix(".x"))
    np.ascontiguousarray(y, np.float32).tofile(path.with_suffix(".y"))


def write_sklearn(folder, images, labels):
    from skl2onnx import to_onnx
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    x = images.reshape(len(images), -1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, activation, targets in (("relu", "relu", labels), ("tanh", "tanh", labels), ("binary", "logistic", labels % 2)):
            network = MLPClassifier((32, 16), activation=activation, max_iter=15, random_state=1).fit(x, targets)
            y = network.predict_proba(x)
            # Of two classes, Gradus gives the probability of the second.
            write(folder, f"sklearn_{name}", to_onnx(network, x[:1]).SerializeToString(), x, y[:, 1] if name == "binary" else y)
        network = MLPRegressor(hidden_layer_sizes=(20,), max_iter=15, random_state=1).fit(x, labels)
        write(folder, "sklearn_values", to_onnx(network, x[:1]).SerializeToString(), x, network.predict(x))


def write_torch(folder, images):
    import torch
    from torch import nn

    channels, height, width = images.shape[1:]
    torch.manual_seed(1)
    network = nn.Sequential(
        nn.Conv2d(channels, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3), nn.SiLU(),
        nn.Flatten(), nn.Linear(8 * (height // 2 - 2) * (width // 2 - 2), 32), nn.GELU(), nn.Dropout(0.5), nn.Linear(32, 10),
        nn.Softmax(dim=1),
    )
    x = torch.from_numpy(images)
    network.train()
    network(x)
    network.eval()
    y = network(x).detach().numpy()
    for exporter in ("old", "new"):
        with tempfile.TemporaryDirectory() as temporary, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            path = f"{temporary}/network.onnx"
            if exporter == "old":
                torch.onnx.export(network, (x,), path, dynamo=False, input_names=["x"], dynamic_axes={"x": {0: "n"}})
            else:
                shapes = ({0: torch.export.Dim("n")},)
                torch.onnx.export(network, (x,), path, dynamo=True, dynamic_shapes=shapes, external_data=False, verbose=False)
            write(folder, f"torch_{exporter}", Path(path).read_bytes(), images, y)


def main(folder):
    ours, theirs = folder / "exported", folder / "imported"
    ours.mkdir(parents=True, exist_ok=True)
    theirs.mkdir(exist_ok=True)
    peers("export", ours)
    good = check_exported(ours)

    shape = json.loads((ours / "images.json").read_text())["shape"]
    images = np.fromfile(ours / "images.u8", np.uint8).reshape(-1, *shape).astype(np.float32) / 255
    labels = np.fromfile(ours / "labels.u8", np.uint8)
    write_sklearn(theirs, images, labels)
    try:
        import torch  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError:
        print("PyTorch or its exporter is not installed: its networks are left out")
    else:
        write_torch(theirs, images)
    peers("import", theirs)
    if not good:
        sys.exit(f"an exported network differs by more than {TOLERANCE}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
