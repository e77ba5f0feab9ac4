"""A proven result with a transaction of its own, on a chain that verifies proofs.

Its worker sends it, since the L1 takes a result from its own address only. In a receipt it stands
where a batch does otherwise: it is the batch of one, and its own leaf.
"""

from gpu.proofs.envelope import EnvelopeInvalid, decode
from gpu.proofs.systems import SYSTEMS
from node.l1.errors import BadTransaction
from node.l1.transactions import Draft
from node.verification.batches import check_batch, leaf_of
from node.verification.claims import StatementInvalid, strict_hex
from node.verification.evidence import work_of
from node.verification.inline import proven_result
from node.verification.statements import ComputeResult, Judgement, open_result
from storage.merkle import merkle_root


def own_draft(one: Judgement, output: bytes, chain_id: str, gas_price: int) -> Draft | None:
    """The transaction of a checked judgement's result; None if it goes into a batch, having no
    proof or not fitting one."""
    work = work_of(one.draw.kind, one.draw.parameters)
    if work.proof_system is None:
        return None
    parameters = one.draw.parameters
    try:
        draft = proven_result(one.result, one.manifest, parameters, output, chain_id)
    except BadTransaction:
        return None
    return Draft(tx_type=draft.tx_type, payload=draft.payload, gas=draft.gas, gas_price=gas_price)


def is_own(anchored: ComputeResult) -> bool:
    """Whether what a transaction holds is a proven result and not a batch; never raises."""
    try:
        return decode(strict_hex(anchored.proof, "proof")).system in SYSTEMS
    except (EnvelopeInvalid, StatementInvalid):
        return False


def anchor_name(anchored: ComputeResult) -> str:
    """What tells it from all others that are on the chain: one task may have many results."""
    return f"{anchored.task_id}/{anchored.nonce}" if is_own(anchored) else anchored.task_id


def check_anchored(anchored: ComputeResult, leaves: tuple[bytes, ...], chain_id: str) -> None:
    """Raise StatementInvalid unless the transaction stands for the results with these leaves."""
    if is_own(anchored):
        open_result(anchored, chain_id)
        if leaves != (leaf_of(anchored, chain_id),):
            raise StatementInvalid("are not the result's own", field="leaves")
        return
    check_batch(anchored, chain_id)
    if merkle_root(leaves).hex() != anchored.result_hash:
        raise StatementInvalid("the leaves make another root", field="leaves")
