"""The signed end of a task."""

import msgspec
import pytest

from node.verification.claims import StatementInvalid
from node.verification.ends import check_end, end_bytes, sign_end
from p2p.identity import Identity

CHAIN = "cpc-devnet-1"
MARKET = Identity.from_seed(bytes([7]) * 32)
END = sign_end(
    "550e8400-e29b-41d4-a716-446655440000", "cancelled", 1_700_000_000_000, CHAIN, MARKET
)


def test_an_end_holds_as_it_was_signed() -> None:
    check_end(END, CHAIN)
    expected = "0000000f746d6e6f64652f7461736b2d656e6400010000000c6370632d6465766e65742d31"
    assert end_bytes(END, CHAIN).hex().startswith(expected)


@pytest.mark.parametrize(
    "change",
    [
        {"task_id": "another"},
        {"code": "deadline_exceeded"},
        {"at_ms": 1},
        {"market_key": Identity.from_seed(bytes(32)).public_key},
        {"signature": bytes(64)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_changed_one_does_not(change: dict[str, object]) -> None:
    with pytest.raises(StatementInvalid, match="did not sign"):
        check_end(msgspec.structs.replace(END, **change), CHAIN)


def test_nor_on_another_chain() -> None:
    with pytest.raises(StatementInvalid):
        check_end(END, "cpc-testnet-1")
