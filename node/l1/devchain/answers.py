"""Answers that get lost, are cut off or come late, as the faults of a chain say."""

import random
from typing import Literal

import trio

from node.l1.devchain.asgi import Message, Send
from node.l1.devchain.faults import LATE_S, Faults

_LOST = b"busy"

Spoiling = Literal["", "lost", "cut", "late"]
"""What becomes of an answer; empty: it is given as it is."""


class Answers:
    """Spoils one answer in so many, by lot, always in the same order.

    A strict every third could hit the same request of a client that asks three things in turn.
    """

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._lots = random.Random(0)

    def next(self) -> Spoiling:
        """The lot of the next answer."""
        if self._is_due(self._faults.lost_answers):
            return "lost"
        if self._is_due(self._faults.cut_answers):
            return "cut"
        return "late" if self._is_due(self._faults.late_answers) else ""

    def spoiled(self, send: Send) -> Send:
        """What to send the next answer with."""
        match self.next():
            case "lost":
                return _lost(send)
            case "cut":
                return _cut(send)
            case "late":
                return _late(send)
        return send

    def _is_due(self, every: int) -> bool:
        return every > 0 and self._lots.randrange(every) == 0


def _lost(send: Send) -> Send:
    """Whatever is answered, say 503 instead."""

    async def instead(message: Message) -> None:
        if message["type"] == "http.response.start":
            length = (b"content-length", str(len(_LOST)).encode())
            await send({"type": "http.response.start", "status": 503, "headers": [length]})
            await send({"type": "http.response.body", "body": _LOST})

    return instead


def _cut(send: Send) -> Send:
    """Half of the body, as if that were all."""

    async def half(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [
                (name, value) for name, value in message["headers"] if name != b"content-length"
            ]
            await send({**message, "headers": kept})
        elif message["type"] == "http.response.body":
            body = message.get("body", b"")
            await send({**message, "body": body[: len(body) // 2]})

    return half


def _late(send: Send) -> Send:
    async def later(message: Message) -> None:
        if message["type"] == "http.response.start":
            await trio.sleep(LATE_S)
        await send(message)

    return later
