"""A validator's seat in a quorum: commit to a secret, reveal it once, check, sign."""

from collections.abc import Callable
from typing import TypeVar

from node.roles.admission import SeatGate
from node.roles.examiner import Examiner
from node.roles.reveals import Reveals
from node.verification.challenge import commitment_of, joint_seed, secret_of
from node.verification.claims import StatementInvalid
from node.verification.draws import Draw, Refusal, seat_of, sign_refusal
from node.verification.statements import Verdict, sign_verdict
from node.wire.checks import (
    CommitmentAnswer,
    RequestCommitment,
    RequestReveal,
    RequestVerdict,
    RevealAnswer,
    VerdictAnswer,
)
from node.wire.jobs import Secret, SecretCommitment
from p2p.errors import RequestRefused
from p2p.identity import Identity, peer_id_of, public_key_of
from p2p.network import Network
from storage.database import Database

MAX_CHECKS = 64
"""Checks in hand; with so many a validator promises no more secrets."""

T = TypeVar("T")


class Checker:
    """Answers orchestrators: commitment, reveal, verdict."""

    def __init__(
        self,
        *,
        network: Network,
        db: Database,
        identity: Identity,
        chain_id: str,
        gate: SeatGate,
        examiner: Examiner,
        now_ms: Callable[[], int],
    ) -> None:
        self._identity = identity
        self._chain_id = chain_id
        self._gate = gate
        self._now_ms = now_ms
        self._examiner = examiner
        self._reveals = Reveals(db, chain_id, now_ms)
        self.checking = 0
        """Checks in hand."""
        self.verdicts = 0
        """Verdicts signed since the start."""
        network.serve(RequestCommitment, self._on_commitment)
        network.serve(RequestReveal, self._on_reveal)
        network.serve(RequestVerdict, self._on_verdict)

    async def _on_commitment(self, sender: str, message: RequestCommitment) -> CommitmentAnswer:
        draw, nonce = message.draw, message.nonce
        await self._require_orchestrator(sender, draw, nonce)
        if self.checking >= MAX_CHECKS:
            return CommitmentAnswer(refusal=self._refusal(draw))
        secret = secret_of(self._identity, self._chain_id, draw, nonce)
        commitment = commitment_of(secret, self._chain_id, draw.task_id, nonce)
        return CommitmentAnswer(SecretCommitment(self._identity.public_key, commitment))

    def _refusal(self, draw: Draw) -> Refusal:
        refusal = Refusal(draw.task_id, draw.epoch, "check", "busy", self._now_ms(), b"")
        return sign_refusal(refusal, self._chain_id, self._identity)

    async def _on_reveal(self, sender: str, message: RequestReveal) -> RevealAnswer:
        """Reveal for the first sound result of an attempt, durably, and for no other ever."""
        draw, result = message.draw, message.result
        await self._require_orchestrator(sender, draw, result.nonce)
        self._require(lambda: self._gate.check_result(result, message.manifest, draw))
        if not await self._reveals.fix(draw, result):
            raise RequestRefused("revealed", "the secret was revealed for another result")
        secret = secret_of(self._identity, self._chain_id, draw, result.nonce)
        return RevealAnswer(Secret(self._identity.public_key, secret))

    async def _on_verdict(self, sender: str, message: RequestVerdict) -> VerdictAnswer:
        draw, result = message.draw, message.result
        await self._require_orchestrator(sender, draw, result.nonce)
        worker = self._require(lambda: self._gate.check_result(result, message.manifest, draw))
        seed = self._seed(message)
        self.checking += 1
        try:
            finding = await self._examiner.find(message, seed, peer_id_of(worker))
        finally:
            self.checking -= 1
        verdict = Verdict(
            task_id=draw.task_id,
            epoch=draw.epoch,
            redraw=draw.redraw,
            nonce=result.nonce,
            worker_address=result.worker_address,
            result_hash=bytes.fromhex(result.result_hash),
            finding=finding,
            seed=seed,
            validator_key=self._identity.public_key,
        )
        self.verdicts += 1
        return VerdictAnswer(sign_verdict(verdict, self._chain_id, self._identity))

    def _seed(self, message: RequestVerdict) -> bytes:
        """The joint seed, which counts only if our own secret is in it."""
        commitments = {one.validator_key: one.commitment for one in message.commitments}
        secrets = {one.validator_key: one.secret for one in message.secrets}
        result = message.result
        own = secret_of(self._identity, self._chain_id, message.draw, result.nonce)
        if secrets.get(self._identity.public_key) != own:
            raise RequestRefused("seed", "the seed leaves this validator's secret out")
        try:
            return joint_seed(result, commitments, secrets, self._chain_id)
        except StatementInvalid as error:
            raise RequestRefused("seed", error.message) from error

    async def _require_orchestrator(self, sender: str, draw: Draw, nonce: int) -> None:
        """The draw is sound, seats us, and the sender is its orchestrator, at an attempt of it."""
        try:
            await self._gate.admit(draw)
        except StatementInvalid as error:
            raise RequestRefused(error.code, str(error)) from error
        if draw.seats[0].key != public_key_of(sender):
            raise RequestRefused("sender", "only the draw's orchestrator asks for this")
        self._require(lambda: seat_of(draw, self._identity.public_key))
        self._require(lambda: self._gate.check_attempt(draw, nonce))

    def _require(self, check: Callable[[], T]) -> T:
        try:
            return check()
        except StatementInvalid as error:
            raise RequestRefused(error.code, str(error)) from error
