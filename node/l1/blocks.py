"""Blocks of the L1: headers, Merkle roots, and the checks that make a block worth believing.

The trees are the L1's own and weaker than ours: no prefixes, no count, an odd level repeats its
last element, so that [a, b, c] and [a, b, c, c] share a root: a path proves that a leaf is in the
block, and its index only up to such repeats.
"""

from collections.abc import Collection, Sequence
from hashlib import sha256

import msgspec

from node.l1.canonical import compute_leaf as compute_leaf
from node.l1.errors import BadTransaction, L1Malformed
from node.l1.keys import VALIDATOR_PREFIX, address_of, node_accepts_signature
from node.l1.transactions import Transaction, tx_digest

NO_TXS_ROOT = "0" * 64
NO_RESULTS_ROOT = ""
BEFORE_FIRST = "0" * 64
"""`prev_hash` of block 0."""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """A block's header, in the L1's order. Roots and hashes are hex."""

    height: int
    prev_hash: str
    timestamp: int
    """Seconds since 1970: the slot's time."""
    chain_id: str
    proposer_address: str
    round: int
    """Slots that passed without a block before this one, at most 10."""
    tx_root: str
    state_root: str
    compute_root: str
    gas_used: int
    gas_limit: int
    zk_state_proof_hash: str | None = None
    zk_compute_proof_hash: str | None = None


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """A block as `/block/{height}` shows it."""

    header: Header
    txs: tuple[Transaction, ...]
    pq_signature: str
    """Hex of r ‖ s by the proposer's secp256k1 key, whatever the name says."""
    pq_sig_scheme_id: int = 1


def block_digest(header: Header) -> bytes:
    """The 32 bytes that the proposer signs; the two zk fields are not among them."""
    fields = (
        header.height,
        header.prev_hash,
        header.timestamp,
        header.chain_id,
        header.proposer_address,
        header.round,
        header.tx_root,
        header.state_root,
        header.compute_root,
        header.gas_used,
        header.gas_limit,
    )
    return sha256("".join(map(str, fields)).encode()).digest()


def block_hash(header: Header) -> str:
    """The digest in hex: what the next header calls `prev_hash`."""
    return block_digest(header).hex()


def l1_merkle_root(leaves: Sequence[bytes]) -> bytes:
    """The root over 32-byte leaves, of which there is at least one."""
    level = list(leaves)
    while len(level) > 1:
        level = _next_level(level)
    return level[0]


def compute_path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The siblings of a leaf, from the bottom up; raises IndexError."""
    level, place, path = list(leaves), range(len(leaves))[index], []
    while len(level) > 1:
        sibling = place ^ 1
        path.append(level[sibling] if sibling < len(level) else level[place])
        level, place = _next_level(level), place // 2
    return path


def verify_compute_path(
    root: str, leaf: bytes, index: int, count: int, path: Sequence[bytes]
) -> bool:
    """Whether the leaf is at that position of a tree of `count` leaves; never raises.

    `root` is hex, as in a header.
    """
    if not (0 <= index < count and len(leaf) == 32 and len(path) == (count - 1).bit_length()):
        return False
    node, place, width = leaf, index, count
    for sibling in path:
        if len(sibling) != 32 or (place == width - 1 and place % 2 == 0 and sibling != node):
            return False
        node = _parent(sibling, node) if place % 2 else _parent(node, sibling)
        place, width = place // 2, (width + 1) // 2
    return node.hex() == root


def tx_root(txs: Sequence[Transaction]) -> str:
    """The root over the transactions' hashes; raises BadTransaction."""
    return l1_merkle_root([tx_digest(tx) for tx in txs]).hex() if txs else NO_TXS_ROOT


def compute_root(txs: Sequence[Transaction]) -> str:
    """The root over the ComputeResults, other transactions skipped; raises BadTransaction."""
    leaves = [compute_leaf(tx.payload) for tx in txs if tx.tx_type == "SUBMIT_RESULT"]
    return l1_merkle_root(leaves).hex() if leaves else NO_RESULTS_ROOT


def verify_proposer(header: Header, signature: bytes, public_key: bytes) -> bool:
    """Whether the key, which must be that of the header's proposer, signed it; never raises."""
    if address_of(public_key, VALIDATOR_PREFIX) != header.proposer_address:
        return False
    return node_accepts_signature(public_key, block_digest(header), signature)


def check_roots(block: Block) -> None:
    """Recompute both roots of a block from its transactions.

    Raises:
        L1Malformed: the header does not cover these transactions.
    """
    height = block.header.height
    try:
        roots = tx_root(block.txs), compute_root(block.txs)
    except BadTransaction as error:
        raise L1Malformed(f"block {height}: {error}") from error
    if roots[0] != block.header.tx_root:
        raise L1Malformed(f"block {height} has another tx_root than its transactions")
    if roots[1] != block.header.compute_root:
        raise L1Malformed(f"block {height} has another compute_root than its results")


def check_proposer(block: Block, proposer_keys: Collection[bytes]) -> None:
    """Check the proposer's signature against the pinned keys; raises L1Malformed."""
    try:
        signature = bytes.fromhex(block.pq_signature)
    except ValueError:
        signature = b""
    if not any(verify_proposer(block.header, signature, key) for key in proposer_keys):
        raise L1Malformed(f"no pinned proposer signed block {block.header.height}")


def same_transaction(found: Transaction, ours: Transaction) -> bool:
    """Whether a block's transaction is ours in every field; only the signature may differ.

    The digests are compared as well, because Python takes a payload's 1, 1.0 and true for equal.
    """
    fields_agree = msgspec.structs.replace(found, signature=ours.signature) == ours
    return fields_agree and tx_digest(found) == tx_digest(ours)


def _next_level(level: Sequence[bytes]) -> list[bytes]:
    rights = [*level[1::2], level[-1]]  # the last is used only where the level is odd
    return [_parent(left, right) for left, right in zip(level[::2], rights, strict=False)]


def _parent(left: bytes, right: bytes) -> bytes:
    return sha256(left + right).digest()
