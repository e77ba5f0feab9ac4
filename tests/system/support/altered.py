"""A network whose every node can be altered while it runs, and cut off; see `../altered`."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from node.devnet.layout import Layout, Seat, free_ports, write_layout
from node.devnet.processes import Program
from tests.system.support.networks import Net, add_to_network, running_network
from tests.system.support.proxy import Wire
from tests.system.support.waiting import Loop, until

ROOT = Path(__file__).parents[3]
PROGRAM = Path(__file__).parents[1] / "altered"
BLOCK_TIME_S = 0.25
SHORTENED = {
    "[protocol]": """\
lease_s = 10.0
job_lease_s = 4.0
bar_s = 1
result_batch_s = 0.1
""",
    "[economics]": """\
dispute_window_s = 0.1
payout_threshold = "0.1"
""",
}
"""Times that a test waits for: ends of leases, of a bar, of the dispute window; batches."""
MOST_TASKS = 20
"""So many are enough that somebody who is one of four has had to do with one of them."""
SOON_S = 30.0
"""For a task of no size, if what is altered holds nobody up."""

Switches = Mapping[str, Any]


class AlteredProgram(Program):
    """A node whose alterations are read from its folder."""

    COMMAND = (sys.executable, str(PROGRAM))

    def __init__(self, seat: Seat) -> None:
        folder = str(seat.directory)
        super().__init__(seat.name, [folder, "run", "--config", str(seat.config)], seat.log)

    async def start(self, environment: Mapping[str, str] | None = None) -> None:
        await super().start({"PYTHONPATH": str(ROOT), **(environment or {})})


class AlteredNet:
    """What a test does to a network of altered nodes; the network itself is `net`."""

    def __init__(self, net: Net, wire: Wire, loop: Loop, always: Mapping[str, Switches]) -> None:
        self.net = net
        self._wire = wire
        self._loop = loop
        self._on = dict(always)

    @contextmanager
    def altered(self, *names: str, **switches: Any) -> Iterator[None]:
        """Alter nodes for as long as it lasts; what is called `a_b` here is `a-b` there."""
        told = {name.replace("_", "-"): value for name, value in switches.items()}
        before = dict(self._on)
        for name in names:
            (self.net.seat(name).directory / "notes.jsonl").unlink(missing_ok=True)
            self._switch(name, {**self._on.get(name, {}), **told})
        try:
            yield
        finally:
            for name in names:
                self._switch(name, before.get(name, {}))

    @contextmanager
    def without(
        self,
        *names: str,
        fails: type[Exception] | tuple[type[Exception], ...] = AssertionError,
        match: str | None = None,
        **switches: Any,
    ) -> Iterator[None]:
        """Switch a protection off for a block that must fail then; tells how it did."""
        with self.altered(*names, **switches), pytest.raises(fails, match=match) as caught:
            yield
        sys.stdout.write(f"without it: {str(caught.value).splitlines()[0]}\n")

    def _switch(self, name: str, switches: Switches) -> None:
        self._on[name] = switches
        write_switches(self.net.seat(name), switches)

    def notes(self, name: str, **what: object) -> list[dict[str, Any]]:
        """What a node's alterations have noted since it was altered: notes with these members."""
        path = self.net.seat(name).directory / "notes.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        notes = [json.loads(line) for line in lines]
        return [note for note in notes if what.items() <= note.items()]

    def noted(self, name: str, **what: object) -> dict[str, Any]:
        """The first such note, once there is one."""
        return until(lambda: self.notes(name, **what), f"{name} notes {what}")[0]

    def buy_until(self, happened: Callable[[], object]) -> list[str]:
        """Buy one task after the other until it has happened; all are completed."""
        posted: list[str] = []
        while not happened():
            assert len(posted) < MOST_TASKS
            posted.append(self.net.post())
            self.net.completed(posted[-1], SOON_S)
        return posted

    @contextmanager
    def cut(self, *, quietly: bool) -> Iterator[None]:
        """Between the market and all validators, for as long as it lasts."""
        self._loop(self._wire.cut, quietly)
        try:
            yield
        finally:
            self._loop(self._wire.heal)


def write_switches(seat: Seat, switches: Switches) -> None:
    """Switch a node's alterations; those that are not named are off."""
    fresh = seat.directory / "switches.json.new"
    fresh.write_text(json.dumps(dict(switches)))
    fresh.replace(seat.directory / "switches.json")


@contextmanager
def running_altered(folder: Path) -> Iterator[AlteredNet]:
    """One market, four validators (three are drawn, two decide), two workers.

    Validators know the market's address only as the end of a wire that can be cut; the market
    dials nobody. Workers know its own address.
    """
    layout = write_layout(folder, validators=4, workers=2, api_port=0)
    always = _lay_wire(layout, port := free_ports(1)[0])
    with Loop() as loop:
        wire = Wire(port, layout.market.p2p_port)
        loop(loop.nursery.start, wire.run)
        programs = [AlteredProgram(seat) for seat in layout.seats]
        with running_network(layout, programs, block_time_s=BLOCK_TIME_S) as net:
            yield AlteredNet(net, wire, loop, always)


def _lay_wire(layout: Layout, port: int) -> dict[str, Switches]:
    """Write the files so that validators reach the market at this port; what is always altered."""
    direct = layout.market.address
    through = direct.replace(f"/{layout.market.p2p_port}/", f"/{port}/")
    network = layout.network_file.read_text()
    layout.network_file.write_text(network.replace(direct, through))
    add_to_network(layout, SHORTENED)
    for seat in layout.workers:
        text = seat.config.read_text()
        seat.config.write_text(
            text.replace("[p2p]\n", f"[p2p]\nbootstrap = [{json.dumps(direct)}]\n")
        )
    always = {"market": {"address": through, "dials-nobody": True}}
    for seat in layout.seats:
        write_switches(seat, always.get(seat.name, {}))
    return always
