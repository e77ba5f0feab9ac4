import pytest

from node.amounts import Amount
from node.config import load_network
from node.roles.admission import SKEW_MS, DrawGate
from node.verification.statements import Draw, Seat, StatementInvalid, sign_draw
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
