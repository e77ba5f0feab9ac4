"""What proving and verifying take, known from n and T alone, in units of about a multiply-add."""

from typing import Final

from gpu.proofs.chain241.iterates import advances
from gpu.proofs.chain241.specification import proof_bytes, step_bytes, variables
from gpu.proofs.statement import Cost

# So chosen that a unit takes the native verifier about the same time, 0.1 to 0.25 ns, for every n
# and T.
_MATRIX_UNITS: Final = 48
_ROW_UNITS: Final = 2048
_PROOF_BYTE_UNITS: Final = 2048
_STEP_UNITS: Final = 1 << 19

# So chosen that a unit takes the prover as long as a multiply-add takes the chain on the same core,
# for n from 1 to 4096: the products, and the rounds that are hashed whatever their size.
_PRODUCT_UNITS: Final = 112
_ROUND_UNITS: Final = 1 << 24

PROVER_BYTES: Final = 1 << 30
"""What a prover keeps iterates in, and no less than `PROVER_STATES` of them."""
PROVER_STATES: Final = 16


def verifying(size: int, iterations: int) -> Cost:
    """48 n^2 for X_0 and X_T; a step 2^19, 2048 a row of a table, and 2048 a byte of proof."""
    return Cost(
        proof_bytes=proof_bytes(size, iterations),
        output_bytes=size**2,
        units=_MATRIX_UNITS * size**2 + _step_units(size) * iterations,
    )


def most_iterations(size: int, max_proof_bytes: int, max_units: int) -> int:
    """The longest chain of this size whose proof a verifier with these bounds takes; or 0."""
    by_units = (max_units - _MATRIX_UNITS * size**2) // _step_units(size)
    return max(0, min(max_proof_bytes // step_bytes(size), by_units))


def states_kept(size: int, iterations: int) -> int:
    """How many iterates a prover holds at a time: as many as its memory takes, or all."""
    return min(max(PROVER_STATES, PROVER_BYTES // size**2), iterations + 2)


def proving_units(size: int, iterations: int) -> int:
    """A step 2^24 (m + 1) and 112 n^2; n^3 for each iterate that is computed again."""
    again = advances(iterations, states_kept(size, iterations)) - iterations
    step = _ROUND_UNITS * (variables(size) + 1) + _PRODUCT_UNITS * size**2
    return again * size**3 + step * iterations


def _step_units(size: int) -> int:
    return _STEP_UNITS + (_ROW_UNITS << variables(size)) + _PROOF_BYTE_UNITS * step_bytes(size)
