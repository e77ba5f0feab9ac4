"""One attempt at a job: lease, commitment, joint challenge, opening, verdicts, outputs."""

from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple, TypeVar

import msgspec
import trio

from node.directory import Directory
from node.roles.admission import SeatGate
from node.roles.mailbox import Outcome
from node.roles.outcomes import AttemptFailed, Blame, Verified, WorkerBusy
from node.roles.outputs import OutputMissing, OutputShelf, check_inline
from node.roles.panel import Panel, Promises, Revealed
from node.verification.claims import StatementInvalid
from node.verification.proofs import artifact_of
from node.verification.quorum import decide
from node.verification.statements import Judgement, Manifest
from node.wire.jobs import (
    OUTPUT_OF_JOB,
    PROOF_OF_JOB,
    Challenge,
    JobAnswer,
    JobCommitted,
    JobFailed,
    LeaseJob,
    Opening,
    ReleaseJob,
)
from node.wire.leases import JobPhase
from p2p.errors import P2PError
from p2p.identity import public_key_of
from p2p.messages import Message
from p2p.network import Network

LEASE_TIMEOUT_S = 10.0
"""For a worker to take a job."""
OPEN_TIMEOUT_S = 5.0
"""For a worker to open; the validators then ask it themselves."""
RELEASE_TIMEOUT_S = 10.0
"""For a worker to hear that it may forget a job."""

A = TypeVar("A", bound=Message)


class Means(NamedTuple):
    """What attempts are made with."""

    network: Network
    directory: Directory
    gate: SeatGate
    shelf: OutputShelf


class Attempt:
    """One worker's try at a job of a drawn task."""

    def __init__(self, means: Means, panel: Panel, promises: Promises, worker: str) -> None:
        self._means = means
        self._panel = panel
        self._promises = promises
        self._worker = worker
        self._accepted = False
        self._leased = False

    async def run(
        self,
        outcomes: trio.MemoryReceiveChannel[Outcome],
        work_s: float,
        moved: Callable[[JobPhase], None],
    ) -> Verified:
        """Run the attempt; raises AttemptFailed.

        `work_s` is what the worker has from taking the job to its result; `moved` is told how far
        it is.
        """
        await self._lease(work_s)
        moved("computing")
        committed = await self._await_result(outcomes, work_s)
        moved("checking")
        revealed = await self._panel.reveals(self._promises, committed)
        opening = await self._open(revealed)
        verdicts = await self._panel.verdicts(revealed, committed, opening)
        judgement = Judgement(revealed.draw, committed.result, committed.manifest, verdicts)
        _require_valid(judgement)
        outputs = await self._have_outputs(judgement, opening)
        self._accepted = True
        return Verified(judgement, outputs)

    async def release(self) -> None:
        """Let the worker stop and forget the attempt, whatever became of it."""
        if not self._leased:
            return
        draw, nonce = self._promises.draw, self._promises.nonce
        message = ReleaseJob(draw.task_id, nonce, self._accepted)
        with suppress(P2PError):
            await self._means.network.request(self._worker, message, timeout_s=RELEASE_TIMEOUT_S)

    async def _lease(self, work_s: float) -> None:
        draw, nonce, commitments = self._promises
        lease = LeaseJob(draw, nonce, tuple(commitments.values()), work_s)
        self._leased = True  # as far as we know
        try:
            answer = (await self._ask(lease, JobAnswer, LEASE_TIMEOUT_S)).answer
        except P2PError as error:
            raise AttemptFailed(f"the worker did not answer: {error}", "failed") from error
        if answer.taken:
            return
        self._leased = False
        if answer.reason == "busy":
            raise WorkerBusy("the worker is full")
        raise AttemptFailed(f"the worker refused: {answer.reason[:200]}")

    async def _await_result(
        self, outcomes: trio.MemoryReceiveChannel[Outcome], work_s: float
    ) -> JobCommitted:
        """The worker's commitment, or a failure: said so, gone, or too late."""
        message: Outcome | None = None
        with trio.move_on_after(work_s):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch_worker, nursery.cancel_scope)
                message = await outcomes.receive()
                nursery.cancel_scope.cancel()
        if message is None:
            raise AttemptFailed("the worker was lost or too slow", "failed")
        if isinstance(message, JobFailed):
            raise AttemptFailed(f"the worker failed: {message.reason[:200]}")
        self._check_commitment(message)
        return message

    async def _watch_worker(self, scope: trio.CancelScope) -> None:
        while self._means.directory.is_connected(self._worker):
            await self._means.directory.changed.wait()
        scope.cancel()

    def _check_commitment(self, committed: JobCommitted) -> None:
        draw, nonce, _ = self._promises
        try:
            if committed.result.nonce != nonce:
                raise StatementInvalid("the result is of another attempt", field="nonce")
            key = self._means.gate.check_result(committed.result, committed.manifest, draw)
        except StatementInvalid as error:
            reason = f"the worker's result does not hold: {error}"
            raise AttemptFailed(reason, "failed") from error
        if key != public_key_of(self._worker):
            raise AttemptFailed("the result is another worker's", "failed")

    async def _open(self, revealed: Revealed) -> Opening | None:
        """What the worker opens to us; the validators ask it themselves if it does not."""
        challenge = Challenge(
            draw=revealed.draw,
            nonce=self._promises.nonce,
            commitments=revealed.commitments,
            secrets=revealed.secrets,
        )
        try:
            return await self._ask(challenge, Opening, OPEN_TIMEOUT_S)
        except (P2PError, AttemptFailed):
            return None

    async def _have_outputs(
        self, judgement: Judgement, opening: Opening | None
    ) -> tuple[bytes, ...]:
        """Have the outputs, whole and checked, before the result is reported: the small ones that
        came with the opening, or nothing here and all on the shelf."""
        manifest = judgement.manifest
        try:
            await self._fetch_proof(judgement)
            if opening is not None and opening.outputs:
                check_inline(manifest, opening.outputs)
                return opening.outputs
            await self._fetch_outputs(manifest)
        except OutputMissing as error:
            reason = f"the worker withholds its output: {error}"
            raise AttemptFailed(reason, "failed", judgement) from error
        return ()

    async def _fetch_proof(self, judgement: Judgement) -> None:
        proof = artifact_of(judgement.draw, judgement.result)
        if proof is not None:
            argument = msgspec.msgpack.encode((judgement.draw.task_id, judgement.result.nonce))
            await self._means.shelf.fetch_proof(self._worker, PROOF_OF_JOB, proof, argument)

    async def _fetch_outputs(self, manifest: Manifest) -> None:
        draw, nonce, _ = self._promises
        arguments = [
            msgspec.msgpack.encode((draw.task_id, nonce, index))
            for index in range(len(manifest.outputs))
        ]
        await self._means.shelf.fetch(self._worker, OUTPUT_OF_JOB, manifest, arguments)

    async def _ask(self, request: Message, kind: type[A], timeout_s: float) -> A:
        answer = await self._means.network.request(self._worker, request, timeout_s=timeout_s)
        if not isinstance(answer, kind):
            raise AttemptFailed("the worker's answer is of another kind", "failed")
        return answer


def _require_valid(judgement: Judgement) -> None:
    """Raise AttemptFailed unless the quorum found the result valid."""
    draw = judgement.draw
    found = decide(judgement.verdicts, seats=len(draw.seats), needed=draw.needed)
    if found == "valid":
        return
    blame: Blame = found if found in ("invalid", "withheld") else "nobody"
    raise AttemptFailed(f"the quorum found the result {found or 'undecided'}", blame, judgement)
