"""What all cases share: reproducible numbers that f32 holds exactly, and compact JSON."""

import json
import pathlib
import random

import torch

FOLDER = pathlib.Path(__file__).parent
torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)


class Draw:
    """Numbers for one case, drawn from its name alone: adding a case changes no other.

    Every number is a multiple of 1/64 (or of a finer power of two), so that f32 and f64 both hold it exactly and
    a test compares arithmetic, not the rounding of its inputs.
    """

    def __init__(self, name):
        self.random = random.Random(f"gradus {name}")

    def tensor(self, *shape, low=-2.0, high=2.0, step=1 / 64):
        """Independent multiples of `step` in [low, high)."""
        count = round((high - low) / step)
        values = [low + step * int(self.random.random() * count) for _ in range(size(shape))]
        return torch.tensor(values).reshape(shape)

    def distinct(self, *shape, step=1 / 64):
        """Different multiples of `step` around zero in random order: no two are equal, so a maximum is never shared."""
        order = list(range(size(shape)))
        for i in reversed(range(1, len(order))):
            j = int(self.random.random() * (i + 1))
            order[i], order[j] = order[j], order[i]
        return torch.tensor([(k - len(order) // 2) * step for k in order]).reshape(shape)

    def classes(self, samples, count):
        """A class for each sample."""
        return torch.tensor([int(self.random.random() * count) for _ in range(samples)])


def size(shape):
    """The number of values of a tensor of this shape."""
    product = 1
    for d in shape:
        product *= d
    return product


def number(value):
    """The shortest text that reads back as the same f64."""
    return int(value) if value == int(value) and abs(value) < 2**53 else value


def flat(tensor):
    """All values of a tensor in row-major order."""
    return [number(v) for v in tensor.detach().reshape(-1).tolist()]


def tensor(values):
    """A tensor with its shape."""
    return {"shape": list(values.shape), "values": flat(values)}


def write(name, content):
    """Writes one file: an object of lists of cases, one case a line."""
    lines = []
    for key, cases in content.items():
        body = ",\n".join(json.dumps(case, separators=(",", ":"), allow_nan=False) for case in cases)
        lines.append(f'"{key}":[\n{body}\n]')
    text = "{\n" + ",\n".join(lines) + "\n}\n"
    path = FOLDER / f"{name}.json"
    path.write_text(text)
    print(f"{path.name}: {len(text):,} bytes, {sum(map(len, content.values()))} cases")
