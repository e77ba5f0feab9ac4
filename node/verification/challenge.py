"""The joint challenge: a seed that nobody knows before the worker's result is fixed.

Each drawn validator commits to a secret when the job is leased and reveals it only for one
compute result of that attempt. The seed hashes the result with all secrets, so it is unpredictable
as long as a single validator is honest. A validator derives its secret from its own key and the
draw, which makes the commitment survive a restart, and worthless when the draw is over; that it
never reveals for a second result of the same attempt is the caller's duty (it stores the result
before it reveals).
"""

from collections.abc import Mapping
from hashlib import sha256

from node.verification.claims import StatementInvalid
from node.verification.draws import Draw, draw_bytes
from node.verification.statements import ComputeResult, result_bytes
from p2p.encoding import tagged, text, u64
from p2p.identity import Identity


def secret_of(identity: Identity, chain_id: str, draw: Draw, nonce: int) -> bytes:
    """This validator's secret for one attempt of one draw, 32 bytes."""
    fields = (identity.seed, draw_bytes(draw, chain_id), u64(nonce))
    return sha256(tagged("tmnode/secret", 1, chain_id, *fields)).digest()


def commitment_of(secret: bytes, chain_id: str, task_id: str, nonce: int) -> bytes:
    """What is published of a secret before it is revealed, 32 bytes."""
    fields = (secret, text(task_id), u64(nonce))
    return sha256(tagged("tmnode/secret-commitment", 1, chain_id, *fields)).digest()


def joint_seed(
    result: ComputeResult,
    commitments: Mapping[bytes, bytes],
    secrets: Mapping[bytes, bytes],
    chain_id: str,
) -> bytes:
    """The seed from all secrets, each checked against its commitment; 32 bytes.

    Both mappings are keyed by the validators' public keys. Raises StatementInvalid if they do not
    name the same validators or a secret is not the committed one.
    """
    if not commitments or commitments.keys() != secrets.keys():
        raise StatementInvalid("secrets and commitments name different validators", field="secrets")
    for key, secret in secrets.items():
        if commitment_of(secret, chain_id, result.task_id, result.nonce) != commitments[key]:
            raise StatementInvalid("a secret is not the committed one", field="secrets")
    parts = [part for key in sorted(secrets) for part in (key, secrets[key])]
    return sha256(
        tagged("tmnode/seed", 1, chain_id, result_bytes(result, chain_id), *parts)
    ).digest()
