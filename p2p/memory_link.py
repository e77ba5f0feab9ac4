"""A connection of two members of a `MemoryHub`, and the weather on it."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import trio

from p2p.weather import Way, Weather


class Receiver(Protocol):
    """Who a link delivers to."""

    @property
    def peer_id(self) -> str: ...

    def post(self, due_s: float, deliver: Callable[..., None], *args: Any) -> None: ...


class Link:
    """What is sent over it arrives when the weather lets it, unless the link has ended by then.

    While it is cut, streams stand still and gossip is lost; nobody is told. `cut_at_s`: since
    when, None while everything passes.
    """

    def __init__(self, ways: Iterable[tuple[str, Way]]) -> None:
        self._ways = dict(ways)
        self._scopes: set[trio.CancelScope] = set()
        self._held: list[tuple[Receiver, Callable[..., None], tuple[Any, ...]]] = []
        self.cut_at_s: float | None = None
        self._mended = trio.Event()
        self._ended = False

    @contextmanager
    def scope(self) -> Iterator[trio.CancelScope]:
        """A cancel scope that is cancelled when the connection ends."""
        with trio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                yield scope
            finally:
                self._scopes.discard(scope)

    def end(self) -> None:
        """The connection is gone, and with it all that is under way."""
        self._ended = True
        self._held.clear()
        for scope in self._scopes:
            scope.cancel()

    def mend(self) -> None:
        """Let everything pass again, and what was held up as if it were sent now."""
        self.cut_at_s = None
        self._mended.set()
        self._mended = trio.Event()
        held, self._held = self._held, []
        for receiver, deliver, args in held:
            self.send(receiver, deliver, *args)

    def change_weather(self, weather: Weather) -> None:
        """What is under way is not touched."""
        for way in self._ways.values():
            way.weather = weather

    def send(self, receiver: Receiver, deliver: Callable[..., None], *args: Any) -> None:
        """Have `deliver(*args)` called at the receiver, in order, as a piece of a stream."""
        due_s = self._ways[receiver.peer_id].stream_due_s(trio.current_time())
        receiver.post(due_s, self._arrive, receiver, deliver, args)

    def gossip(self, receiver: Receiver, deliver: Callable[..., None], *args: Any) -> None:
        """Have `deliver(*args)` called at the receiver as often as the weather likes."""
        for due_s in self._ways[receiver.peer_id].gossip_due_s(trio.current_time()):
            receiver.post(due_s, self._overhear, deliver, args)

    async def round_trip(self, sender: str, receiver: str) -> None:
        """Wait for as long as something takes to the receiver and back."""
        for peer_id in (receiver, sender):
            await trio.sleep_until(self._ways[peer_id].stream_due_s(trio.current_time()))
            await self._pass_cut()

    async def pass_piece(self, receiver: str) -> None:
        """Wait for as long as a piece of a long stream is held up, which others do not wait for."""
        hold_up_s = self._ways[receiver].hold_up_s()
        if hold_up_s:
            await trio.sleep(hold_up_s)
        await self._pass_cut()

    async def _pass_cut(self) -> None:
        while self.cut_at_s is not None:
            await self._mended.wait()

    def _arrive(
        self, receiver: Receiver, deliver: Callable[..., None], args: tuple[Any, ...]
    ) -> None:
        if self._ended:
            return
        if self.cut_at_s is not None:
            self._held.append((receiver, deliver, args))
        else:
            deliver(*args)

    def _overhear(self, deliver: Callable[..., None], args: tuple[Any, ...]) -> None:
        if not self._ended and self.cut_at_s is None:
            deliver(*args)
