"""The validators of a task's draw, as its orchestrator asks them: promise, reveal, judge.

Whoever refuses, or is waited for in vain, is passed over, and the market is asked to fill the seat
anew; with nobody left to draw it goes on as long as those that take part are enough for the quorum.
"""

from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

from node.roles.gather import gather
from node.roles.outcomes import TooFewValidators
from node.roles.seats import Seats
from node.verification.challenge import commitment_of
from node.verification.claims import StatementInvalid
from node.verification.draws import Draw, Pass, PassReason, Refusal, check_pass
from node.verification.quorum import decide
from node.verification.statements import Verdict, check_verdict
from node.wire.checks import (
    CommitmentAnswer,
    RequestCommitment,
    RequestReveal,
    RequestVerdict,
    RevealAnswer,
    VerdictAnswer,
)
from node.wire.jobs import JobCommitted, Opening, Secret, SecretCommitment
from p2p.messages import Message
from p2p.network import Network

PROMISE_TIMEOUT_S = 5.0
"""For a validator to promise its secret, or to refuse."""
REVEAL_TIMEOUT_S = 5.0
"""For a validator to reveal its secret."""
VERDICT_TIMEOUT_S = 300.0
"""For a validator to judge, the fetching of the steps included."""


class Promises(NamedTuple):
    """Who promised a secret for an attempt, under which draw."""

    draw: Draw
    nonce: int
    commitments: dict[bytes, SecretCommitment]


class Revealed(NamedTuple):
    """The secrets that fix the seed of an attempt's challenge, and the promises they keep."""

    draw: Draw
    commitments: tuple[SecretCommitment, ...]
    secrets: tuple[Secret, ...]


class Panel:
    """One task's validators."""

    def __init__(
        self,
        *,
        network: Network,
        seats: Seats,
        own_key: bytes,
        chain_id: str,
        now_ms: Callable[[], int],
    ) -> None:
        self._network = network
        self._seats = seats
        self._own_key = own_key
        self._chain_id = chain_id
        self._now_ms = now_ms

    async def promises(self, nonce: int) -> Promises:
        """A promise from each validator that takes part; raises TooFewValidators."""
        while True:
            draw = self._seats.draw
            answers = await self._ask_promises(draw, nonce)
            kept = {key: one.commitment for key, one in answers.items() if one.commitment}
            passed = self._without_promise(draw, answers)
            if not passed or not await self._seats.replace(draw, passed):
                break
        if len(kept) < draw.needed:
            raise TooFewValidators("too few validators take part")
        return Promises(draw, nonce, kept)

    async def reveals(self, promises: Promises, committed: JobCommitted) -> Revealed:
        """The promised secrets of those that keep their promise; raises TooFewValidators."""
        while True:
            draw = promises.draw
            secrets = await self._ask_secrets(promises, committed)
            silent = [key for key in promises.commitments if key not in secrets]
            passed = self._passed(draw, silent, "no_reveal")
            if not passed or not await self._seats.replace(draw, passed):
                break
            promises = await self.promises(promises.nonce)
        if len(secrets) < draw.needed:
            raise TooFewValidators("too few validators revealed their secret")
        promised = tuple(promises.commitments[key] for key in secrets)
        return Revealed(draw, promised, tuple(one.secret for one in secrets.values()))

    async def verdicts(
        self, revealed: Revealed, committed: JobCommitted, opening: Opening | None
    ) -> tuple[Verdict, ...]:
        """What those whose secrets are in the seed find, as far as it is signed by them."""
        draw = revealed.draw
        request = RequestVerdict(
            draw=draw,
            result=committed.result,
            manifest=committed.manifest,
            commitments=revealed.commitments,
            secrets=revealed.secrets,
            trace=opening.trace if opening else (),
            steps=opening.steps if opening else b"",
        )

        def holds(key: bytes, answer: VerdictAnswer) -> bool:
            try:
                check_verdict(answer.verdict, draw, committed.result, self._chain_id)
            except StatementInvalid:
                return False
            return answer.verdict.validator_key == key

        def is_decided(answers: Collection[VerdictAnswer]) -> bool:
            verdicts = [answer.verdict for answer in answers]
            return decide(verdicts, seats=len(draw.seats), needed=draw.needed) is not None

        answers = await gather(
            self._network,
            [one.validator_key for one in revealed.secrets],
            request,
            VerdictAnswer,
            timeout_s=VERDICT_TIMEOUT_S,
            holds=holds,
            enough=is_decided,
        )
        return tuple(answer.verdict for answer in answers.values())

    async def _ask_promises(self, draw: Draw, nonce: int) -> dict[bytes, CommitmentAnswer]:
        def holds(key: bytes, answer: CommitmentAnswer) -> bool:
            if answer.commitment is not None:
                return answer.commitment.validator_key == key
            refusal = answer.refusal
            return refusal is not None and self._refused(draw, key, refusal) is not None

        def promised(answers: Collection[CommitmentAnswer]) -> bool:
            return sum(one.commitment is not None for one in answers) >= draw.needed

        return await gather(
            self._network,
            [seat.key for seat in draw.seats],
            RequestCommitment(draw, nonce),
            CommitmentAnswer,
            timeout_s=PROMISE_TIMEOUT_S,
            holds=holds,
            enough=promised,
        )

    async def _ask_secrets(
        self, promises: Promises, committed: JobCommitted
    ) -> dict[bytes, RevealAnswer]:
        draw, nonce, commitments = promises

        def is_promised(key: bytes, answer: RevealAnswer) -> bool:
            secret = answer.secret
            promised = commitment_of(secret.secret, self._chain_id, draw.task_id, nonce)
            return secret.validator_key == key and promised == commitments[key].commitment

        def enough(answers: Collection[Message]) -> bool:
            return len(answers) >= draw.needed

        return await gather(
            self._network,
            commitments,
            RequestReveal(draw, committed.result, committed.manifest),
            RevealAnswer,
            timeout_s=REVEAL_TIMEOUT_S,
            holds=is_promised,
            enough=enough,
        )

    def _without_promise(
        self, draw: Draw, answers: dict[bytes, CommitmentAnswer]
    ) -> tuple[Pass, ...]:
        refused = [
            self._refused(draw, key, answer.refusal)
            for key, answer in answers.items()
            if answer.commitment is None and answer.refusal is not None and key != self._own_key
        ]
        silent = [seat.key for seat in draw.seats if seat.key not in answers]
        known = tuple(one for one in refused if one is not None)
        return (*known, *self._passed(draw, silent, "no_commitment"))

    def _refused(self, draw: Draw, key: bytes, refusal: Refusal) -> Pass | None:
        passed = Pass(draw.epoch, key, "check", "refused", self._now_ms(), refusal)
        try:
            check_pass(passed, draw.task_id, self._chain_id)
        except StatementInvalid:
            return None
        return passed

    def _passed(self, draw: Draw, keys: Iterable[bytes], reason: PassReason) -> tuple[Pass, ...]:
        """Passes for these; the own seat is kept, since whoever has none cannot orchestrate."""
        now_ms = self._now_ms()
        return tuple(
            Pass(draw.epoch, key, "check", reason, now_ms) for key in keys if key != self._own_key
        )
