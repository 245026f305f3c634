"""What the measured Python programs share: arguments, data, clocks, the report. `protocol/src/lib.rs` is the same in Rust."""

import argparse
import json
import pathlib
import struct
import time

import numpy as np

CHECKED_STEPS = 20
CHECKED_IMAGES = 10
MANY = 10_000

# Work: network, batch, data set.
WORKS = {
    "mlp": ("mlp", 100, "train"),
    "cnn": ("cnn", 128, "train"),
    "lenet": ("lenet", 128, "train"),
    "lenet2048": ("lenet", 2048, "train"),
    "resnet8": ("resnet8", 128, "noise"),
    "small1": ("small", 1, "small"),
    "small32": ("small", 32, "small"),
    "one-mlp": ("mlp", 1, "test"),
    "one-lenet": ("lenet", 1, "test"),
    "many-mlp": ("mlp", MANY, "test"),
    "many-lenet": ("lenet", MANY, "test"),
}

# Learning rate, and momentum or None for Adam.
OPTIMIZERS = {"mlp": (0.1, 0.0), "cnn": (0.1, 0.0), "lenet": (1e-3, None), "resnet8": (0.01, 0.9), "small": (0.1, 0.0)}

# The shape of a sample.
SHAPES = {"mlp": (784,), "cnn": (1, 28, 28), "lenet": (1, 28, 28), "resnet8": (3, 32, 32), "small": (4,)}


class Work:
    """The command line, and what it stands for."""

    def __init__(self, peer):
        parser = argparse.ArgumentParser()
        parser.add_argument("work", choices=WORKS)
        parser.add_argument("--variant", default="")
        parser.add_argument("--data", type=pathlib.Path, required=True)
        parser.add_argument("--threads", type=int, default=2)
        parser.add_argument("--epochs", type=int, default=3)
        parser.add_argument("--limit", type=float, default=20.0, help="seconds after which an epoch is cut short")
        arguments = parser.parse_args()
        self.name, self.variant, self.data = arguments.work, arguments.variant, arguments.data
        self.threads, self.repeats, self.limit = arguments.threads, arguments.epochs, arguments.limit
        self.network, self.batch, self.set = WORKS[self.name]
        self.rate, self.momentum = OPTIMIZERS[self.network]
        self.classes = 2 if self.network == "small" else 10
        self.shape = SHAPES[self.network]
        self.small = self.network == "small"
        self.predicts = self.set == "test"
        self.report = {"work": self.name, "peer": peer + (f" {self.variant}" if self.variant else "")}

    def file(self, extension):
        return self.data / f"{self.network}.{extension}"

    def samples(self):
        """All samples, f32 from 0 to 1, and their classes."""
        y = np.fromfile(self.data / f"{self.set}-y.bin", np.uint8)
        x = np.fromfile(self.data / f"{self.set}-x.bin", np.uint8).astype(np.float32)
        x /= np.float32(255)
        return x.reshape(len(y), *self.shape), y.astype(np.int64)

    def checked(self, samples):
        """The samples of each checked step."""
        order = np.fromfile(self.data / f"{self.set}-order.bin", np.uint32).astype(np.int64)
        places = np.arange(CHECKED_STEPS * self.batch) % samples
        return order[places].reshape(CHECKED_STEPS, self.batch)

    def weights(self):
        """The first weights, by name, in PyTorch's layouts; without running statistics."""
        content = self.file("safetensors").read_bytes()
        (length,) = struct.unpack("<Q", content[:8])
        header = json.loads(content[8 : 8 + length])
        header.pop("__metadata__", None)
        weights = {}
        for name, tensor in header.items():
            start, end = (8 + length + offset for offset in tensor["data_offsets"])
            weights[name] = np.frombuffer(content[start:end], np.float32).reshape(tensor["shape"])
        return {name: value for name, value in weights.items() if "running" not in name}

    def epochs(self, samples, step, wait=lambda: None, epoch=None):
        """Seconds of each epoch, after one that doesn't count. An epoch of steps that is longer than the limit is cut short and
        its time scaled up. `epoch(order)`, where given, is a whole epoch at once."""
        random = np.random.default_rng(1)
        times = []
        for number in range(self.repeats + 1):
            limit = self.limit if number else self.limit / 4
            start = time.perf_counter()
            order = random.permutation(samples)
            done = samples
            if epoch:
                epoch(order)
            else:
                for first in range(0, samples, self.batch):
                    step(order[first : first + self.batch])
                    if time.perf_counter() - start > limit:
                        done = min(first + self.batch, samples)
                        break
            wait()
            if number:
                times.append((time.perf_counter() - start) * samples / done)
            if sum(times) > self.limit:
                break
        self.report["times"] = times

    def steps(self, step, wait=lambda: None, at_once=1):
        """Seconds of a step: means over half a second, as many as there are epochs, after one that doesn't count."""
        times = []
        for number in range(self.repeats + 1):
            start, count = time.perf_counter(), 0
            while time.perf_counter() - start < 0.5:
                for _ in range(100 if at_once == 1 else 1):
                    step()
                    count += at_once
                wait()
            if number:
                times.append((time.perf_counter() - start) / count)
        self.report["times"] = times

    def calls(self, call):
        """Predicts images one by one for a second and a half, a third of it not counted."""
        start, times, count = time.perf_counter(), [], 0
        while time.perf_counter() - start < 1.5:
            before = time.perf_counter()
            call(count % MANY)
            if time.perf_counter() - start > 0.5:
                times.append(time.perf_counter() - before)
            count += 1
        times.sort()
        self.report["times"] = [times[len(times) // 2]]
        self.report["p99"] = times[len(times) * 99 // 100]

    def passes(self, run, sizes=(128, 1000, MANY)):
        """Predicts many images, in the batches that are fastest: `run(first, end)`."""
        best = None
        for size in sizes:
            ends = [(first, min(first + size, MANY)) for first in range(0, MANY, size)]
            start, times = time.perf_counter(), []
            while len(times) < self.repeats + 1 or time.perf_counter() - start < 1.0:
                before = time.perf_counter()
                for first, end in ends:
                    run(first, end)
                times.append(time.perf_counter() - before)
            del times[0]
            if best is None or sorted(times)[len(times) // 2] < sorted(best[0])[len(best[0]) // 2]:
                best = times, size
        self.report["times"], self.report["batch"] = best

    def print(self, version):
        """Writes the report."""
        with open("/proc/self/status") as status:
            peak = next(line for line in status if line.startswith("VmHWM:"))
        self.report.update(version=version, peak_bytes=int(peak.split()[1]) * 1024)
        print(json.dumps(self.report))
