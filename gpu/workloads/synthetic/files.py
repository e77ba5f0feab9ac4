"""Writing what a run leaves, in pieces between which somebody may want to cancel."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gpu.workloads.base import OutputFile
from gpu.workloads.synthetic.chain import Tick

MATRIX: Final = "matrix"

_PIECE_BYTES: Final = 16 * 1024 * 1024  # hashed and written between two looks at the clock


def write_matrix(scratch: Path, matrix: memoryview, tick: Tick) -> OutputFile:
    """X_T as the output file `matrix`."""
    digest, path = hashlib.sha256(), scratch / MATRIX
    with path.open("wb") as file:
        for piece in pieces(matrix):
            digest.update(piece)
            file.write(piece)
            tick(1.0)
    return OutputFile(name=MATRIX, file_name=path.name, size=len(matrix), sha256=digest.digest())


def pieces(data: memoryview) -> Iterator[memoryview]:
    """Data in pieces of a size that takes no noticeable time."""
    for start in range(0, len(data), _PIECE_BYTES):
        yield data[start : start + _PIECE_BYTES]
