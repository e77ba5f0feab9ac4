"""The processes of a network: started, killed, frozen, stopped, and what they say of themselves."""

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import trio

from node.client import Client
from node.devnet.layout import Layout, Seat
from node.devnet.network import Devnet
from node.devnet.processes import Program
from node.market.views import NodeStatus
from tests.system.support.waiting import Loop, until


class Processes:
    """A running network, seen from outside."""

    until = staticmethod(until)

    def __init__(self, loop: Loop, devnet: Devnet) -> None:
        self.loop = loop
        self.layout: Layout = devnet.layout
        self.clients = {seat.name: Client(seat.api_url) for seat in self.layout.seats}
        self.client = self.clients["market"]
        self.programs: dict[str, Program] = {**devnet.nodes, "l1": devnet.chain}
        self._read: dict[str, int] = {}

    @property
    def validators(self) -> list[str]:
        return [seat.name for seat in self.layout.validators]

    @property
    def workers(self) -> list[str]:
        return [seat.name for seat in self.layout.workers]

    def seat(self, name: str) -> Seat:
        return next(seat for seat in self.layout.seats if seat.name == name)

    def address(self, name: str) -> str:
        return self.seat(name).keys.account.address

    @property
    def running(self) -> list[str]:
        """The names of all processes that are there."""

        async def look() -> list[str]:
            return [name for name, program in self.programs.items() if program.running]

        return self.loop(look)

    def kill(self, *names: str) -> None:
        """SIGKILL to all at once, and wait until the processes are gone."""

        async def kill_all() -> None:
            async with trio.open_nursery() as nursery:
                for name in names:
                    nursery.start_soon(self.programs[name].kill)

        self.loop(kill_all)

    def start(self, *names: str, **environment: str) -> None:
        """Start processes side by side, and wait until they are ready."""

        async def start_all() -> None:
            async with trio.open_nursery() as nursery:
                for name in names:
                    nursery.start_soon(self.programs[name].start, environment)

        self.loop(start_all)

    def stop(self, *names: str) -> dict[str, tuple[int, float]]:
        """SIGTERM to all at once; exit code and seconds of each."""
        found: dict[str, tuple[int, float]] = {}

        async def stop_one(name: str) -> None:
            began = time.monotonic()
            code = await self.programs[name].stop()
            found[name] = code, time.monotonic() - began

        async def stop_all() -> None:
            async with trio.open_nursery() as nursery:
                for name in names:
                    nursery.start_soon(stop_one, name)

        self.loop(stop_all)
        return found

    def freeze(self, name: str) -> None:
        """SIGSTOP."""
        self.programs[name].send_signal(signal.SIGSTOP)

    def thaw(self, *names: str) -> None:
        """SIGCONT."""
        for name in names:
            self.programs[name].send_signal(signal.SIGCONT)

    def close(self) -> dict[str, str]:
        """Stop everything, all nodes at once; the exit codes that are not 0, and the last words."""
        running = self.running
        self.thaw(*running)
        stopped = self.stop(*(name for name in running if name != "l1")) | self.stop("l1")
        for client in self.clients.values():
            client.__exit__()
        return {f"{name} {code}": self.tail(name) for name, (code, _) in stopped.items() if code}

    def heal(self) -> None:
        """Start what is not running, and what is frozen, until everybody knows everybody."""
        running = self.running
        self.thaw(*running)
        self.start(*(name for name in self.programs if name not in running))
        for seat in self.layout.seats:
            until(lambda seat=seat: self.sees_all(seat.name), f"{seat.name} is connected to all")

    def sees_all(self, name: str) -> bool:
        return len(self.connected(name)) == len(self.layout.seats)

    def connected(self, name: str) -> set[str]:
        """The names of the nodes that a node is connected to, its own among them."""
        names = {seat.keys.identity.peer_id: seat.name for seat in self.layout.seats}
        return {names[peer.peer_id] for peer in self.clients[name].peers().peers if peer.connected}

    def status(self, name: str) -> NodeStatus:
        return self.clients[name].status()

    def count(self, name: str, what: str) -> int:
        """A number that the node's status tells."""
        return self.status(name).counts[what]

    def busy(self, names: list[str], what: str = "jobs_busy") -> str | None:
        """The first of the nodes that has something in hand."""
        return next((name for name in names if self.count(name, what)), None)

    def is_idle(self) -> bool:
        """Whether no task is in anybody's hands, or waits for it."""
        counts = self.status("market").counts
        if counts.get("tasks_queued") or counts.get("tasks_leased"):
            return False
        leases = self.busy(self.validators, "leases_held")
        return leases is None and self.busy(self.workers) is None

    def log(self, name: str) -> str:
        """Everything a program has logged."""
        return self.programs[name].log.read_text(errors="replace")

    def tail(self, name: str) -> str:
        """The end of a program's log."""
        return self.log(name)[-2000:]

    def complaints(self) -> list[str]:
        """Lines at level error, and tracebacks, that any log got since the last look."""
        found = []
        for name in self.programs:
            text = self.log(name)
            new = text[self._read.get(name, 0) :]
            self._read[name] = len(text)
            found += [f"{name}: {line[:2000]}" for line in new.splitlines() if _is_bad(line)]
        return found


@contextmanager
def frozen(program: Program) -> Iterator[None]:
    """SIGSTOP, and SIGCONT in the end."""
    program.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        program.send_signal(signal.SIGCONT)


def _is_bad(line: str) -> bool:
    try:
        return bool(json.loads(line)["level"] == "error")
    except (ValueError, KeyError, TypeError):
        return "Traceback" in line
