"""The payload of a synthetic task: `{"seed": text or int, "matrix_size": n, "iterations": T}`.

An optional `chains` asks for that many independent chains, each a job of its own.
"""

import math
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Final

import msgspec

from gpu.errors import PayloadError
from gpu.workloads.base import Limits
from gpu.workloads.synthetic.encoding import decoded, encoded

MAX_MATRIX_SIZE: Final = 65_536  # chain241: 32-bit sums cannot overflow up to here
MAX_SEED_BYTES: Final = 256
MAX_U32: Final = 2**32 - 1
MAX_CHAINS: Final = 64

_ONE_TAG: Final = b"tmnode/synthetic/v1/parameters"
_MANY_TAG: Final = b"tmnode/synthetic/v2/parameters"
_FIELDS: Final = ("seed", "matrix_size", "iterations")
_CHAINS: Final = "chains"


class SyntheticParameters(msgspec.Struct, frozen=True):
    """Chains of `iterations` products of square matrices of size `matrix_size`, from a seed."""

    seed: str
    matrix_size: int
    iterations: int
    chains: int = 1
    """All from the same seed: the nonces of their jobs make them differ."""


def parse(payload: Mapping[str, object], limits: Limits) -> SyntheticParameters:
    """A customer's payload, within the limits of the network. Raises PayloadError."""
    _check_fields(payload)
    parameters = SyntheticParameters(
        seed=_seed(payload["seed"]),
        matrix_size=_count("matrix_size", payload["matrix_size"], _largest_size(limits)),
        iterations=_count("iterations", payload["iterations"], _most_iterations(limits)),
        chains=_count(_CHAINS, payload.get(_CHAINS, 1), _most_chains(limits)),
    )
    _check_trace(parameters, limits)
    return parameters


def check_limits(parameters: SyntheticParameters, limits: Limits) -> None:
    """Raise PayloadError if a network, or this format, does not allow such chains, or so many."""
    _count("matrix_size", parameters.matrix_size, _largest_size(limits))
    _count("iterations", parameters.iterations, _most_iterations(limits))
    _count(_CHAINS, parameters.chains, _most_chains(limits))
    _check_trace(parameters, limits)


def _largest_size(limits: Limits) -> int:
    return min(limits.max_matrix_size, MAX_MATRIX_SIZE)


def _most_iterations(limits: Limits) -> int:
    return min(limits.max_iterations, MAX_U32)


def _most_chains(limits: Limits) -> int:
    return min(limits.max_jobs, MAX_CHAINS)


def canonical(parameters: SyntheticParameters) -> bytes:
    """The one encoding of these parameters; that of a single chain does not name their number."""
    seed = parameters.seed.encode("utf-8")
    sizes = (parameters.matrix_size, parameters.iterations)
    if parameters.chains == 1:
        return encoded(_ONE_TAG, seed, *sizes)
    return encoded(_MANY_TAG, seed, *sizes, parameters.chains)


def from_canonical(data: bytes) -> SyntheticParameters:
    """The parameters with this encoding. Raises PayloadError for bytes that are nobody's."""
    many = data[4:].startswith(_MANY_TAG)
    try:
        _, seed, *numbers = decoded(data, 5 if many else 4)
        sizes = [int.from_bytes(number, "little") for number in numbers]
        parameters = SyntheticParameters(
            seed=_seed(seed.decode("utf-8")),
            matrix_size=_count("matrix_size", sizes[0], MAX_MATRIX_SIZE),
            iterations=_count("iterations", sizes[1], MAX_U32),
            chains=_count(_CHAINS, sizes[2], MAX_CHAINS) if many else 1,
        )
    except ValueError as error:
        raise _not_canonical() from error
    if canonical(parameters) != data:
        raise _not_canonical()
    return parameters


def trace_bytes(parameters: SyntheticParameters) -> int:
    """All iterates X_1 … X_T of one chain, one byte an entry."""
    return parameters.matrix_size**2 * parameters.iterations


def _check_fields(payload: Mapping[str, object]) -> None:
    known = (*_FIELDS, _CHAINS)
    remedy = f"send {', '.join(_FIELDS)}, and {_CHAINS} for more than one"
    for key in payload:
        if key not in known:
            near = get_close_matches(key[:60], known, n=1)
            raise PayloadError(
                _name(key), "is unknown", f"did you mean {near[0]}?" if near else remedy
            )
    for field in _FIELDS:
        if field not in payload:
            raise PayloadError(field, "is missing", remedy)


def _name(key: str) -> str:
    return key if key.isprintable() and len(key) <= 60 else _shown(key)


def _seed(value: object) -> str:
    remedy = f"send a text of 1 to {MAX_SEED_BYTES} bytes in UTF-8, or an integer"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**MAX_SEED_BYTES:
        value = str(value)
    if not isinstance(value, str):
        raise PayloadError("seed", f"is {_shown(value)}", remedy)
    try:
        size = len(value.encode("utf-8"))
    except UnicodeEncodeError:
        raise PayloadError("seed", "holds a lone surrogate, which has no UTF-8", remedy) from None
    if not 1 <= size <= MAX_SEED_BYTES:
        raise PayloadError("seed", f"has {size} bytes", remedy)
    return value


def _count(field: str, value: object, largest: int) -> int:
    remedy = f"send an integer from 1 to {largest}"
    if not isinstance(value, int) or isinstance(value, bool):
        raise PayloadError(field, f"is {_shown(value)}", remedy)
    if not 1 <= value <= largest:
        raise PayloadError(field, f"is {_shown(value)}", remedy)
    return value


def _check_trace(parameters: SyntheticParameters, limits: Limits) -> None:
    wanted, most = trace_bytes(parameters), limits.max_trace_bytes
    if wanted <= most:
        return
    iterations = most // parameters.matrix_size**2
    fix = f"at most {iterations} iterations or a smaller matrix_size"
    raise PayloadError(
        "iterations" if iterations else "matrix_size",
        f"makes {wanted} bytes of trace, this network takes {most}",
        f"send {fix if iterations else f'a matrix_size of at most {math.isqrt(most)}'}",
        code="task_too_large",
    )


def _not_canonical() -> PayloadError:
    return PayloadError("parameters", "are not in canonical form", "encode them with `canonical`")


def _shown(value: object) -> str:
    """A stranger's value in a message: short, ASCII, and never expensive."""
    if isinstance(value, str):
        return ascii(value[:40])
    if isinstance(value, bool | float | None) or (isinstance(value, int) and abs(value) < 10**20):
        return str(value)
    if isinstance(value, int):
        return f"an integer of {value.bit_length()} bits"
    return f"of type {type(value).__name__}"
