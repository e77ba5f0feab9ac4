"""Who is known, who counts as there, and who is forgotten first."""

import msgspec
import pytest

from node import directory as module
from node.directory import Directory
from node.keys import bind
from node.l1.keys import AccountKey
from node.verification.snapshots import Candidate
from node.wire.presence import Presence
from p2p.identity import Identity

CHAIN = "cpc-devnet-1"
LIFETIME_S = 10.0


class Peer:
    def __init__(self, number: int) -> None:
        self.identity = Identity.from_seed(number.to_bytes(32, "big"))
        self.account = AccountKey((number + 1).to_bytes(32, "big"))
        self.peer_id = self.identity.peer_id

    def presence(self, *roles: str, chain_id: str = CHAIN, **changes: object) -> Presence:
        binding = bind(self.identity, self.account, chain_id)
        presence = Presence(binding, roles, ("synthetic",), (f"/memory/{self.peer_id}",))
        return msgspec.structs.replace(presence, **changes)


class Known:
    """A directory on a clock of the test's own."""

    def __init__(self) -> None:
        self.now_ms = 1_700_000_000_000
        self.directory = Directory(CHAIN, lambda: self.now_ms, LIFETIME_S)

    def wait(self, seconds: float) -> None:
        self.now_ms += int(seconds * 1000)

    def announces(self, action) -> bool:
        """Whether the action wakes those who wait for a change."""
        event = self.directory.changed
        action()
        return event.is_set()


@pytest.fixture
async def known() -> Known:
    return Known()


ONE, TWO, THREE = Peer(1), Peer(2), Peer(3)


async def test_a_connected_peer_with_a_sound_presence_is_active(known) -> None:
    directory = known.directory
    assert directory.learn(ONE.peer_id, ONE.presence("validator"))
    assert directory.active("validator") == []
    directory.connection(ONE.peer_id, connected=True)
    assert [one.peer_id for one in directory.active("validator")] == [ONE.peer_id]
    assert directory.active("worker") == []
    assert directory.active("validator", "rendering") == []
    candidate = Candidate(ONE.identity.public_key, ONE.account.address, 1, ("synthetic",))
    assert directory.candidates() == [candidate]
    directory.connection(ONE.peer_id, connected=False)
    assert directory.candidates() == []


async def test_only_known_kinds_are_passed_on(known) -> None:
    """What a market signs and publishes holds no stranger's words."""
    kinds = ("x" * 1000, "synthetic", "rendering", "synthetic")
    known.directory.learn(ONE.peer_id, ONE.presence("validator", kinds=kinds))
    known.directory.connection(ONE.peer_id, connected=True)
    assert known.directory.candidates()[0].kinds == ("rendering", "synthetic")


async def test_a_presence_counts_only_for_the_peer_that_signed_it(known) -> None:
    directory = known.directory
    stolen = ONE.presence("validator")
    assert not directory.learn(TWO.peer_id, stolen)
    forged = msgspec.structs.replace(stolen.binding, account_public=TWO.account.public_key)
    assert not directory.learn(ONE.peer_id, msgspec.structs.replace(stolen, binding=forged))
    assert not directory.learn(ONE.peer_id, ONE.presence("validator", chain_id="other"))
    assert directory.views() == ()


async def test_a_false_presence_leaves_the_true_one(known) -> None:
    known.directory.learn(ONE.peer_id, ONE.presence("validator"))
    known.directory.learn(ONE.peer_id, TWO.presence("worker"))
    assert known.directory.find(ONE.peer_id).address == ONE.account.address


async def test_who_stays_silent_is_not_drawn(known) -> None:
    directory = known.directory
    directory.learn(ONE.peer_id, ONE.presence("validator"))
    directory.connection(ONE.peer_id, connected=True)
    known.wait(LIFETIME_S)
    assert directory.active("validator")
    known.wait(0.001)
    assert not directory.active("validator")
    assert directory.find(ONE.peer_id) is not None


async def test_what_wakes_those_who_wait(known) -> None:
    directory, presence = known.directory, ONE.presence("validator")
    assert known.announces(lambda: directory.learn(ONE.peer_id, presence))
    assert not known.announces(lambda: directory.learn(ONE.peer_id, presence))
    assert known.announces(lambda: directory.connection(ONE.peer_id, connected=True))
    assert known.announces(lambda: directory.learn(ONE.peer_id, ONE.presence("worker")))
    known.wait(LIFETIME_S + 1)
    again = lambda: directory.learn(ONE.peer_id, ONE.presence("worker"))  # noqa: E731
    assert known.announces(again)  # it counts again, though it says the same
    assert not known.announces(again)


async def test_slots_of_whoever_was_heard_lately(known) -> None:
    directory = known.directory
    directory.learn(ONE.peer_id, ONE.presence("worker", slots=3))
    directory.learn(TWO.peer_id, TWO.presence("worker", slots=2))
    directory.learn(THREE.peer_id, THREE.presence("worker", slots=7, kinds=("rendering",)))
    assert directory.slots("synthetic") == 5
    known.wait(LIFETIME_S - 1)
    directory.learn(TWO.peer_id, TWO.presence("worker", slots=2))
    known.wait(2)
    assert directory.slots("synthetic") == 2


async def test_strangers_are_forgotten_before_connected_peers(known, monkeypatch) -> None:
    """Somebody with many keys must not drive out those who do the work."""
    monkeypatch.setattr(module, "MAX_KNOWN", 8)
    directory = known.directory
    for peer in (ONE, TWO):
        directory.learn(peer.peer_id, peer.presence("validator"))
        directory.connection(peer.peer_id, connected=True)
    for number in range(10, 40):
        stranger = Peer(number)
        directory.learn(stranger.peer_id, stranger.presence("worker"))
    assert len(directory.views()) == 8
    assert {one.peer_id for one in directory.active("validator")} == {ONE.peer_id, TWO.peer_id}
    assert directory.find(stranger.peer_id) is not None


async def test_when_everybody_is_connected_the_longest_silent_goes(known, monkeypatch) -> None:
    monkeypatch.setattr(module, "MAX_KNOWN", 2)
    for peer in (ONE, TWO, THREE):
        known.directory.connection(peer.peer_id, connected=True)
    for peer in (ONE, TWO, ONE, THREE):
        known.directory.learn(peer.peer_id, peer.presence("worker"))
    assert known.directory.find(TWO.peer_id) is None
    assert known.directory.find(ONE.peer_id) is not None
