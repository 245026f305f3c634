"""Computes in PyTorch, in f64, the numbers that gradus's tests compare with; see README.md."""

import layers
import losses
import optimizers
import training

if __name__ == "__main__":
    for module in (layers, losses, optimizers, training):
        module.generate()
