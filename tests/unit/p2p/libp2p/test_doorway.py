import pytest
import trio
from trio.testing import MockClock

from p2p.libp2p.doorway import Doorway, Handshakes, Width, address_of, prefix_of
from p2p.limits import Limits


def test_what_counts_as_one_address_and_as_one_prefix():
    assert address_of("192.0.2.7") == "192.0.2.7/32"
    assert prefix_of("192.0.2.7") == "192.0.2.0/24"
    assert address_of("2001:db8:1:2:3:4:5:6") == "2001:db8:1:2::/64"
    assert prefix_of("2001:db8:1:2:3:4:5:6") == "2001:db8:1::/48"
    assert address_of("::ffff:192.0.2.7") == "192.0.2.7/32"
    assert address_of("fe80::1%eth0") == "fe80::/64"


SAME_ADDRESS = ["192.0.2.1"] * 9
SAME_PREFIX = [f"192.0.2.{number}" for number in range(9)]
SAME_IPV6 = [f"2001:db8::{number:x}" for number in range(9)]
ANYWHERE = [f"192.0.{number}.1" for number in range(9)]


@pytest.mark.parametrize(
    ("hosts", "inside"), [(SAME_ADDRESS, 2), (SAME_IPV6, 2), (SAME_PREFIX, 4), (ANYWHERE, 6)]
)
def test_so_many_may_come_from_one_place(hosts, inside):
    door = Doorway(Width(2, 4, 6))
    entered = [host for host in hosts if door.enter(host)]
    assert len(entered) == inside
    # Those that were turned away have left no trace, and those that go make room.
    for host in entered:
        door.leave(host)
    assert sum(map(door.enter, hosts)) == inside


async def test_handshakes_of_one_address_have_a_rate(autojump_clock: MockClock):
    door = Handshakes(Limits(handshake_rate_per_s=2, handshake_burst=10))
    begun = 0
    for _ in range(100):
        if door.enter("192.0.2.1"):
            begun += 1
            door.leave("192.0.2.1")
    assert begun == 10
    assert door.enter("192.0.2.2")
    await trio.sleep(1)
    assert [door.enter("192.0.2.1") for _ in range(3)] == [True, True, False]
