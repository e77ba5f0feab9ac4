"""Which draws are acted on, and what is remembered of them."""

import msgspec
import nacl.bindings
import pytest

from node.amounts import Amount
from node.config import load_network
from node.roles.admission import SKEW_MS, DrawGate
from node.verification.claims import StatementInvalid
from node.verification.draws import JOB_STRIDE, Draw, Seat, sign_draw
from p2p.identity import Identity

CHAIN = "cpc-devnet-1"
NOW_MS = 1_700_000_000_000
DAY_MS = 86_400_000
MARKET, OTHER = (Identity.from_seed(bytes([number]) * 32) for number in (1, 2))


def seats(count: int, size: int = 32) -> tuple[Seat, ...]:
    return tuple(Seat(bytes([number + 1]) * size, "cpc1v") for number in range(count))


def gate(*markets: str) -> DrawGate:
    return DrawGate(
        chain_id=CHAIN, markets=markets, protocol=load_network().protocol, now_ms=lambda: NOW_MS
    )


@pytest.fixture
def draw(parameters):
    def drawn(market: Identity = MARKET, **changes: object) -> Draw:
        fields = {
            "task_id": "550e8400-e29b-41d4-a716-446655440000",
            "epoch": 1,
            "redraw": 0,
            "snapshot": bytes(32),
            "passed": (),
            "kind": "synthetic",
            "parameters": parameters(16, 2),
            "reward": Amount(1),
            "seats": seats(3),
            "needed": 2,
            "expires_ms": NOW_MS + 20_000,
            "market_key": bytes(32),
        }
        return sign_draw(Draw(**{**fields, **changes}), CHAIN, market)

    return drawn


def test_a_sound_draw_is_let_in(draw) -> None:
    gate().check(draw())
    gate(MARKET.peer_id).check(draw())
    with pytest.raises(StatementInvalid, match="pins other markets"):
        gate(OTHER.peer_id).check(draw())


@pytest.mark.parametrize(
    ("left_ms", "is_open"),
    [
        (-SKEW_MS, False),
        (1 - SKEW_MS, True),
        (0, True),
        (DAY_MS + SKEW_MS, True),
        (DAY_MS + SKEW_MS + 1, False),
        (2**63 - 1 - NOW_MS, False),
    ],
)
def test_a_draw_has_its_time(draw, left_ms: int, is_open: bool) -> None:
    one = draw(expires_ms=NOW_MS + left_ms)
    if is_open:
        gate().check(one)
    else:
        with pytest.raises(StatementInvalid) as refused:
            gate().check(one)
        assert refused.value.field == "expires_ms"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", "rendering"),
        ("kind", "x" * 10_000),
        ("parameters", b""),
        ("parameters", b"\xff" * 1000),
        ("needed", 1),
        ("needed", 4),
        ("snapshot", b""),
        ("seats", seats(1)),
        ("seats", ()),
        ("seats", seats(3, size=31)),
        ("seats", (*seats(2), seats(1)[0])),
    ],
)
def test_what_no_honest_market_signs(draw, field: str, value: object) -> None:
    """Signed all the same: without pinned markets anybody is a market."""
    with pytest.raises(StatementInvalid):
        gate().check(draw(**{field: value}))


def test_work_beyond_the_networks_limits(draw, parameters) -> None:
    """Eight thousand times as much memory as anybody here would ever be asked for."""
    for size, iterations in ((65_536, 1), (8_192, 3), (1, 65_537)):
        with pytest.raises(StatementInvalid) as refused:
            gate().check(draw(parameters=parameters(size, iterations)))
        assert refused.value.field == "parameters"


def test_more_jobs_than_the_network_allows(draw, parameters) -> None:
    protocol = msgspec.structs.replace(load_network().protocol, max_jobs=4)
    small = DrawGate(chain_id=CHAIN, markets=(), protocol=protocol, now_ms=lambda: NOW_MS)
    small.check(draw(parameters=parameters(16, 2, 4)))
    with pytest.raises(StatementInvalid) as refused:
        small.check(draw(parameters=parameters(16, 2, 5)))
    assert refused.value.field == "parameters"


def test_attempts_are_of_the_jobs_that_there_are(draw, parameters) -> None:
    one, two = draw(), draw(parameters=parameters(16, 2, 2))
    gate().check_attempt(one, 6)
    gate().check_attempt(two, JOB_STRIDE + 6)
    for drawn, nonce in ((one, JOB_STRIDE + 6), (two, 2 * JOB_STRIDE + 6), (two, 5), (two, 11)):
        with pytest.raises(StatementInvalid):
            gate().check_attempt(drawn, nonce)


@pytest.fixture
def verified(monkeypatch) -> list[bytes]:
    """What had its signature checked."""
    checked: list[bytes] = []
    check = nacl.bindings.crypto_sign_open

    def count(signed: bytes, key: bytes) -> bytes:
        checked.append(signed)
        return check(signed, key)

    monkeypatch.setattr(nacl.bindings, "crypto_sign_open", count)
    return checked


def test_what_is_sound_is_checked_once_and_what_is_not_each_time(draw, verified) -> None:
    one, door = draw(), gate()
    for _ in range(5):
        door.check(msgspec.msgpack.decode(encoded(one), type=Draw, dec_hook=from_wire))
    assert len(verified) == 1
    forged = msgspec.structs.replace(one, epoch=2)
    for _ in range(3):
        with pytest.raises(StatementInvalid):
            door.check(forged)
    assert len(verified) == 4
    door.check(one)
    assert len(verified) == 4


def test_a_remembered_draw_is_over_all_the_same(draw) -> None:
    now = [NOW_MS]
    door = DrawGate(
        chain_id=CHAIN, markets=(), protocol=load_network().protocol, now_ms=lambda: now[0]
    )
    door.check(draw())
    now[0] += 20_000 + SKEW_MS
    with pytest.raises(StatementInvalid, match="over"):
        door.check(draw())


def encoded(one: Draw) -> bytes:
    return msgspec.msgpack.encode(one, enc_hook=lambda value: value.to_wire())


def from_wire(kind: type[Amount], value: str) -> Amount:
    return kind.from_wire(value)
