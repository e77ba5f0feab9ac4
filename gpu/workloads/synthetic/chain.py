"""The chain: X_{t+1} = X_t D_t X_t + u_t v_t^T over F_241, everything grown from one key.

Work is cut into tiles that a backend does in about 100 ms, and `tick` is called after each, so that
a run can be watched and cancelled.
"""

from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import Generic, NamedTuple

from gpu.backend import Array, Backend

# Tiles are multiples of what the kernels block by: 384 rows and 512 columns where launches allow,
# else narrower, and lower only when they are as narrow as can be.
_TILE_ROWS = (384, 96)
_TILE_COLUMNS = (512, 64)

# Elements expanded in one call: about 30 ms for the slowest kernels.
_EXPANSION = 1 << 20

Tick = Callable[[float], None]


class Stream(IntEnum):
    """Streams of a chain's key."""

    START = 0
    DIAGONAL = 1
    COLUMN = 2
    ROW = 3


class StepInputs(NamedTuple, Generic[Array]):
    """D_t, u_t and v_t, each a matrix of one row."""

    diagonal: Array
    column: Array
    row: Array


def no_tick(_part: float) -> None:
    """For callers that watch nothing."""


def first_iterate(backend: Backend[Array], key: bytes, size: int, tick: Tick = no_tick) -> Array:
    """X_0. `tick` is told the part done."""
    start = backend.empty(size, size)
    rows = max(1, _EXPANSION // size)
    for row in range(0, size, rows):
        part = backend.tile(start, slice(row, min(row + rows, size)), slice(0, size))
        backend.expand(part, key, Stream.START, 0, first=row * size)
        tick(min(1.0, (row + rows) / size))
    return start


def step_inputs(backend: Backend[Array], key: bytes, size: int, step: int) -> StepInputs[Array]:
    """What step t -> t + 1 takes besides X_t."""
    inputs = StepInputs(*(backend.empty(1, size) for _ in range(3)))
    backend.expand(inputs.diagonal, key, Stream.DIAGONAL, step, nonzero=True)
    backend.expand(inputs.column, key, Stream.COLUMN, step)
    backend.expand(inputs.row, key, Stream.ROW, step)
    return inputs


def advance(
    backend: Backend[Array],
    current: Array,
    following: Array,
    inputs: StepInputs[Array],
    size: int,
    tick: Tick = no_tick,
) -> None:
    """Compute X_{t+1} into `following`. `tick` is told the part of the step that is done."""
    every = slice(0, size)
    for rows, columns in tiles(size, backend.launch_macs):
        backend.product(
            backend.tile(current, rows, every),
            backend.tile(current, every, columns),
            backend.tile(following, rows, columns),
            scale=inputs.diagonal,
            column=backend.tile(inputs.column, slice(0, 1), rows),
            row=backend.tile(inputs.row, slice(0, 1), columns),
        )
        whole_rows = rows.start + (rows.stop - rows.start) * columns.stop / size
        tick(whole_rows / size)


def tiles(size: int, launch_macs: int) -> Iterator[tuple[slice, slice]]:
    """Cut a result of size x size into tiles of about `launch_macs` multiply-adds each."""
    rows_of_narrowest = launch_macs // (_TILE_COLUMNS[-1] * size)
    wanted = max(launch_macs // size**2, min(_TILE_ROWS[0], rows_of_narrowest))
    height = _rounded(wanted, _TILE_ROWS, size)
    width = _rounded(launch_macs // (height * size), _TILE_COLUMNS, size)
    for row in range(0, size, height):
        for column in range(0, size, width):
            yield (
                slice(row, min(row + height, size)),
                slice(column, min(column + width, size)),
            )


def _rounded(wanted: int, units: tuple[int, ...], most: int) -> int:
    """`wanted` down to a multiple of the first unit it reaches; the last unit at least."""
    unit = next((unit for unit in units if wanted >= unit), units[-1])
    return min(most, max(unit, wanted // unit * unit))
