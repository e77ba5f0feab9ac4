"""The payload of a synthetic task: `{"seed": text or int, "matrix_size": n, "iterations": T}`.

An optional `chains` asks for that many independent chains, each a job of its own; `proof: true`
asks for a proof of the result, which a network also demands of what is too large to be opened.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Final

import msgspec

from gpu.errors import PayloadError
from gpu.proofs.chain241.cost import most_iterations
from gpu.workloads.base import Limits
from gpu.workloads.synthetic.encoding import decoded, encoded

MAX_MATRIX_SIZE: Final = 65_536  # chain241: 32-bit sums cannot overflow up to here
MAX_SEED_BYTES: Final = 256
MAX_U32: Final = 2**32 - 1
MAX_CHAINS: Final = 64

_ONE_TAG: Final = b"tmnode/synthetic/v1/parameters"
_MANY_TAG: Final = b"tmnode/synthetic/v2/parameters"
_PROVEN_TAG: Final = b"tmnode/synthetic/v3/parameters"
_FIELDS: Final = ("seed", "matrix_size", "iterations")
_CHAINS: Final = "chains"
_PROOF: Final = "proof"


class SyntheticParameters(msgspec.Struct, frozen=True):
    """Chains of `iterations` products of square matrices of size `matrix_size`, from a seed."""

    seed: str
    matrix_size: int
    iterations: int
    chains: int = 1
    """All from the same seed: the nonces of their jobs make them differ."""
    proven: bool = False
    """Each result comes with a proof; else its iterates are opened and checked."""


def parse(payload: Mapping[str, object], limits: Limits) -> SyntheticParameters:
    """A customer's payload, within the limits of the network. Raises PayloadError."""
    _check_fields(payload)
    parameters = SyntheticParameters(
        seed=_seed(payload["seed"]),
        matrix_size=_count("matrix_size", payload["matrix_size"], _largest_size(limits)),
        iterations=_count("iterations", payload["iterations"], _most_iterations(limits)),
        chains=_count(_CHAINS, payload.get(_CHAINS, 1), _most_chains(limits)),
        proven=_flag(_PROOF, payload.get(_PROOF, False)),
    )
    if trace_bytes(parameters) > limits.max_trace_bytes:
        parameters = msgspec.structs.replace(parameters, proven=True)
    _check_evidence(parameters, limits)
    return parameters


def check_limits(parameters: SyntheticParameters, limits: Limits) -> None:
    """Raise PayloadError if a network, or this format, does not allow such chains, or so many."""
    _count("matrix_size", parameters.matrix_size, _largest_size(limits))
    _count("iterations", parameters.iterations, _most_iterations(limits))
    _count(_CHAINS, parameters.chains, _most_chains(limits))
    _check_evidence(parameters, limits)


def _largest_size(limits: Limits) -> int:
    return min(limits.max_matrix_size, MAX_MATRIX_SIZE)


def _most_iterations(limits: Limits) -> int:
    return min(limits.max_iterations, MAX_U32)


def _most_chains(limits: Limits) -> int:
    return min(limits.max_jobs, MAX_CHAINS)


def canonical(parameters: SyntheticParameters) -> bytes:
    """The one encoding of these parameters; that of one chain does not name their number."""
    seed = parameters.seed.encode("utf-8")
    sizes = (parameters.matrix_size, parameters.iterations)
    if parameters.proven:
        return encoded(_PROVEN_TAG, seed, *sizes, parameters.chains)
    if parameters.chains == 1:
        return encoded(_ONE_TAG, seed, *sizes)
    return encoded(_MANY_TAG, seed, *sizes, parameters.chains)


def from_canonical(data: bytes) -> SyntheticParameters:
    """The parameters with this encoding. Raises PayloadError for bytes that are nobody's."""
    tag = data[4:].startswith
    one = not tag(_MANY_TAG) and not tag(_PROVEN_TAG)
    try:
        _, seed, *numbers = decoded(data, 4 if one else 5)
        sizes = [int.from_bytes(number, "little") for number in numbers]
        parameters = SyntheticParameters(
            seed=_seed(seed.decode("utf-8")),
            matrix_size=_count("matrix_size", sizes[0], MAX_MATRIX_SIZE),
            iterations=_count("iterations", sizes[1], MAX_U32),
            chains=1 if one else _count(_CHAINS, sizes[2], MAX_CHAINS),
            proven=tag(_PROVEN_TAG),
        )
    except ValueError as error:
        raise _not_canonical() from error
    if canonical(parameters) != data:
        raise _not_canonical()
    return parameters


def work_units(parameters: SyntheticParameters) -> int:
    """Multiply-adds of one chain, counted the classical way: n^3 a step."""
    return parameters.matrix_size**3 * parameters.iterations


def trace_bytes(parameters: SyntheticParameters) -> int:
    """All iterates X_1 … X_T of one chain, one byte an entry."""
    return parameters.matrix_size**2 * parameters.iterations


def _check_fields(payload: Mapping[str, object]) -> None:
    known = (*_FIELDS, _CHAINS, _PROOF)
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


def _flag(field: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise PayloadError(field, f"is {_shown(value)}", "send true, or leave it out")
    return value


def _check_evidence(p: SyntheticParameters, limits: Limits) -> None:
    """What validators read and compute to check one chain is bounded before anybody begins."""
    size, wanted = p.matrix_size, trace_bytes(p)
    if not p.proven and wanted > limits.max_trace_bytes:
        problem = f"makes {wanted} bytes of trace, this network takes {limits.max_trace_bytes}"
        raise _too_large(limits.max_trace_bytes // size**2, problem)
    most = most_iterations(size, limits.max_proof_bytes, limits.max_proof_units)
    if p.proven and p.iterations > most:
        raise _too_large(most, "makes a proof that is too large for this network's validators")


def _too_large(iterations: int, problem: str) -> PayloadError:
    """Where at most so many of them would be taken."""
    fewer = f"at most {iterations} iterations or " if iterations else ""
    return PayloadError(
        "iterations" if iterations else "matrix_size",
        problem,
        f"send {fewer}a smaller matrix_size",
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
