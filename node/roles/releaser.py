"""A validator signs what the escrow of a task is to do, if that follows from what it is shown.

Whose word counts is the chain's: the escrow must be open, and this validator in its set. The
escrow is that of the market that asks, since its id is over market and task. Whom a settlement pays
is computed again from the signed draws and verdicts; a refund needs the market's signed end of the
task. A validator signs one of the two for an escrow and never the other, over restarts too. Claims
that it has signed for a market it signs for the same market together. About a disputed result it
signs what its jury came to, as `awards` works it out, and once.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

import msgspec

from node.config import ProtocolSection
from node.errors import NodeError
from node.l1.errors import L1Error
from node.l1.escrow import (
    MAX_ESCROWS,
    Approval,
    Claim,
    EscrowView,
    award_digest,
    claim_digest,
    escrow_id_of,
    sign_award,
    sign_claim,
    sign_refund,
    sign_settling,
)
from node.market.judging import (
    MAX_EARLIER,
    JudgeRules,
    PastEpoch,
    check_earlier,
    check_jobs,
)
from node.market.pay import checks_of, payees_of
from node.roles.admission import SeatGate
from node.roles.awards import AwardGate
from node.roles.decisions import REFUND, DecisionBook
from node.roles.unclosed import EscrowSource, Signed, UnclosedEscrows
from node.settlement.escrow_claims import award_of, claim_of
from node.verification.batches import leaf_of
from node.verification.claims import StatementInvalid
from node.verification.draws import Draw
from node.verification.ends import check_end
from node.verification.statements import Judgement
from node.wire.approvals import (
    ApprovalAnswer,
    RequestAward,
    RequestBundle,
    RequestRefund,
    RequestSettlement,
    judgements_of,
)
from node.workloads import size_of
from p2p.errors import RequestRefused
from p2p.identity import Identity, peer_id_of
from p2p.network import Network
from storage.database import Database


class Releaser:
    """Answers markets."""

    def __init__(
        self,
        *,
        network: Network,
        db: Database,
        identity: Identity,
        chain_id: str,
        protocol: ProtocolSection,
        gate: SeatGate,
        awards: AwardGate,
        chain: EscrowSource,
        unclosed: UnclosedEscrows,
        address_of: Callable[[str], str],
        now_ms: Callable[[], int],
    ) -> None:
        """`address_of` gives the account of a peer id, or an empty text."""
        self._identity = identity
        self._chain_id = chain_id
        self._protocol = protocol
        self._gate = gate
        self._awards = awards
        self._chain = chain
        self._unclosed = unclosed
        self._address_of = address_of
        self._now_ms = now_ms
        self._decisions = DecisionBook(db, now_ms)
        self.signed = 0
        """Signatures given since the start."""
        network.serve(RequestSettlement, self._on_settlement)
        network.serve(RequestBundle, self._on_bundle)
        network.serve(RequestRefund, self._on_refund)
        network.serve(RequestAward, self._on_award)

    async def _on_settlement(self, sender: str, message: RequestSettlement) -> ApprovalAnswer:
        """Sign the claim if it is what the judgements make."""
        try:
            escrow = await self._escrow_of(sender, message.task_id)
            claim = await self._claim(sender, message)
        except NodeError as error:
            raise RequestRefused(error.code, str(error)) from error
        await self._decisions.settle(escrow.escrow_id, claim_digest(claim), escrow.market)
        self._note(escrow, Signed(message.task_id, sender, "claim", self._now_ms()))
        return _answer(sign_claim(self._identity, self._chain_id, escrow.escrow_id, claim))

    async def _on_bundle(self, sender: str, message: RequestBundle) -> ApprovalAnswer:
        """Sign together what was signed one by one for the same market, which gets nothing new by
        that. Others would: whoever works for a task can tell its claim."""
        if len(message.escrows) != len(message.claims):
            raise RequestRefused("claims", "are not one of each escrow")
        pairs = _hex_pairs(message)
        if not 1 <= len(pairs) <= MAX_ESCROWS or pairs != sorted(dict(pairs).items()):
            raise RequestRefused("escrows", f"are not 1 to {MAX_ESCROWS} in strictly rising order")
        await self._decisions.settle_again(pairs, self._address_of(sender))
        return _answer(sign_settling(self._identity, self._chain_id, pairs))

    async def _on_refund(self, sender: str, message: RequestRefund) -> ApprovalAnswer:
        """Sign the refund if the market says that the task ended without a result."""
        end = message.end
        try:
            check_end(end, self._chain_id)
            if peer_id_of(end.market_key) != sender:
                raise StatementInvalid("is another market's", field="end.market_key")
            escrow = await self._escrow_of(sender, end.task_id)
        except NodeError as error:
            raise RequestRefused(error.code, str(error)) from error
        await self._decisions.refund(escrow.escrow_id)
        self._note(escrow, Signed(end.task_id, sender, REFUND, self._now_ms()))
        return _answer(sign_refund(self._identity, self._chain_id, escrow.escrow_id))

    async def _on_award(self, sender: str, message: RequestAward) -> ApprovalAnswer:
        """Sign what a jury came to, if it follows from its rulings and from the judgements."""
        shown = message.settlement
        try:
            escrow = await self._escrow_of(sender, shown.task_id)
            claim = await self._claim(sender, shown)
            jobs, earlier = judgements_of(shown)
            await self._admit((message.draw,), jobs[0].draw, shown.task_id)
            found = await self._awards.findings(sender, message, escrow, jobs, earlier)
        except NodeError as error:
            raise RequestRefused(error.code, str(error)) from error
        award = award_of(*found)
        if award_digest(award) != message.award.hex():
            raise RequestRefused("award", f"from what is shown follows another: {award}")
        await self._decisions.award(
            escrow.escrow_id,
            award_digest(award),
            claim_digest(claim),
            is_overturned=award.outcome == "overturned",
        )
        self._note(escrow, Signed(shown.task_id, sender, "award", self._now_ms()))
        return _answer(sign_award(self._identity, self._chain_id, escrow.escrow_id, award))

    def _note(self, escrow: EscrowView, signed: Signed) -> None:
        self.signed += 1
        self._unclosed.note(escrow.escrow_id, signed)

    async def _escrow_of(self, sender: str, task_id: str) -> EscrowView:
        """This market's escrow for a task, which is open, and in our hands too."""
        market = self._address_of(sender)
        if not market:
            raise StatementInvalid("the account of the market is not known", field="task_id")
        escrow_id = escrow_id_of(self._chain_id, market, task_id)
        try:
            escrow = await self._chain.escrow(escrow_id)
        except L1Error as error:
            raise RequestRefused("l1", f"the chain does not say: {error}") from error
        if escrow is None or escrow.status != "open" or escrow.opening is None:
            problem = "the chain has no open escrow for this task of the market's"
            raise StatementInvalid(problem, field="task_id")
        keys = {one.public_key for one in escrow.opening.validators}
        if self._identity.public_key.hex() not in keys:
            raise StatementInvalid("this validator is not in the escrow's set", field="task_id")
        return msgspec.structs.replace(escrow, escrow_id=escrow_id, market=market)

    async def _claim(self, sender: str, message: RequestSettlement) -> Claim:
        """What the market says follows from the judgements, if it does; raises StatementInvalid,
        also if one of them does not hold."""
        claim = await self._recomputed(sender, message)
        if claim_digest(claim) != message.claim.hex():
            problem = f"from what is shown follows another: {_told(claim)}"
            raise StatementInvalid(problem, field="claim")
        return claim

    async def _recomputed(self, sender: str, message: RequestSettlement) -> Claim:
        jobs, earlier = judgements_of(message)
        if not jobs or len(earlier) > MAX_EARLIER:
            raise StatementInvalid("are none, or too many", field="jobs")
        last = jobs[0].draw
        size = size_of(last.kind, last.parameters)
        rules = JudgeRules(self._chain_id, sender, self._protocol.max_attempts)
        await self._admit(message.draws, last, message.task_id)
        epoch = PastEpoch(message.task_id, size.jobs, last.epoch, last)
        check_jobs(jobs, epoch, rules)
        for number, attempts in _by_epoch(earlier):
            of_epoch = PastEpoch(message.task_id, size.jobs, number, attempts[0].draw)
            check_earlier(attempts, jobs if number == last.epoch else (), of_epoch, rules)
        payees = payees_of(
            jobs,
            checks_of((*jobs, *earlier)),
            last.seats[0].address,
            work_units=size.work_units,
            check_units=size.check_units,
        )
        return claim_of(payees, [leaf_of(one.result, self._chain_id) for one in jobs])

    async def _admit(self, draws: Iterable[Draw], last: Draw, task_id: str) -> None:
        """Raise StatementInvalid unless all draws are of the task, and seated as they had to be."""
        for draw in draws:
            _check_same_task(draw, last, task_id)
            await self._gate.admit_past(draw)


def _check_same_task(draw: Draw, last: Draw, task_id: str) -> None:
    about = (task_id, last.kind, last.parameters, last.market_key)
    if (draw.task_id, draw.kind, draw.parameters, draw.market_key) != about:
        raise StatementInvalid("the draws are of different work", field="draw")


def _by_epoch(attempts: Iterable[Judgement]) -> list[tuple[int, Sequence[Judgement]]]:
    ordered = sorted(attempts, key=lambda one: one.draw.epoch)
    return [(epoch, list(group)) for epoch, group in groupby(ordered, lambda one: one.draw.epoch)]


def _told(claim: Claim) -> str:
    """Enough of a claim to find the difference."""
    workers, validators = len(claim.workers), len(claim.validators)
    return (
        f"{workers} workers, {validators} validators, orchestrator {claim.orchestrator}, "
        f"digest {claim_digest(claim)}"
    )


def _answer(approval: Approval) -> ApprovalAnswer:
    return ApprovalAnswer(bytes.fromhex(approval.public_key), bytes.fromhex(approval.signature))


def _hex_pairs(message: RequestBundle) -> list[tuple[str, str]]:
    """Escrows and digests as text."""
    pairs = zip(message.escrows, message.claims, strict=True)
    return [(escrow_id.hex(), claim.hex()) for escrow_id, claim in pairs]
