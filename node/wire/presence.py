"""Who is there: published on a topic that every node joins."""

from typing import Annotated, ClassVar

import msgspec

from node.keys import KeyBinding
from p2p.messages import Message, register

PRESENCE_TOPIC = "tmnode/presence/1"


@register
class Presence(Message, frozen=True):
    """A node's roles, account and addresses; repeated every few seconds."""

    TYPE_ID: ClassVar[int] = 1
    VERSION: ClassVar[int] = 1
    MAX_BYTES: ClassVar[int] = 4096

    binding: KeyBinding
    roles: tuple[str, ...]
    kinds: tuple[str, ...]
    """Kinds of work that its workers compute or its validators check."""
    addresses: tuple[str, ...]
    """Multiaddrs, each with the peer id."""
    slots: Annotated[int, msgspec.Meta(ge=0, le=4096)] = 0
    """Jobs that its workers run at the same time."""


@register
class Hello(Message, frozen=True):
    """Asks a peer for its presence, so that neither waits for the next gossip."""

    TYPE_ID: ClassVar[int] = 2
    VERSION: ClassVar[int] = 1
    MAX_BYTES: ClassVar[int] = 4096

    presence: Presence


@register
class Ack(Message, frozen=True):
    """The request was carried out; nothing to add."""

    TYPE_ID: ClassVar[int] = 3
    VERSION: ClassVar[int] = 1
    MAX_BYTES: ClassVar[int] = 16


class Answer(msgspec.Struct, frozen=True):
    """One of many answers in a message: taken, or refused with a reason."""

    taken: bool
    reason: str = ""
