from collections import Counter

import pytest
import trio
from trio.testing import MockClock

from p2p.envelope import Terms, seal
from p2p.errors import EnvelopeRefused, Refusal
from p2p.gatekeeper import Gatekeeper
from p2p.identity import Identity
from p2p.limits import Limits
from p2p.messages import Message, register
from p2p.network import Received

ALICE = Identity.from_seed(b"a" * 32)
BOB = Identity.from_seed(b"b" * 32)
LIMITS = Limits(signer_rate_per_s=1, signer_burst=3)


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
        self.alice = Gatekeeper(ALICE, "chain", LIMITS, lambda: self.now_ms, Counter())
        self.bob = Gatekeeper(BOB, "chain", LIMITS, lambda: self.now_ms, self.counters)

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


def test_the_network_below_may_name_the_signer(gates):
    data = gates.alice.seal("topic", News(text="x"))
    assert gates.refusal(data, BOB.public_key) is Refusal.ORIGIN
    gates.bob.admit("topic", data, ALICE.public_key)


def test_a_body_that_is_no_message_is_refused(gates):
    terms = Terms("chain", 1000, 60_000, 0)
    data = seal(ALICE, terms, "topic", b"junk", now_ms=gates.now_ms, lifetime_ms=1000)
    assert gates.refusal(data) is Refusal.MESSAGE


async def test_pace_spreads_what_exceeds_the_burst(autojump_clock: MockClock):
    gates = Gates()
    for _ in range(12):
        await gates.alice.pace()
    # A burst of 2.7 messages, then nine tenths of one per second.
    assert trio.current_time() == pytest.approx((12 - 2.7) / 0.9)
