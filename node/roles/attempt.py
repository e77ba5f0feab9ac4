"""One attempt at a job: lease, commitment, joint challenge, opening, verdicts."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import TypeVar

import msgspec
import trio

from node.directory import Directory
from node.roles.outputs import OutputMissing, OutputShelf, check_inline
from node.verification.challenge import commitment_of
from node.verification.quorum import decide
from node.verification.statements import (
    ComputeResult,
    Draw,
    Manifest,
    StatementInvalid,
    Verdict,
    check_result,
    check_verdict,
)
from node.wire.checks import (
    CommitmentAnswer,
    RequestCommitment,
    RequestReveal,
    RequestVerdict,
    RevealAnswer,
    VerdictAnswer,
)
from node.wire.jobs import (
    OUTPUT_OF_JOB,
    Challenge,
    JobAnswer,
    JobCommitted,
    JobFailed,
    LeaseJob,
    Opening,
    ReleaseJob,
    Secret,
    SecretCommitment,
)
from p2p.errors import P2PError
from p2p.identity import peer_id_of, public_key_of
from p2p.messages import Message
from p2p.network import Network

ANSWER_TIMEOUT_S = 10.0
VERDICT_TIMEOUT_S = 300.0
GRACE_S = 0.5
"""Once enough validators have answered, how long the others may still come in, so that one that
stalls holds nobody up and one that is a little slower is paid."""

A = TypeVar("A", bound=Message)


class AttemptFailed(Exception):
    """The attempt gives no verified result; `strikes` count against the worker."""

    def __init__(self, reason: str, strikes: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.strikes = strikes


class WorkerBusy(AttemptFailed):
    """The worker is full: nothing was begun."""


class Verified(msgspec.Struct, frozen=True):
    """What an attempt leaves when a quorum found it valid."""

    result: ComputeResult
    manifest: Manifest
    verdicts: tuple[Verdict, ...]
    outputs: tuple[bytes, ...]
    """The outputs if they were small, else empty: then they are on the shelf."""


class Attempt:
    """One worker's try at a drawn task."""

    def __init__(
        self,
        network: Network,
        directory: Directory,
        draw: Draw,
        nonce: int,
        worker: str,
        work_s: float,
        chain_id: str,
        shelf: OutputShelf,
    ) -> None:
        """`work_s` is what the worker has from taking the job to its result."""
        self._network = network
        self._shelf = shelf
        self._directory = directory
        self._draw = draw
        self._nonce = nonce
        self._worker = worker
        self._work_s = work_s
        self._chain_id = chain_id
        self._accepted = False

    async def run(self, outcomes: trio.MemoryReceiveChannel[JobCommitted | JobFailed]) -> Verified:
        """Run the attempt; raises AttemptFailed or WorkerBusy."""
        commitments = await self._commitments()
        await self._lease(commitments)
        committed = await self._await_result(outcomes)
        secrets = await self._secrets(committed, commitments)
        opening = await self._open(secrets)
        verdicts = await self._verdicts(committed, commitments, secrets, opening)
        found = decide(verdicts, seats=len(self._draw.seats), needed=self._draw.needed)
        if found != "valid":
            strikes = 1 if found in ("invalid", "withheld") else 0
            raise AttemptFailed(f"the quorum found the result {found or 'undecided'}", strikes)
        await self._fetch_outputs(committed.manifest, opening)
        self._accepted = True
        return Verified(committed.result, committed.manifest, tuple(verdicts), opening.outputs)

    async def release(self) -> None:
        """Let the worker stop and forget the attempt, whatever became of it."""
        message = ReleaseJob(self._draw.task_id, self._nonce, self._accepted)
        with suppress(P2PError):
            await self._network.request(self._worker, message, timeout_s=ANSWER_TIMEOUT_S)

    async def _commitments(self) -> dict[bytes, SecretCommitment]:
        """A promise from each validator that takes part, by its key."""
        request = RequestCommitment(draw=self._draw, nonce=self._nonce)
        answers = await self._gather(
            [seat.key for seat in self._draw.seats],
            request,
            CommitmentAnswer,
            ANSWER_TIMEOUT_S,
            holds=lambda key, answer: answer.commitment.validator_key == key,
            enough=self._are_quorum,
        )
        if not self._are_quorum(answers.values()):
            raise AttemptFailed("too few validators take part")
        return {key: answer.commitment for key, answer in answers.items()}

    async def _lease(self, commitments: Mapping[bytes, SecretCommitment]) -> None:
        lease = LeaseJob(
            draw=self._draw,
            nonce=self._nonce,
            commitments=tuple(commitments.values()),
            lease_s=self._work_s,
        )
        answer = (await self._ask_worker(lease, JobAnswer)).answer
        if answer.taken:
            return
        if answer.reason == "busy":
            raise WorkerBusy("the worker is full")
        raise AttemptFailed(f"the worker refused: {answer.reason[:200]}")

    async def _await_result(
        self, outcomes: trio.MemoryReceiveChannel[JobCommitted | JobFailed]
    ) -> JobCommitted:
        """The worker's commitment, or a failure: said so, gone, or too late."""
        message: JobCommitted | JobFailed | None = None
        with trio.move_on_after(self._work_s):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch_worker, nursery.cancel_scope)
                message = await outcomes.receive()
                nursery.cancel_scope.cancel()
        if message is None:
            raise AttemptFailed("the worker was lost or too slow", strikes=1)
        if isinstance(message, JobFailed):
            raise AttemptFailed(f"the worker failed: {message.reason[:200]}")
        self._check_commitment(message)
        return message

    async def _watch_worker(self, scope: trio.CancelScope) -> None:
        while self._directory.is_connected(self._worker):
            await self._directory.changed.wait()
        scope.cancel()

    def _check_commitment(self, committed: JobCommitted) -> None:
        result = committed.result
        try:
            if result.nonce != self._nonce:
                raise StatementInvalid("the result is of another attempt", field="nonce")
            key = check_result(result, committed.manifest, self._draw, self._chain_id)
        except StatementInvalid as error:
            raise AttemptFailed(f"the worker's result does not hold: {error}", 1) from error
        if key != public_key_of(self._worker):
            raise AttemptFailed("the result is another worker's", strikes=1)

    async def _secrets(
        self, committed: JobCommitted, commitments: Mapping[bytes, SecretCommitment]
    ) -> list[Secret]:
        """The promised secrets of those that keep their promise."""
        request = RequestReveal(
            draw=self._draw, result=committed.result, manifest=committed.manifest
        )

        def is_promised(key: bytes, answer: RevealAnswer) -> bool:
            secret, task_id = answer.secret, self._draw.task_id
            promised = commitment_of(secret.secret, self._chain_id, task_id, self._nonce)
            return secret.validator_key == key and promised == commitments[key].commitment

        answers = await self._gather(
            list(commitments),
            request,
            RevealAnswer,
            ANSWER_TIMEOUT_S,
            holds=is_promised,
            enough=self._are_quorum,
        )
        if not self._are_quorum(answers.values()):
            raise AttemptFailed("too few validators revealed their secret")
        return [answer.secret for answer in answers.values()]

    async def _open(self, secrets: Sequence[Secret]) -> Opening:
        challenge = Challenge(task_id=self._draw.task_id, nonce=self._nonce, secrets=tuple(secrets))
        return await self._ask_worker(challenge, Opening)

    async def _verdicts(
        self,
        committed: JobCommitted,
        commitments: Mapping[bytes, SecretCommitment],
        secrets: Sequence[Secret],
        opening: Opening,
    ) -> list[Verdict]:
        seats = [one.validator_key for one in secrets]
        request = RequestVerdict(
            draw=self._draw,
            result=committed.result,
            manifest=committed.manifest,
            commitments=tuple(commitments[key] for key in seats),
            secrets=tuple(secrets),
            trace=opening.trace,
            steps=opening.steps,
        )
        answers = await self._gather(
            seats,
            request,
            VerdictAnswer,
            VERDICT_TIMEOUT_S,
            holds=lambda key, answer: self._holds(key, answer.verdict, committed.result),
            enough=self._are_decisive,
        )
        return [answer.verdict for answer in answers.values()]

    async def _fetch_outputs(self, manifest: Manifest, opening: Opening) -> None:
        """Have the outputs, whole and checked, before the result is reported."""
        count = len(manifest.outputs)
        arguments = [
            msgspec.msgpack.encode((self._draw.task_id, self._nonce, index))
            for index in range(count)
        ]
        try:
            if opening.outputs:
                check_inline(manifest, opening.outputs)
            else:
                await self._shelf.fetch(self._worker, OUTPUT_OF_JOB, manifest, arguments)
        except OutputMissing as error:
            raise AttemptFailed(f"the worker withholds its output: {error}", 1) from error

    def _are_quorum(self, answers: Collection[Message]) -> bool:
        return len(answers) >= self._draw.needed

    def _are_decisive(self, answers: Collection[VerdictAnswer]) -> bool:
        verdicts = [answer.verdict for answer in answers]
        seats, needed = len(self._draw.seats), self._draw.needed
        return decide(verdicts, seats=seats, needed=needed) is not None

    def _holds(self, key: bytes, verdict: Verdict, result: ComputeResult) -> bool:
        try:
            check_verdict(verdict, self._draw, result, self._chain_id)
        except StatementInvalid:
            return False
        return verdict.validator_key == key

    async def _gather(
        self,
        keys: Sequence[bytes],
        request: Message,
        kind: type[A],
        timeout_s: float,
        *,
        holds: Callable[[bytes, A], bool],
        enough: Callable[[Collection[A]], bool],
    ) -> dict[bytes, A]:
        """Ask validators side by side; whose answer does not come or hold is left out.

        Once `enough`, the others have `GRACE_S` more.
        """
        answers: dict[bytes, A] = {}

        async def ask(key: bytes) -> None:
            with suppress(P2PError):
                answer = await self._network.request(peer_id_of(key), request, timeout_s=timeout_s)
                if isinstance(answer, kind) and holds(key, answer):
                    answers[key] = answer
            if enough(answers.values()):
                deadline = trio.current_time() + GRACE_S
                scope.deadline = min(scope.deadline, deadline)

        with trio.move_on_after(timeout_s) as scope:
            async with trio.open_nursery() as nursery:
                for key in keys:
                    nursery.start_soon(ask, key)
        return answers

    async def _ask_worker(self, request: Message, kind: type[A]) -> A:
        try:
            answer = await self._network.request(self._worker, request, timeout_s=ANSWER_TIMEOUT_S)
        except P2PError as error:
            raise AttemptFailed(f"the worker did not answer: {error}", strikes=1) from error
        if not isinstance(answer, kind):
            raise AttemptFailed("the worker's answer is of another kind", strikes=1)
        return answer
