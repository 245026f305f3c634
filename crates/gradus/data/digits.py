"""Regenerates digits-*.gz from scikit-learn's copy of the data.

    pip download --no-deps scikit-learn && python3 digits.py scikit_learn-*.whl

It needs nothing but Python's standard library.
"""

import gzip
import struct
import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).parent


def write(name: str, dims: list[int], values: bytes) -> None:
    """Writes an IDX file of unsigned bytes, gzipped the same way every time."""
    header = bytes([0, 0, 8, len(dims)]) + struct.pack(f">{len(dims)}I", *dims)
    (HERE / name).write_bytes(gzip.compress(header + values, 9, mtime=0))


def main(wheel: str) -> None:
    with zipfile.ZipFile(wheel) as archive:
        table = gzip.decompress(archive.read("sklearn/datasets/data/digits.csv.gz")).decode()
    rows = [[int(float(cell)) for cell in line.split(",")] for line in table.split()]
    assert len(rows) == 1797 and all(len(row) == 65 for row in rows)
    write("digits-images-idx3-ubyte.gz", [1797, 8, 8], bytes(v for row in rows for v in row[:64]))
    write("digits-labels-idx1-ubyte.gz", [1797], bytes(row[64] for row in rows))


if __name__ == "__main__":
    main(sys.argv[1])
