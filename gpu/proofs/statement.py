"""What a proof is about."""

import msgspec


class Statement(msgspec.Struct, frozen=True):
    """This worker's attempt at this task has this result. Another value of any field is refuted.

    `nonce` = job index · 2^16 + attempt, `parameters` is the workload's canonical encoding,
    `digest` the workload's own digest of the result. `beacon` is empty, or 32 bytes that nobody
    knew before the task was paid for.
    """

    chain_id: str
    task_id: str
    worker: str
    nonce: int
    kind: str
    parameters: bytes
    digest: bytes
    beacon: bytes = b""


class Cost(msgspec.Struct, frozen=True):
    """What verifying takes, known from the statement alone; a unit is about a multiply-add."""

    proof_bytes: int
    output_bytes: int
    units: int


class Bounds(msgspec.Struct, frozen=True):
    """The most that a verifier takes upon itself."""

    max_proof_bytes: int = 16 * 1024 * 1024
    max_output_bytes: int = 1024 * 1024 * 1024
    max_units: int = 100_000_000_000
