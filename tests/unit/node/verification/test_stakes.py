"""What was at stake when a result was overturned: signed, of exactly those who answer for it."""

from hashlib import sha256
from typing import Any

import msgspec
import pytest

from node.amounts import Amount
from node.verification.claims import StatementInvalid
from node.verification.stakes import Stake, check_stakes, culprits, sign_stakes, stakes_bytes

CHAIN = "cpc-devnet-1"
GIVEN = (Stake("cpc1b", Amount(5 * 10**18), Amount(0)), Stake("cpc1a", Amount(7), Amount(2**70)))
NAMES = ("cpc1a", "cpc1b")


@pytest.fixture
def jury(cast: Any, make_author: Any) -> Any:
    return cast.jury(*map(make_author, (11, 12, 13)))


@pytest.fixture
def signed(cast: Any, jury: Any) -> Any:
    return sign_stakes(jury, GIVEN, CHAIN, cast.market.identity)


def test_a_market_s_word(signed: Any, jury: Any) -> None:
    check_stakes(signed, jury, NAMES, CHAIN)
    assert [one.address for one in signed.stakes] == list(NAMES)


def test_the_bytes_that_are_signed(signed: Any) -> None:
    unchanging = msgspec.structs.replace(signed, case=b"j" * 32, market_key=b"m" * 32)
    assert sha256(stakes_bytes(unchanging, CHAIN)).hexdigest() == VECTOR


VECTOR = "d224e52478678115dec0fc10d01409736e366c9253ce4a0f6611ffe51c28fbb2"


@pytest.mark.parametrize("of", [(), ("cpc1a",), ("cpc1a", "cpc1b", "cpc1c"), ("cpc1a", "cpc1c")])
def test_of_others_than_those_who_answer(signed: Any, jury: Any, of: tuple[str, ...]) -> None:
    with pytest.raises(StatementInvalid, match="not of all"):
        check_stakes(signed, jury, of, CHAIN)


def test_whatever_is_changed_is_not_signed(signed: Any, jury: Any) -> None:
    first, second = signed.stakes
    for change in (
        {"stakes": (msgspec.structs.replace(first, bonded=Amount(8)), second)},
        {"stakes": (msgspec.structs.replace(first, unbonding=Amount(0)), second)},
        {"stakes": (second, first)},
        {"signature": bytes(64)},
        {"case": bytes(32)},
        {"market_key": bytes(32)},
    ):
        with pytest.raises(StatementInvalid):
            check_stakes(msgspec.structs.replace(signed, **change), jury, NAMES, CHAIN)
    with pytest.raises(StatementInvalid):
        check_stakes(signed, jury, NAMES, "another-chain")


def test_another_market_s_word(jury: Any, make_author: Any) -> None:
    stranger = sign_stakes(jury, GIVEN, CHAIN, make_author(9).identity)
    with pytest.raises(StatementInvalid, match="another case"):
        check_stakes(stranger, jury, NAMES, CHAIN)


@pytest.mark.parametrize("field", ["bonded", "unbonding"])
def test_less_than_nothing(cast: Any, jury: Any, field: str) -> None:
    debt = msgspec.structs.replace(GIVEN[0], **{field: Amount(-1)})
    signed = sign_stakes(jury, (debt,), CHAIN, cast.market.identity)
    with pytest.raises(StatementInvalid, match="less than nothing"):
        check_stakes(signed, jury, (debt.address,), CHAIN)


def test_who_answers_for_a_false_result(cast: Any) -> None:
    """Its worker and who signed that it is valid, not who found something else."""
    draw = cast.draw()
    result = cast.result(draw)
    findings = ("valid", "invalid", "valid")
    verdicts = [
        cast.verdict(draw, result, one, finding)
        for one, finding in zip(cast.validators, findings, strict=True)
    ]
    first, _, third = cast.validators
    workers, liars = culprits([(draw, result, verdicts)])
    assert workers == {cast.worker.address}
    assert {seat.address for seat in liars} == {first.address, third.address}
    assert culprits([]) == (set(), set())
