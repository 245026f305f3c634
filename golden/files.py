"""Networks in files, from PyTorch's side: reads what Gradus wrote (tests/fixtures/sequential.safetensors) as strictly as PyTorch can,
and writes the outputs that it gives; and writes a file of its own, with its outputs.

    python golden/files.py    # after `cargo test -p gradus --test files -- --ignored`
"""

import json
import pathlib

import torch
from safetensors.torch import load_file, save_file
from torch import nn

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "crates/gradus/tests/fixtures"


def sequential():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64, 12),
        nn.BatchNorm1d(12),
        nn.Tanh(),
        nn.Linear(12, 10),
        nn.Softmax(dim=1),
    )


def write(name, values):
    (FIXTURES / name).write_text(json.dumps(values) + "\n")


def main():
    torch.manual_seed(5)
    x = torch.tensor(json.loads((FIXTURES / "digits.json").read_text())).reshape(8, 1, 8, 8)
    network = sequential()
    network.load_state_dict(load_file(FIXTURES / "sequential.safetensors"))
    with torch.no_grad():
        write("sequential.json", network.eval()(x).tolist())
        network = sequential()
        for _ in range(3):
            network.train()(x + torch.rand_like(x))
        save_file(network.state_dict(), FIXTURES / "torch.safetensors")
        write("torch.json", network.eval()(x).tolist())


if __name__ == "__main__":
    main()
