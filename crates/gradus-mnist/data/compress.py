"""Regenerates train-*.bin and test.bin from the four files of MNIST, each gzipped or not.

    python3 compress.py FOLDER_WITH_MNIST

It needs NumPy, and takes a minute. The crate's documentation describes the format.
"""

import gzip
import sys
import zlib
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
IMAGES_PER_FILE = 10_000


def read(folder: Path, name: str, header: int) -> np.ndarray:
    """The values of an IDX file."""
    plain = folder / name
    content = plain.read_bytes() if plain.exists() else gzip.decompress((folder / f"{name}.gz").read_bytes())
    return np.frombuffer(content, np.uint8)[header:]


def compress(values: np.ndarray) -> bytes:
    """The smallest zlib stream of these bytes."""
    streams = []
    for strategy in (zlib.Z_DEFAULT_STRATEGY, zlib.Z_FILTERED, zlib.Z_HUFFMAN_ONLY):
        stream = zlib.compressobj(9, zlib.DEFLATED, 15, 9, strategy)
        streams.append(stream.compress(values.tobytes()) + stream.flush())
    return min(streams, key=len)


def encode(images: np.ndarray, labels: np.ndarray) -> bytes:
    """The content of a file."""
    inked = images != 0
    # A byte for each block of 4 rows and 2 columns.
    blocks = inked.reshape(-1, 7, 4, 14, 2).transpose(0, 1, 3, 2, 4).reshape(-1, 8)
    padded = np.pad(inked.astype(np.uint8), ((0, 0), (1, 1), (1, 1)))
    neighbors = padded[:, :-2, 1:-1] + padded[:, 2:, 1:-1] + padded[:, 1:-1, :-2] + padded[:, 1:-1, 2:]
    values, neighbors = images[inked], neighbors[inked]
    streams = [labels, np.packbits(blocks, axis=1, bitorder="little")]
    streams += [values[neighbors == count] for count in range(5)]
    return b"".join(map(compress, streams))


def main(folder: Path) -> None:
    for part, prefix in (("train", "train"), ("test", "t10k")):
        images = read(folder, f"{prefix}-images-idx3-ubyte", 16).reshape(-1, 28, 28)
        labels = read(folder, f"{prefix}-labels-idx1-ubyte", 8)
        files = len(labels) // IMAGES_PER_FILE
        for i in range(files):
            chunk = slice(i * IMAGES_PER_FILE, (i + 1) * IMAGES_PER_FILE)
            name = f"{part}-{i}.bin" if files > 1 else f"{part}.bin"
            (HERE / name).write_bytes(encode(images[chunk], labels[chunk]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
