"""Networks of real processes that tests may break."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from node.devnet.layout import Layout
from node.devnet.network import Devnet, DevnetOptions
from node.devnet.processes import Program
from tests.system.support.books import Books
from tests.system.support.waiting import Loop, until

PAID_SOON = {"[economics]": "dispute_window_s = 0.5\n"}


class Net(Books):
    """A running network, seen from outside: its processes, its market's API, its chain."""

    def settle(self) -> None:
        """Be whole, and without tasks in hand or on their way."""
        self.heal()
        until(self.is_idle, "nobody works on a task of an earlier test")

    @contextmanager
    def used(self) -> Iterator["Net"]:
        """By one test: whole and idle at its start, without complaints at its end."""
        self.settle()
        self.complaints()
        yield self
        complaints = self.complaints()
        assert complaints == [], complaints


@contextmanager
def running_network(
    layout: Layout, programs: Sequence[Program] = (), *, block_time_s: float = 1.0
) -> Iterator[Net]:
    """Start the layout's processes and fund the customer; stop them all in the end.

    `programs` take the place of the nodes whose names they have.
    """
    devnet = Devnet(layout, DevnetOptions(block_time_s=block_time_s))
    devnet.nodes.update({program.name: program for program in programs})
    with Loop() as loop:
        net = Net(loop, devnet)
        try:
            loop(devnet.start)
            loop(devnet.fund_customer)
            yield net
        finally:
            failed = net.close()
        assert failed == {}, failed


def add_to_network(layout: Layout, lines: Mapping[str, str]) -> None:
    """Set more keys in sections of the network file, before anybody has read it."""
    text = layout.network_file.read_text()
    for section, more in lines.items():
        assert f"{section}\n" in text, section
        text = text.replace(f"{section}\n", f"{section}\n{more}")
    layout.network_file.write_text(text)
