"""What a jury came to, worked out again by a validator that is to sign it.

Nothing of it is the market's word but which jurors answered, and when it drew them: the jury is the
market's own, from a snapshot that counted then, by the hash of a block of the chain, without those
and only those who had to do with the result; the rulings are about this case; and the results are
those that a quorum was shown to have found valid.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from node.l1.blocks import Block, block_digest
from node.l1.errors import L1Error
from node.l1.escrow import BondView, EscrowView
from node.roles.admission import SKEW_MS
from node.roles.juror import JuryGate
from node.verification.cases import (
    Findings,
    check_about,
    check_excluded,
    findings_of,
    parties_of,
)
from node.verification.claims import StatementInvalid
from node.verification.draws import Draw
from node.verification.juries import Jury
from node.verification.rulings import Decision, Ruling, check_ruling, decide_appeal
from node.verification.statements import Judgement
from node.wire.approvals import RequestAward
from p2p.errors import RequestRefused
from p2p.identity import public_key_of

OPENED_WITHIN_BLOCKS = 20
"""A quick task may be done, and disputed, some blocks before the one that opens its escrow."""


class BondSource(Protocol):
    """A chain that holds bonds."""

    async def block(self, height: int) -> Block | None:
        """A block, or None for one that is not there yet; raises L1Error."""

    async def bond(self, market: str, address: str) -> BondView:
        """What vouches for the key of an account's node at a market; raises L1Error."""


class AwardGate:
    """Works out awards; `gate` is the one that jurors have."""

    def __init__(
        self,
        *,
        chain_id: str,
        gate: JuryGate,
        chain: BondSource,
        least_bond: int,
        now_ms: Callable[[], int],
    ) -> None:
        """`least_bond` units are what the network asks of a validator."""
        self._chain_id = chain_id
        self._gate = gate
        self._chain = chain
        self._least_bond = least_bond
        self._now_ms = now_ms

    async def findings(
        self,
        sender: str,
        message: RequestAward,
        escrow: EscrowView,
        jobs: Sequence[Judgement],
        earlier: Sequence[Judgement],
    ) -> Findings:
        """What the jury of this market came to about an escrow's task.

        Jobs and earlier attempts are what `message` shows, and have been checked with their draws,
        as its own draw has been. Raises StatementInvalid, or RequestRefused if the chain does not
        answer.
        """
        jury, draw = message.jury, jobs[0].draw
        if jury.market_key != public_key_of(sender):
            raise StatementInvalid("is another market's", field="jury.market_key")
        check_disputed(escrow, jury)
        check_about(jury, draw, [one.result for one in jobs])
        _check_last(message.draw, draw)
        snapshot = await self._gate.admit(jury)
        await self._check_beacon(jury, message.beacon_height, escrow.opened_height)
        draws = (message.draw, *(one.draw for one in (*jobs, *earlier)))
        workers = [one.result.worker_address for one in (*jobs, *earlier)]
        parties = parties_of(draws, workers)
        check_excluded(jury, snapshot, parties, escrow.customer)
        decision = self._decision(jury, message.rulings, jobs)
        await self._check_bonds(jury, decision, escrow.market)
        return findings_of(decision, jury, jobs)

    def _decision(
        self, jury: Jury, rulings: Sequence[Ruling], jobs: Sequence[Judgement]
    ) -> Decision:
        """What the rulings come to; without enough of them nothing, when the time is over."""
        for one in rulings:
            check_ruling(one, jury, self._chain_id)
        if len({one.validator_key for one in rulings}) != len(rulings):
            raise StatementInvalid("a juror's ruling stands twice", field="rulings")
        claimed = [bytes.fromhex(one.result.result_hash) for one in jobs]
        seats, needed = len(jury.seats), jury.needed
        decision = decide_appeal(rulings, claimed, seats=seats, needed=needed)
        if decision is not None:
            return decision
        if self._now_ms() < jury.expires_ms:
            raise StatementInvalid("the jury's time is not over", field="jury.expires_ms")
        return Decision("inconclusive")

    async def _check_beacon(self, jury: Jury, height: int, opened_height: int) -> None:
        """The chain has this block, made while the task was in hand, and before the jury was drawn.

        A market that could make its beacon up would try until its friends have the seats.
        """
        is_early = height + OPENED_WITHIN_BLOCKS < opened_height
        try:
            block = None if is_early else await self._chain.block(height)
        except L1Error as error:
            raise RequestRefused("l1", f"the chain does not say: {error}") from error
        if block is None or block_digest(block.header) != jury.beacon:
            raise StatementInvalid("is of no block since the task was begun", field="jury.beacon")
        if self._gate.drawn_ms(jury) + SKEW_MS < block.header.timestamp * 1000:
            raise StatementInvalid("is of a block after the jury was drawn", field="jury.beacon")

    async def _check_bonds(self, jury: Jury, decision: Decision, market: str) -> None:
        """Where validators need bonds, those who decide have them, for the keys that they rule by.

        A market can put anybody into its snapshot: keys of its own would rule as it likes.
        """
        if not self._least_bond:
            return
        for seat in jury.seats:
            if seat.key not in decision.agreeing:
                continue
            try:
                bond = await self._chain.bond(market, seat.address)
            except L1Error as error:
                raise RequestRefused("l1", f"the chain does not say: {error}") from error
            if bond.public_key != seat.key.hex() or bond.total < self._least_bond:
                raise StatementInvalid("a juror has too little bonded", field="jury.seats")


def check_disputed(escrow: EscrowView, jury: Jury) -> None:
    """Raise StatementInvalid unless the chain has an undecided dispute for the jury's fee."""
    if escrow.appeal is None or escrow.award is not None:
        problem = "the chain has no undecided dispute about this task of the market's"
        raise StatementInvalid(problem, field="task_id")
    if escrow.appeal.fee != jury.fee:
        raise StatementInvalid("is not what was put down", field="jury.fee")


def _check_last(last: Draw, judged: Draw) -> None:
    """Only one draw without a judgement: that in which seats were filled when the task was done."""
    if last.epoch != judged.epoch or last.redraw < judged.redraw:
        raise StatementInvalid("is not the last one of the task", field="draw")
