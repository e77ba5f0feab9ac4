"""Evidence of what a bonded key did, which a chain re-checks by itself before it slashes.

`two_verdicts`: one key signed that one result is valid and that it is not, of the same attempt and
under the same challenge. Nothing less counts: an honest validator may be asked again under another
challenge, with another seed, and may then find otherwise; and it may find a worker silent first.

`false_proof`: a worker signed a result with a proof that is false. All that is verified is bound by
that signature.
"""

from hashlib import sha256

import msgspec

from gpu.proofs.envelope import ProofSystem
from node.l1.devchain.profiles import Offence
from node.l1.errors import BadTransaction
from node.l1.escrow import GAS_PER_SIGNATURE, Slashing, gas_of, slash
from node.l1.escrow.gas import payload_bytes
from node.l1.transactions import Draft
from node.verification import inline
from node.verification.claims import StatementInvalid
from node.verification.jsonable import to_jsonable
from node.verification.statements import ComputeResult, Manifest, Verdict, verdict_bytes
from p2p.encoding import tagged, text, u64
from p2p.identity import verify

PROOF_SIGNATURES = 3
"""Of a result and its key binding."""


class TwoVerdicts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Two verdicts that no honest validator signs both."""

    first: Verdict
    second: Verdict

    def gas(self, length: int, _chain_id: str) -> int:
        """Of the SLASH that holds it in so many bytes."""
        return gas_of("SLASH", length, 2 * GAS_PER_SIGNATURE)

    def offence(self, chain_id: str) -> Offence:
        """Whose, and which act."""
        one = self.first
        return _offence("two verdicts", one.validator_key, one.task_id, one.nonce, chain_id)

    def check(self, _offender: str, chain_id: str) -> None:
        """Raise BadTransaction unless both are signed and contradict each other."""
        if _about(self.first) != _about(self.second):
            raise BadTransaction("evidence: the verdicts are not about the same")
        if {self.first.finding, self.second.finding} != {"valid", "invalid"}:
            raise BadTransaction("evidence: the verdicts do not contradict each other")
        for name, one in (("first", self.first), ("second", self.second)):
            if not verify(one.validator_key, verdict_bytes(one, chain_id), one.signature):
                raise BadTransaction(f"evidence.{name}.signature: is not its validator's")


class FalseProof(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A result whose worker signed a proof that does not hold."""

    result: ComputeResult
    evidence: inline.Evidence

    def gas(self, length: int, chain_id: str) -> int:
        """Of the SLASH that holds it in so many bytes; raises BadTransaction."""
        return gas_of("SLASH", length, PROOF_SIGNATURES * GAS_PER_SIGNATURE) + self.proof_gas(
            chain_id
        )

    def proof_gas(self, chain_id: str) -> int:
        """Of verifying the proof; raises BadTransaction for what the chain does not verify."""
        if inline.envelope_of(self.result).system is not ProofSystem.CHAIN241:
            raise BadTransaction("evidence.result.proof: is no proof but an attestation")
        return inline.gas_of(inline.cost_of(self.result, self.evidence, chain_id))

    def offence(self, chain_id: str) -> Offence:
        """Whose, and which act."""
        key, one = inline.envelope_of(self.result).worker_key, self.result
        return _offence("false proof", key, one.task_id, one.nonce, chain_id)

    def check(self, offender: str, chain_id: str) -> None:
        """Raise BadTransaction unless the offender signed this and it is false."""
        if self.result.worker_address != offender:
            raise BadTransaction("offender: is not the worker of this result")
        envelope = inline.envelope_of(self.result)
        try:
            finding = inline.judge(self.result, envelope, self.evidence, chain_id)
        except StatementInvalid as error:
            raise BadTransaction(f"evidence.{error.field}: {error.message}") from error
        if finding.valid:
            raise BadTransaction("evidence: the proof is true")


Shown = TwoVerdicts | FalseProof
_KINDS: dict[str, type[Shown]] = {"two_verdicts": TwoVerdicts, "false_proof": FalseProof}


def shown_by(slashing: Slashing) -> Shown:
    """The evidence of a SLASH, read strictly and not verified; raises BadTransaction."""
    fields = dict(slashing.evidence)
    kind = _KINDS.get(str(fields.pop("kind", "")))
    if kind is None:
        raise BadTransaction(f"evidence.kind: is none of {', '.join(_KINDS)}")
    return inline.read_strictly(fields, kind, "evidence")


def slash_gas(slashing: Slashing, chain_id: str) -> int:
    """The gas of a SLASH; raises BadTransaction."""
    length = payload_bytes("SLASH", msgspec.structs.asdict(slashing))
    return shown_by(slashing).gas(length, chain_id)


def two_verdicts(market: str, offender: str, first: Verdict, second: Verdict) -> Draft:
    """The SLASH of the validator whose account is `offender`, of its bond at a market.

    Raises BadTransaction.
    """
    evidence = {"kind": "two_verdicts", **to_jsonable(TwoVerdicts(first, second))}
    return slash(market, offender, evidence, signatures=2)


def false_proof(
    market: str,
    result: ComputeResult,
    *,
    manifest: Manifest,
    parameters: bytes,
    output: bytes,
    chain_id: str,
) -> Draft:
    """The SLASH of a result's worker, of its bond at a market; raises BadTransaction."""
    shown = FalseProof(result, inline.Evidence(parameters, manifest, output))
    evidence = {"kind": "false_proof", **to_jsonable(shown)}
    gas = shown.proof_gas(chain_id)
    offender = result.worker_address
    return slash(market, offender, evidence, signatures=PROOF_SIGNATURES, proof_gas=gas)


def _about(one: Verdict) -> tuple[object, ...]:
    """What two verdicts must share for one to be a lie."""
    return (
        one.validator_key,
        one.task_id,
        one.nonce,
        one.worker_address,
        one.result_hash,
        one.seed,
    )


def _offence(kind: str, key: bytes, task_id: str, nonce: int, chain_id: str) -> Offence:
    fields = (text(kind), key, text(task_id), u64(nonce))
    act = sha256(tagged("tmnode/offence", 1, chain_id, *fields)).hexdigest()
    return Offence(key.hex(), act)
