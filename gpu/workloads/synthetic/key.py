"""The key that a chain grows from, and the digest of what it ends in (chain241, section 1)."""

import hashlib
from typing import Final

from gpu.workloads.base import JobContext
from gpu.workloads.synthetic.encoding import encoded
from gpu.workloads.synthetic.parameters import SyntheticParameters

_KEY_TAG: Final = b"tmnode/chain241/v1/key"
_OUT_TAG: Final = b"tmnode/chain241/v1/out"


def chain_key(job: JobContext, parameters: SyntheticParameters, beacon: bytes = b"") -> bytes:
    """32 bytes, different for every chain id, task, worker, attempt, seed and size.

    `beacon` is empty, or 32 bytes that nobody knew before the task was paid for.
    """
    return hashlib.sha256(
        encoded(
            _KEY_TAG,
            job.chain_id.encode("utf-8"),
            job.task_id.encode("utf-8"),
            job.worker.lower().encode("utf-8"),
            parameters.seed.encode("utf-8"),
            beacon,
            job.nonce,
            parameters.matrix_size,
            parameters.iterations,
        )
    ).digest()


def out_digest(key: bytes, parameters: SyntheticParameters, last_sha256: bytes) -> bytes:
    """The result digest of the whole chain; `last_sha256` = SHA-256(X_T)."""
    size, iterations = parameters.matrix_size, parameters.iterations
    return hashlib.sha256(encoded(_OUT_TAG, key, size, iterations, last_sha256)).digest()
