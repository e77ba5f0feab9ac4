from collections import Counter
from contextlib import suppress

import pytest
import trio
from trio.testing import MockClock

from p2p.conduct import Conduct
from p2p.envelope import Terms, seal
from p2p.errors import EnvelopeRefused, Refusal
from p2p.gatekeeper import Gatekeeper
from p2p.identity import Identity
from p2p.limits import Limits
from p2p.messages import Message, encode, register
from p2p.network import Received

ALICE = Identity.from_seed(b"a" * 32)
BOB = Identity.from_seed(b"b" * 32)
LIMITS = Limits(signer_rate_per_s=1, signer_burst=3, signed_per_s=5)


@register
class News(Message):
    TYPE_ID = 65_010
    VERSION = 1
    MAX_BYTES = 100
    text: str


class Gates:
    """Alice's gate and Bob's, with a clock."""

    def __init__(self) -> None:
        self.now_ms = 1_000_000
        self.counters: Counter[str] = Counter()
        self.conduct = Conduct(LIMITS, self.counters, lambda: self.now_ms / 1000)
        self.alice = self._gate(ALICE, Counter())
        self.bob = self._gate(BOB, self.counters)

    def _gate(self, identity: Identity, counters: Counter[str]) -> Gatekeeper:
        return Gatekeeper(identity, "chain", LIMITS, lambda: self.now_ms, counters, self.conduct)

    def envelope(self, text: str, nonce: bytes, **how: int) -> bytes:
        """An envelope of Alice's with a nonce of her choice."""
        terms = Terms("chain", 1000, 120_000, 0)
        times = {"now_ms": self.now_ms, "lifetime_ms": 60_000} | how
        return seal(ALICE, terms, "topic", encode(News(text=text)), nonce=nonce, **times)

    def refusal(self, data: bytes, origin: bytes | None = None) -> Refusal:
        with pytest.raises(EnvelopeRefused) as caught:
            self.bob.admit("topic", data, origin)
        return caught.value.reason


@pytest.fixture
def gates() -> Gates:
    return Gates()


def test_a_good_message_comes_with_its_signer(gates):
    data = gates.alice.seal("topic", News(text="x"))
    assert gates.bob.admit("topic", data) == Received(ALICE.peer_id, News(text="x"))


def test_a_replay_is_refused_and_counted(gates):
    data = gates.alice.seal("topic", News(text="x"))
    gates.bob.admit("topic", data)
    assert gates.refusal(data) is Refusal.REPLAY
    assert gates.counters == {"gossip_refused_replay": 1}


def test_a_replay_after_expiry_is_refused(gates):
    data = gates.alice.seal("topic", News(text="x"))
    gates.bob.admit("topic", data)
    gates.now_ms += 75_000
    assert gates.refusal(data) is Refusal.EXPIRED


def test_replays_do_not_use_up_the_signers_rate(gates):
    data = gates.alice.seal("topic", News(text="x"))
    gates.bob.admit("topic", data)
    for _ in range(10):
        assert gates.refusal(data) is Refusal.REPLAY
    gates.bob.admit("topic", gates.alice.seal("topic", News(text="y")))


def test_a_signer_over_its_rate_is_refused_until_time_passes(gates):
    for _ in range(3):
        gates.bob.admit("topic", gates.alice.seal("topic", News(text="x")))
    assert gates.refusal(gates.alice.seal("topic", News(text="x"))) is Refusal.RATE
    gates.now_ms += 1000
    gates.bob.admit("topic", gates.alice.seal("topic", News(text="x")))


def test_who_signs_too_much_within_a_second_is_refused(gates):
    """However late it arrives: what is within the rate by arrival is not by the times in it."""
    signed_ms = gates.now_ms
    data = [gates.envelope("x", bytes([n] * 16), now_ms=signed_ms + n) for n in range(6)]
    for one in data[:5]:
        gates.bob.admit("topic", one)
        gates.now_ms += 1000
    assert gates.refusal(data[5]) is Refusal.RATE
    assert gates.conduct.refuses(ALICE.public_key)
    assert gates.counters["peers_cut_off_signed_flood"] == 1


def test_nobody_is_blamed_for_what_waited_on_its_way(gates):
    """Whoever held it back, in whatever order it comes, and as often as it comes again."""
    late = [
        gates.envelope("x", bytes([number] * 16), now_ms=gates.now_ms + 250 * number)
        for number in range(60)
    ]
    gates.now_ms += 15_000
    for _ in range(3):
        for data in reversed(late):
            with suppress(EnvelopeRefused):
                gates.bob.admit("topic", data)
    assert gates.counters["gossip_refused_rate"] > 100
    assert not gates.conduct.refuses(ALICE.public_key)


def test_the_network_below_may_name_the_signer(gates):
    data = gates.alice.seal("topic", News(text="x"))
    assert gates.refusal(data, BOB.public_key) is Refusal.ORIGIN
    gates.bob.admit("topic", data, ALICE.public_key)


def test_a_body_that_is_no_message_is_refused(gates):
    terms = Terms("chain", 1000, 60_000, 0)
    data = seal(ALICE, terms, "topic", b"junk", now_ms=gates.now_ms, lifetime_ms=1000)
    assert gates.refusal(data) is Refusal.MESSAGE


NONCE = b"n" * 16


@pytest.mark.parametrize("changed", [{"now_ms": 999_000}, {"lifetime_ms": 50_000}, {}])
def test_two_envelopes_with_one_nonce_are_refused_and_so_is_their_signer(gates, changed):
    gates.bob.admit("topic", gates.envelope("one thing", NONCE))
    text = "one thing" if changed else "another"
    assert gates.refusal(gates.envelope(text, NONCE, **changed)) is Refusal.EQUIVOCATION
    assert gates.refusal(gates.envelope("honest now", b"m" * 16)) is Refusal.REFUSED
    assert gates.conduct.refuses(ALICE.public_key)
    gates.now_ms += 61_000
    gates.bob.admit("topic", gates.envelope("honest at last", b"l" * 16))
    assert gates.counters == {
        "gossip_refused_equivocation": 1,
        "gossip_refused_refused": 1,
        "peers_cut_off_equivocation": 1,
    }


def test_replays_by_whomever_are_never_the_signers_fault(gates):
    """Not as often as they come, and not if somebody wraps them as their own."""
    data = gates.alice.seal("topic", News(text="x"))
    gates.bob.admit("topic", data, ALICE.public_key)
    for _ in range(1000):
        assert gates.refusal(data, ALICE.public_key) is Refusal.REPLAY
        assert gates.refusal(data, BOB.public_key) is Refusal.ORIGIN
    assert not gates.conduct.refuses(ALICE.public_key)
    assert gates.conduct.refuses(BOB.public_key)
    gates.bob.admit("topic", gates.alice.seal("topic", News(text="y")), ALICE.public_key)


def test_who_signs_forgeries_is_refused_after_some(gates):
    data = gates.alice.seal("topic", News(text="x"))
    data = data[:-1] + bytes([data[-1] ^ 1])
    for _ in range(64):
        assert gates.refusal(data, ALICE.public_key) is Refusal.SIGNATURE
        assert not gates.conduct.refuses(ALICE.public_key)
    gates.refusal(data, ALICE.public_key)
    assert gates.conduct.refuses(ALICE.public_key)


def test_thousands_of_signers_leave_room_for_the_next_one():
    """All tables stay bounded, what is forgotten cannot be replayed, and honest gossip passes."""
    limits = Limits(replays_remembered=1000, signers_tracked=500)
    now_ms, counters = 1_000_000, Counter()
    gate = Gatekeeper(BOB, "chain", limits, lambda: now_ms, counters, Conduct(limits, counters))
    terms = Terms("chain", 1000, 120_000, 0)
    body = encode(News(text="x"))

    def sealed(identity: Identity) -> bytes:
        return seal(identity, terms, "topic", body, now_ms=now_ms, lifetime_ms=120_000)

    first = sealed(ALICE)
    gate.admit("topic", first)
    for number in range(3000):
        now_ms += 10
        gate.admit("topic", sealed(Identity.from_seed(number.to_bytes(32))))
    assert len(gate._replays) <= 1000
    assert len(gate._rates) == 500
    assert len(gate._signed) == 500
    with pytest.raises(EnvelopeRefused) as caught:
        gate.admit("topic", first)
    assert caught.value.reason is Refusal.STALE
    gate.admit("topic", sealed(ALICE))


async def test_pace_spreads_what_exceeds_the_burst(autojump_clock: MockClock):
    gates = Gates()
    for _ in range(12):
        await gates.alice.pace()
    # A burst of 0.9 messages, then nine tenths of one per second.
    assert trio.current_time() == pytest.approx((12 - 0.9) / 0.9)
