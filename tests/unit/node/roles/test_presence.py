"""Meeting peers, whatever strangers say about themselves."""

import msgspec
import pytest
import trio

from node.directory import Directory
from node.roles.presence import MAX_ADDRESSES, MAX_APPROACHES, PresenceRole
from node.wire.presence import PRESENCE_TOPIC, Hello, Presence
from p2p.identity import Identity
from p2p.memory import virtual_clock_ms
from p2p.network import Network

CHAIN = "cpc-devnet-1"


class Dials:
    """A network that notes whom it is asked to dial, and never gets through."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self.addresses: list[str] = []
        self.hang = False

    def __getattr__(self, name: str):
        return getattr(self._network, name)

    async def connect(self, address: str, *, for_s: float) -> None:
        self.addresses.append(address)
        if self.hang:
            await trio.sleep_forever()
        await self._network.connect(address, for_s=for_s)


class Party:
    """The role at work, and strangers who speak on its topic."""

    def __init__(self, stage) -> None:
        self.stage = stage
        self.directory = Directory(CHAIN, virtual_clock_ms, 15.0)
        self.dials = Dials(stage.network)

    async def start(self, **changes: object) -> PresenceRole:
        presence = Presence(self.stage.author.binding, ("validator",), ("synthetic",), ())
        presence = msgspec.structs.replace(presence, **changes)
        role = PresenceRole(self.dials, self.directory, presence, 5.0)
        await self.stage.nursery.start(role.run)
        await trio.testing.wait_all_tasks_blocked()
        return role

    def presence(self, who, *addresses: str, **changes: object) -> Presence:
        presence = Presence(who.binding, ("worker",), ("synthetic",), addresses, 1)
        return msgspec.structs.replace(presence, **changes)

    async def publish(self, who, *addresses: str) -> None:
        network = self.stage.person(who)
        async with network.subscribe(PRESENCE_TOPIC):
            await network.publish(PRESENCE_TOPIC, self.presence(who, *addresses))
            await trio.testing.wait_all_tasks_blocked()


@pytest.fixture
async def party(open_stage, make_author, autojump_clock):
    """The role belongs to whoever has the lowest peer id: it is the one that dials."""
    people = sorted((make_author(n) for n in range(1, 7)), key=lambda one: one.identity.peer_id)
    async with open_stage(people[0]) as stage:
        party = Party(stage)
        party.others = people[1:]
        yield party


async def test_peers_that_connect_introduce_themselves(party, autojump_clock) -> None:
    await party.start()
    one = party.others[0]
    answer = await party.stage.ask(one, Hello(party.presence(one)))
    assert answer.binding == party.stage.author.binding
    assert [known.peer_id for known in party.directory.active("worker")] == [one.identity.peer_id]


@pytest.mark.parametrize(
    "address",
    [
        "",
        "garbage",
        "/memory/",
        "/memory/garbage",
        "/ip4/127.0.0.1/tcp/1",
        "\x00" * 300,
        "/memory/12D3KooWStranger",
    ],
)
async def test_an_address_that_is_none_harms_nobody(party, autojump_clock, address: str) -> None:
    """It is heard from anybody, signed by whoever made it up."""
    await party.start()
    one, *_ = party.others
    peer_id = one.identity.peer_id
    party.directory.connection(peer_id, connected=False)
    await party.publish(one, f"{address}/{peer_id}", address)
    await party.publish(one, address)
    known = party.directory.find(peer_id)
    assert known is not None
    assert known.presence.addresses == (address,)
    await party.publish(party.others[1])
    assert party.directory.find(party.others[1].identity.peer_id) is not None


async def test_only_its_own_address_is_dialled_for_a_peer(party, autojump_clock) -> None:
    """Else anybody could send everybody to somebody."""
    await party.start()
    one, victim, *_ = party.others
    party.directory.connection(one.identity.peer_id, connected=False)
    await party.publish(one, f"/memory/{victim.identity.peer_id}")
    assert party.dials.addresses == []
    await party.publish(one, f"/memory/{one.identity.peer_id}")
    assert party.dials.addresses == [f"/memory/{one.identity.peer_id}"]


async def test_peers_that_cannot_be_reached_do_not_hold_up_the_others(
    party, autojump_clock
) -> None:
    await party.start()
    party.dials.hang = True
    *some, last = party.others
    for one in some:
        party.directory.connection(one.identity.peer_id, connected=False)
        for _ in range(3):
            await party.publish(one, f"/memory/{one.identity.peer_id}")
    assert len(party.dials.addresses) == len(some) <= MAX_APPROACHES
    await party.publish(last)
    assert party.directory.find(last.identity.peer_id) is not None


async def test_a_stranger_cannot_introduce_somebody_else(party, autojump_clock) -> None:
    await party.start()
    one, other, *_ = party.others
    await party.stage.ask(one, Hello(party.presence(other)))
    assert party.directory.find(one.identity.peer_id) is None
    assert party.directory.find(other.identity.peer_id) is None


async def test_a_machine_with_many_addresses_announces_some(party, autojump_clock) -> None:
    peer_id = Identity.from_seed(bytes(32)).peer_id
    many = tuple(f"/ip6/2001:db8::{n:x}/tcp/4001/p2p/{peer_id}" for n in range(200))
    await party.start(addresses=many)
    one = party.others[0]
    answer = await party.stage.ask(one, Hello(party.presence(one)))
    assert answer.addresses == many[:MAX_ADDRESSES]
