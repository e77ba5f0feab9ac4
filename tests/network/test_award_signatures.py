"""A validator signs what a jury came to only if it comes to the same, whatever a market shows."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
import trio

from node.amounts import UNITS_PER_CPC, Amount
from node.keys import bind
from node.l1.blocks import block_digest
from node.l1.devchain.holdings import bond_key
from node.l1.escrow import award_digest, bond, escrow_id_of
from node.settlement.escrow_claims import award_of
from node.settlement.escrows import EscrowBook
from node.verification.draws import Draw, Seat, sign_draw
from node.verification.ends import sign_end
from node.verification.juries import Jury, case_digest, seats_of, sign_jury
from node.verification.rulings import Ruling, sign_ruling
from node.verification.snapshots import draw_from
from node.wire.approvals import RequestAward, RequestRefund
from p2p.errors import RequestRefused
from p2p.identity import Identity
from p2p.memory import virtual_clock_ms

CHAIN = "cpc-devnet-1"
CPC = UNITS_PER_CPC
LONGEST_S = 3600
TIMEOUT_S = 5.0
GRACE = 200


@pytest.fixture
async def court(open_court, autojump_clock):
    with trio.fail_after(LONGEST_S):
        async with open_court(validators=7, escrow_grace_blocks=GRACE) as world:
            yield world


async def recorded(world) -> RequestAward:
    """What the market shows about a disputed task, which no validator has seen yet."""
    seen: list[RequestAward] = []

    async def keep(_peer: str, message: RequestAward) -> None:
        seen.append(message)

    world.members["market"].sends[RequestAward] = keep
    task = await world.buy()
    await world.until(task.task_id, "verified")
    await world.market.appeal(task.task_id, world.customer.address, "why")
    await world.holds(lambda: seen)
    return seen[0]


async def ask(world, message: Any, who: str = "market", whom: str = "validator-1") -> str:
    """Why the validator refuses; empty if it signs."""
    peer_id, wire = world.members[whom].peer_id, world.members[who].network
    try:
        await wire.past.request(peer_id, message, timeout_s=TIMEOUT_S)
    except RequestRefused as error:
        return error.text
    return ""


def snapshot_of(world, digest: bytes) -> Any:
    return world.members["market"].assembly.market._desk._snapshots.find(digest)


class Market:
    """A market that shows what it likes: it has its own key, and those of friends."""

    def __init__(self, world: Any, message: RequestAward) -> None:
        self.world, self.message = world, message
        self.identity: Identity = world.members["market"].keys.identity
        keys = {one.keys.identity.public_key: one for one in world.team("validator")}
        self.jurors = [keys[seat.key].keys.identity for seat in message.jury.seats]

    def with_jury(self, *, seated: bool = True, **changes: Any) -> RequestAward:
        """With another jury, whose seats follow unless they are given, and whose jurors say the
        same."""
        jury = msgspec.structs.replace(self.message.jury, **changes)
        if seated:
            snapshot = snapshot_of(self.world, jury.snapshot)
            size = self.world.network.protocol.quorum_size
            jury = msgspec.structs.replace(jury, seats=seats_of(jury, snapshot, size))
        jury = sign_jury(jury, CHAIN, self.identity)
        return self.shown(jury=jury, rulings=self.rulings(jury))

    def rulings(self, jury: Jury) -> tuple[Ruling, ...]:
        keys = {one.keys.identity.public_key: one for one in self.world.team("validator")}
        unsigned = msgspec.structs.replace(
            self.message.rulings[0], case=case_digest(jury, CHAIN), epoch=jury.epoch
        )
        jurors = [keys[seat.key].keys.identity for seat in jury.seats if seat.key in keys]
        return tuple(sign_ruling(unsigned, CHAIN, one) for one in jurors)

    def shown(self, **changes: Any) -> RequestAward:
        return msgspec.structs.replace(self.message, **changes)

    def drawn(self, draw: Draw, **changes: Any) -> Draw:
        """Another draw, whose seats follow."""
        other = msgspec.structs.replace(draw, **changes)
        drawn = draw_from(
            snapshot_of(self.world, draw.snapshot),
            task_id=other.task_id,
            epoch=other.epoch,
            kind=other.kind,
            size=self.world.network.protocol.quorum_size,
            passed=frozenset(),
        )
        seats = tuple(Seat(one.key, one.address) for one in drawn)
        return sign_draw(msgspec.structs.replace(other, seats=seats), CHAIN, self.identity)

    def unseated(self) -> Seat:
        """Of the four who have nothing to do with it, the one that was not drawn."""
        jury = self.message.jury
        seated = {seat.key for seat in jury.seats}
        [one] = [
            one
            for one in snapshot_of(self.world, jury.snapshot).candidates
            if one.key not in seated and one.key not in jury.excluded
        ]
        return Seat(one.key, one.address)

    def judged(self, **changes: Any) -> RequestAward:
        settlement = msgspec.structs.replace(self.message.settlement, **changes)
        return self.shown(settlement=settlement)


async def test_a_market_that_shows_something_else(court, autojump_clock) -> None:
    message = await recorded(court)
    market, jury = Market(court, message), message.jury
    snapshot = snapshot_of(court, jury.snapshot)
    everybody = tuple(one.key for one in snapshot.candidates)
    first, *rest = message.rulings
    draw, [job] = message.draw, message.settlement.jobs
    friends = (market.unseated(), *jury.seats[1:])
    own = sign_ruling(first, CHAIN, market.identity)
    forged = msgspec.structs.replace(own, validator_key=first.validator_key)
    elsewhere = msgspec.structs.replace(first, case=bytes(32))
    moved = market.drawn(draw, epoch=2)
    spoiled = msgspec.structs.replace(job, verdicts=job.verdicts[:1])
    cases = {
        "did not sign this jury": market.shown(
            jury=msgspec.structs.replace(jury, needed=3), rulings=market.rulings(jury)
        ),
        "fewer must agree": market.with_jury(needed=1),
        "ends too late": market.with_jury(expires_ms=jury.expires_ms + 60_000),
        "do not follow from the snapshot": market.with_jury(seated=False, seats=friends),
        "is of no block": market.with_jury(beacon=b"x" * 32),
        "since the task was begun": market.shown(beacon_height=message.beacon_height - 1),
        "of a block after the jury": market.with_jury(expires_ms=jury.expires_ms - 60_000),
        "may be drawn": market.with_jury(excluded=jury.excluded[1:]),
        "are not only those": market.with_jury(excluded=two_more(jury, everybody)),
        "no keys, or not by rising": market.with_jury(excluded=jury.excluded[::-1]),
        "not what was put down": market.with_jury(fee=Amount(jury.fee - 1)),
        "about other results": market.with_jury(
            jobs=(msgspec.structs.replace(jury.jobs[0], worker_address="cpc1other"),)
        ),
        "about another task": market.with_jury(epoch=2),
        "about another case": market.shown(rulings=(elsewhere, *rest)),
        "did not sign this ruling": market.shown(rulings=(forged, *rest)),
        "not in this jury": market.shown(rulings=(own, *rest)),
        "stands twice": market.shown(rulings=(first, first)),
        "the jury's time is not over": market.shown(rulings=(first,)),
        "follows another: Award": market.shown(award=bytes(32)),
        "follows another: 1 workers": market.judged(claim=bytes(32)),
        "make no quorum": market.judged(jobs=(spoiled,)),
        "not the last one": market.shown(draw=moved),
        "did not sign this draw": market.shown(draw=msgspec.structs.replace(draw, redraw=1)),
    }
    for why, altered in cases.items():
        assert why in await ask(court, altered), why
    for who in ("worker-1", "validator-2"):
        assert "no open escrow" in await ask(court, message, who)
    assert await ask(court, message) == ""
    assert await ask(court, message) == ""  # the same again


def two_more(jury: Jury, everybody: Sequence[bytes]) -> tuple[bytes, ...]:
    """Two who have nothing to do with it are kept out, so that others have the seats."""
    more = [one for one in everybody if one not in jury.excluded][:2]
    return tuple(sorted((*jury.excluded, *more)))


async def test_one_account_more_may_be_missing(court, autojump_clock) -> None:
    """The customer's, whom nobody else knows of a task on credit; here it had no seat anyhow."""
    message = await recorded(court)
    market, jury = Market(court, message), message.jury
    excluded = tuple(sorted((*jury.excluded, market.unseated().key)))
    altered = market.with_jury(excluded=excluded)
    assert altered.jury.seats == jury.seats
    assert await ask(court, altered) == ""


async def test_two_awards_are_never_signed(court, autojump_clock) -> None:
    """Of three that agree two are enough; who is paid was said."""
    message = await recorded(court)
    market = Market(court, message)
    addresses = {seat.key: seat.address for seat in message.jury.seats}
    two = message.rulings[:2]
    award = award_of("upheld", [addresses[one.validator_key] for one in two], (), ())
    other = market.shown(rulings=two, award=bytes.fromhex(award_digest(award)))
    assert await ask(court, other, whom="validator-2") == ""
    assert await ask(court, message, whom="validator-1") == ""
    await court.restart(court.members["validator-1"])
    await court.meet()
    assert "another award" in await ask(court, other, whom="validator-1")
    assert "another award" in await ask(court, message, whom="validator-2")
    end = sign_end(
        message.settlement.task_id, "cancelled", virtual_clock_ms(), CHAIN, market.identity
    )
    assert "what a jury came to" in await ask(court, RequestRefund(end), whom="validator-1")
    assert await ask(court, message.settlement, whom="validator-1") == ""


async def test_what_is_false_is_not_claimed_any_more(court, collude, autojump_clock) -> None:
    collude(court)
    message = await recorded(court)
    assert await ask(court, message.settlement, whom="validator-2") == ""
    assert await ask(court, message, whom="validator-2") == ""
    assert await ask(court, message, whom="validator-1") == ""
    assert "result is false" in await ask(court, message.settlement, whom="validator-1")


async def test_nobody_can_say_once_the_time_is_over(court, silence, autojump_clock) -> None:
    """Not before it is over by this validator's own clock."""
    message = await recorded(court)
    nothing = bytes.fromhex(award_digest(award_of("inconclusive", (), (), ())))
    early = msgspec.structs.replace(message, rulings=(), award=nothing)
    assert "the jury's time is not over" in await ask(court, early)
    left_ms = message.jury.expires_ms - virtual_clock_ms()
    await trio.sleep(left_ms / 1000 + 1)
    assert await ask(court, early) == ""


async def test_no_dispute_on_the_chain_no_award(court, autojump_clock) -> None:
    message = await recorded(court)
    name = escrow_id_of(CHAIN, court.members["market"].address, message.settlement.task_id)
    market = court.members["market"]
    del market.sends[RequestAward]
    await court.holds(lambda: EscrowBook(market.db).find(name).dispute.state == "ruled")
    assert "no undecided dispute" in await ask(court, message)


async def test_the_beacon_is_a_block_of_the_chain(court, autojump_clock) -> None:
    """The one that the market showed it drew by."""
    message = await recorded(court)
    block = await court.l1.block(message.beacon_height)
    assert block_digest(block.header) == message.jury.beacon


async def test_who_rules_has_what_the_network_asks_of_a_validator(
    open_court, autojump_clock
) -> None:
    """A market can have keys of its own in a snapshot, and no bonds for them."""
    rules = {"escrow_grace_blocks": GRACE, "validator_bond": Amount(CPC)}
    with trio.fail_after(LONGEST_S):
        async with open_court(**rules) as world:
            for member in world.team("validator"):
                await stake(world, member)
            log = world.members["market"].assembly.market._desk._snapshots
            await world.holds(lambda: len(log.newest.candidates) == 6)
            message = await recorded(world)
            market = world.members["market"].address
            seat, records = message.jury.seats[0], world.chain.holdings.records
            own = records[bond_key(market, seat.address)]
            for less in (
                msgspec.structs.replace(own, public_key="00" * 32),
                own.slash(5_000)[0],
            ):
                records[bond_key(market, seat.address)] = less
                assert "too little bonded" in await ask(world, message)
            records[bond_key(market, seat.address)] = own.leave(CPC, 10**6)
            assert await ask(world, message) == ""
            records[bond_key(market, seat.address)] = own


async def stake(world, member) -> None:
    keys, market = member.keys, world.members["market"].address
    draft = bond(market, CPC, bind(keys.identity, keys.account, CHAIN))
    await world.l1.send(draft.signed(keys.account, 0))
    await world.holds(lambda: world.ledger.balance(f"bond:{member.address}"))
