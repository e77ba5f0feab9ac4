"""Asking many peers the same thing, side by side."""

from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from typing import TypeVar

import trio

from p2p.errors import P2PError
from p2p.identity import peer_id_of
from p2p.messages import Message
from p2p.network import Network

GRACE_S = 0.5
"""Once enough have answered, how long the others may still come in, so that one that stalls holds
nobody up and one that is a little slower is paid."""

A = TypeVar("A", bound=Message)


async def gather(
    network: Network,
    keys: Iterable[bytes],
    request: Message,
    kind: type[A],
    *,
    timeout_s: float,
    holds: Callable[[bytes, A], bool],
    enough: Callable[[Collection[A]], bool],
) -> dict[bytes, A]:
    """The answers by key; whoever's does not come in time, or does not hold, is left out.

    Once `enough`, the others have `GRACE_S` more.
    """
    answers: dict[bytes, A] = {}

    async def ask(key: bytes) -> None:
        with suppress(P2PError):
            answer = await network.request(peer_id_of(key), request, timeout_s=timeout_s)
            if isinstance(answer, kind) and holds(key, answer):
                answers[key] = answer
        if enough(answers.values()):
            scope.deadline = min(scope.deadline, trio.current_time() + GRACE_S)

    with trio.move_on_after(timeout_s) as scope:
        async with trio.open_nursery() as nursery:
            for key in keys:
                nursery.start_soon(ask, key)
    return answers
