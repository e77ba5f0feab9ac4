"""A validator signs claims together that it has signed one by one, and no others."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import pytest
import trio
import trio.testing

from node.l1.errors import BadPayload
from node.l1.escrow import (
    MAX_ESCROWS,
    Approval,
    Claim,
    Payee,
    check_approvals,
    claim_digest,
    claims_message,
)
from node.l1.keys import AccountKey
from node.roles.decisions import DecisionBook
from node.roles.releaser import Releaser
from node.wire.approvals import ApprovalAnswer, RequestBundle
from p2p.errors import RequestRefused
from p2p.identity import Identity
from p2p.memory import MemoryHub
from storage.database import Database, open_database
from storage.memory import MemoryStore

CHAIN = "cpc-devnet-1"
PAYEE = AccountKey(b"\x05" * 32).address
MARKET = "cpc1market"
ONE, TWO, THREE = ("11" * 32, "22" * 32, "33" * 32)
UNUSED = ("protocol", "gate", "awards", "chain", "unclosed")
"""What a releaser looks at for other requests."""

Ask = Callable[..., Awaitable[ApprovalAnswer]]


def claim(weight: int) -> Claim:
    workers = (Payee(address=PAYEE, weight=weight),)
    return Claim(workers=workers, validators=(), orchestrator=PAYEE, results="ab" * 32)


CLAIMS = {ONE: claim(1), TWO: claim(2), THREE: claim(3)}
DIGESTS = {name: claim_digest(one) for name, one in CLAIMS.items()}


def request(pairs: Sequence[tuple[str, str]]) -> RequestBundle:
    escrows, claims = zip(*pairs, strict=True) if pairs else ((), ())
    return RequestBundle(tuple(map(bytes.fromhex, escrows)), tuple(map(bytes.fromhex, claims)))


@pytest.fixture
def identity() -> Identity:
    return Identity.from_seed(b"\x01" * 32)


@pytest.fixture
async def db() -> AsyncIterator[Database]:
    async with open_database(MemoryStore()) as opened:
        yield opened


@pytest.fixture
async def ask(db: Database, identity: Identity) -> AsyncIterator[Ask]:
    """A releaser that has signed the three claims; how their market asks it, or another peer."""
    hub, market, other = (MemoryHub(), *(Identity.from_seed(bytes([n]) * 32) for n in (2, 3)))
    accounts = {market.peer_id: MARKET, other.peer_id: PAYEE}
    here = [f"/memory/{identity.peer_id}"]
    await decide(db)
    async with (
        hub.open_network(identity, CHAIN, bootstrap=[]) as network,
        hub.open_network(market, CHAIN, bootstrap=here) as asking,
        hub.open_network(other, CHAIN, bootstrap=here) as stranger,
    ):
        others: dict[str, Any] = dict.fromkeys(UNUSED)
        Releaser(
            network=network,
            db=db,
            identity=identity,
            chain_id=CHAIN,
            address_of=lambda peer_id: accounts.get(peer_id, ""),
            now_ms=lambda: 0,
            **others,
        )
        await trio.testing.wait_all_tasks_blocked()

        async def asked(message: RequestBundle, *, is_market: bool = True) -> ApprovalAnswer:
            who = asking if is_market else stranger
            answer = await who.request(identity.peer_id, message, timeout_s=5.0)
            assert isinstance(answer, ApprovalAnswer)
            return answer

        yield asked


async def decide(db: Database) -> None:
    book = DecisionBook(db, lambda: 0)
    for escrow_id, digest in DIGESTS.items():
        await book.settle(escrow_id, digest, MARKET)


async def refusal(ask: Ask, message: RequestBundle, **who: bool) -> str:
    with pytest.raises(RequestRefused) as caught:
        await ask(message, **who)
    return caught.value.text


@pytest.mark.parametrize("names", [(ONE,), (ONE, TWO), (ONE, THREE), (ONE, TWO, THREE)])
async def test_it_signs_what_it_has_signed_one_by_one(
    ask: Ask, identity: Identity, names: tuple[str, ...]
) -> None:
    answer = await ask(request([(name, DIGESTS[name]) for name in names]))
    approval = Approval(public_key=answer.validator_key.hex(), signature=answer.signature.hex())
    assert answer.validator_key == identity.public_key
    check_approvals(claims_message(CHAIN, {name: CLAIMS[name] for name in names}), [approval])
    fewer = {name: CLAIMS[name] for name in names[1:]}
    for chain, claims in ((CHAIN, fewer), ("cpc-devnet-2", {name: CLAIMS[name] for name in names})):
        with pytest.raises(BadPayload):
            check_approvals(claims_message(chain, claims), [approval])


async def test_nobody_but_the_market_gets_a_signature(ask: Ask) -> None:
    """A worker can tell the claim that pays it: with a quorum's signatures it would be paid before
    its result can be disputed."""
    for pairs in ([(ONE, DIGESTS[ONE])], sorted(DIGESTS.items())):
        said = await refusal(ask, request(pairs), is_market=False)
        assert said.endswith("for this market")


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_one_that_it_has_not_signed_is_in_none(ask: Ask, place: int) -> None:
    """By another digest, or by another name, or since it has signed that it goes back."""
    pairs = sorted(DIGESTS.items())
    other = [*pairs]
    other[place] = (pairs[place][0], DIGESTS[TWO if place != 1 else ONE])
    assert f"has not signed this claim of escrow {pairs[place][0]}" in await refusal(
        ask, request(other)
    )
    unknown = sorted([*pairs[:place], *pairs[place + 1 :], ("44" * 32, pairs[place][1])])
    assert "claim of escrow 4444" in await refusal(ask, request(unknown))


async def test_what_goes_back_is_in_none(ask: Ask, db: Database) -> None:
    back = "44" * 32
    await DecisionBook(db, lambda: 0).refund(back)
    for digest in (b"refund", b"refund".ljust(32), b""):
        message = RequestBundle((bytes.fromhex(back),), (digest,))
        assert "has not signed this claim" in await refusal(ask, message)


@pytest.mark.parametrize("is_overturned", [True, False])
async def test_one_whose_result_a_jury_found_false_is_in_none(
    ask: Ask, db: Database, is_overturned: bool
) -> None:
    """Although it had signed its claim before; one that was upheld is as good as ever."""
    book = DecisionBook(db, lambda: 0)
    await book.award(TWO, "55" * 32, DIGESTS[TWO], is_overturned=is_overturned)
    message = request(sorted(DIGESTS.items()))
    if is_overturned:
        assert f"claim of escrow {TWO}" in await refusal(ask, message)
        message = request([(ONE, DIGESTS[ONE]), (THREE, DIGESTS[THREE])])
    await ask(message)


async def test_what_is_no_bundle(ask: Ask, db: Database) -> None:
    first, second = (ONE, DIGESTS[ONE]), (TWO, DIGESTS[TWO])
    for pairs in ([], [second, first], [first, first], [first, second, second]):
        assert "in strictly rising order" in await refusal(ask, request(pairs))
    both = request([first, second])
    for short in (
        RequestBundle(both.escrows, both.claims[:1]),
        RequestBundle(both.escrows[:1], both.claims),
        RequestBundle((), both.claims),
    ):
        assert "not one of each escrow" in await refusal(ask, short)


@pytest.mark.parametrize("more", [0, 1])
async def test_as_many_as_a_transaction_has(ask: Ask, db: Database, more: int) -> None:
    book, numbers = DecisionBook(db, lambda: 0), range(MAX_ESCROWS + more)
    pairs = [(number.to_bytes(32, "big").hex(), DIGESTS[ONE]) for number in numbers]
    for escrow_id, digest in pairs:
        await book.settle(escrow_id, digest, MARKET)
    if more:
        assert f"are not 1 to {MAX_ESCROWS}" in await refusal(ask, request(pairs))
    else:
        assert (await ask(request(pairs))).signature
