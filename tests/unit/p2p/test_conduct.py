from collections import Counter

import pytest

from p2p.conduct import Conduct, Offence
from p2p.identity import peer_id_of
from p2p.limits import Limits

MALLORY, PEGGY = b"m" * 32, b"p" * 32
LIMITS = Limits(
    neighbour_rate_per_s=10,
    neighbour_burst=20,
    fault_burst=3,
    refusal_s=60,
    refusals_remembered=2,
)


class Watch:
    """A conduct with a clock, and who was hung up on."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.counters: Counter[str] = Counter()
        self.hung_up: list[str] = []
        self.conduct = Conduct(LIMITS, self.counters, lambda: self.now_s)
        self.conduct.hang_up = self.hung_up.append


@pytest.fixture
def watch() -> Watch:
    return Watch()


def test_who_stays_within_the_budget_is_not_bothered(watch):
    assert watch.conduct.spend(PEGGY, Offence.GOSSIP_FLOOD, 20)
    for _ in range(100):
        watch.now_s += 1
        assert watch.conduct.spend(PEGGY, Offence.GOSSIP_FLOOD, 10)
    assert watch.hung_up == []


def test_who_overspends_is_cut_off_for_a_time_and_nobody_else(watch):
    watch.conduct.spend(MALLORY, Offence.GOSSIP_FLOOD, 20)
    assert not watch.conduct.spend(MALLORY, Offence.GOSSIP_FLOOD)
    assert watch.hung_up == [peer_id_of(MALLORY)]
    assert watch.conduct.refuses(MALLORY)
    assert watch.conduct.spend(PEGGY, Offence.GOSSIP_FLOOD)
    assert not watch.conduct.refuses(PEGGY)
    watch.now_s += 59.9
    assert watch.conduct.refuses(MALLORY)
    watch.now_s += 0.1
    assert not watch.conduct.refuses(MALLORY)
    assert watch.counters == {"peers_cut_off_gossip_flood": 1}


def test_budgets_are_apart(watch):
    watch.conduct.spend(MALLORY, Offence.GOSSIP_FLOOD, 20)
    assert watch.conduct.spend(MALLORY, Offence.REQUEST_FLOOD)
    assert watch.conduct.spend(MALLORY, Offence.STREAM_FLOOD)
    assert watch.conduct.spend(MALLORY, Offence.FRAME_FLOOD, 10_000)


def test_faults_are_put_up_with_and_worse_is_not(watch):
    for offence in (Offence.FORGERY, Offence.PROTOCOL, Offence.FORGERY):
        watch.conduct.blame(PEGGY, offence)
    assert not watch.conduct.refuses(PEGGY)
    watch.now_s += 1
    watch.conduct.blame(PEGGY, Offence.FORGERY)
    assert not watch.conduct.refuses(PEGGY)
    watch.conduct.blame(PEGGY, Offence.FORGERY)
    assert watch.conduct.refuses(PEGGY)
    watch.conduct.blame(MALLORY, Offence.EQUIVOCATION)
    assert watch.conduct.refuses(MALLORY)


def test_the_list_of_the_refused_is_bounded(watch):
    for number in range(3):
        watch.conduct.cut_off(bytes([number]) * 32, Offence.EQUIVOCATION)
    refused = [watch.conduct.refuses(bytes([number]) * 32) for number in range(3)]
    assert refused == [False, True, True]


def test_who_slips_in_while_refused_is_hung_up_on_again(watch):
    for _ in range(2):
        watch.conduct.cut_off(MALLORY, Offence.EQUIVOCATION)
    assert len(watch.hung_up) == 2
    assert watch.counters == {"peers_cut_off_equivocation": 1}
