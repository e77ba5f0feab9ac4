"""Who signs here: a node's two keys, bound to each other."""

import msgspec

from node.keys import KeyBinding
from p2p.identity import Identity


class Author(msgspec.Struct, frozen=True):
    """Who signs results here."""

    identity: Identity
    binding: KeyBinding
    address: str
    chain_id: str
