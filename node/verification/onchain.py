"""The `market` profile of the development chain: whose signatures and proofs its blocks hold.

The existing chain looks at no signature and no proof in a result. Here both are checked before a
transaction is taken: a batch and an attestation by their signatures, a proof by verifying it, as
far as a transaction can hold it and its output (`inline`). So whatever the chain has as proven, it
verified. The gas of a proven result is that of a SUBMIT_RESULT and one for each `UNITS_PER_GAS`
units of the proof's verification, known before anything is computed.

It also knows the transactions of `node.l1.escrow`. What they do to deposits, escrows and bonds is
the chain's own; here their signatures are verified, and the evidence of a SLASH (`offences`), the
acts in an ESCROW_RULE (`acts`).
"""

import re
from collections.abc import Mapping, Set
from typing import Final

import msgspec

from gpu.proofs.envelope import PayloadKind, ProofEnvelope, ProofSystem
from node.keys import BindingInvalid, KeyBinding, verify_binding
from node.l1.canonical import canonical_payload
from node.l1.devchain.profiles import Offence, Signed
from node.l1.errors import BadPayload, BadTransaction
from node.l1.escrow import (
    TYPES,
    Act,
    Awarding,
    Bonding,
    Payload,
    Refund,
    Settlement,
    Slashing,
    award_message,
    check_approvals,
    claims_message,
    gas_of,
    read,
    refund_message,
)
from node.l1.escrow.gas import gas_of_parts, payload_bytes
from node.l1.transactions import GAS, Transaction, check_result
from node.verification import acts, inline
from node.verification.batches import MAX_BATCH, check_batch
from node.verification.claims import StatementInvalid
from node.verification.offences import shown_by, slash_gas
from node.verification.statements import ComputeResult, open_result

MAX_RESULT_BYTES: Final = 256 * 1024
"""Of a result's payload: proof and output in hex, and what goes with them."""

_FIELDS: Final = tuple(ComputeResult.__struct_fields__)
_ADDRESS = re.compile(r"cpc1[02-9ac-hj-np-z]{38}")


class MarketProfile:
    """A `Profile` of the development chain: strict about results, and with held money."""

    name = "market"
    types: Set[str] = TYPES

    def __init__(self, chain_id: str) -> None:
        self._chain_id = chain_id

    def gas(self, tx: Transaction) -> int:
        """From the sizes alone; raises BadTransaction for what cannot be of its type."""
        if tx.tx_type in TYPES:
            return self._held_gas(tx, read(tx))
        if tx.tx_type != "SUBMIT_RESULT":
            return GAS[tx.tx_type]
        result, evidence = _result_of(tx)
        if evidence is None:
            return GAS[tx.tx_type]
        return GAS[tx.tx_type] + inline.gas_of(inline.cost_of(result, evidence, self._chain_id))

    def check(self, tx: Transaction) -> None:
        """Raise BadTransaction unless the signatures and proofs in a transaction hold."""
        if tx.tx_type in TYPES:
            self._check_held(tx)
        elif tx.tx_type == "SUBMIT_RESULT":
            check_result(tx)
            try:
                self._check_result(*_result_of(tx))
            except StatementInvalid as error:
                raise BadTransaction(f"{error.field}: {error.message}") from error

    def offence(self, slashing: Slashing) -> Offence:
        """What the evidence of a SLASH shows, if it holds; raises BadTransaction."""
        return shown_by(slashing).offence(self._chain_id)

    def signed(self, act: Act) -> Signed:
        """What an act in an ESCROW_RULE says, if it is signed; raises BadTransaction."""
        return acts.shown_by(act).signed()

    def _held_gas(self, tx: Transaction, form: Payload) -> int:
        if isinstance(form, Slashing):
            return slash_gas(form, self._chain_id)
        length = payload_bytes(tx.tx_type, tx.payload)
        return gas_of(tx.tx_type, length, gas_of_parts(form))

    def _check_held(self, tx: Transaction) -> None:
        form = read(tx)
        self._check_fee(tx, form)
        if isinstance(form, Settlement):
            check_approvals(claims_message(self._chain_id, form.each), form.signatures)
        elif isinstance(form, Refund):
            check_approvals(refund_message(self._chain_id, form.escrow_id), form.signatures)
        elif isinstance(form, Awarding):
            message = award_message(self._chain_id, form.escrow_id, form.award)
            check_approvals(message, form.signatures)
            acts.check_acts(form.acts, form.award, self._chain_id)
        elif isinstance(form, Bonding):
            self._check_binding(form, tx.from_address)
        elif isinstance(form, Slashing):
            shown_by(form).check(form.offender, self._chain_id)

    def _check_fee(self, tx: Transaction, form: Payload) -> None:
        """Exact, so that no digit of the hash can wander from it to another number."""
        gas = self._held_gas(tx, form)
        if (tx.gas_limit, tx.fee) != (gas, gas * tx.gas_price):
            raise BadPayload("fee", f"must be exactly that of {gas} gas, and so must gas_limit")

    def _check_binding(self, form: Bonding, sender: str) -> None:
        fields = {"ed25519_public": form.public_key, **msgspec.structs.asdict(form.binding)}
        binding = KeyBinding(**{name: bytes.fromhex(text) for name, text in fields.items()})
        try:
            address = verify_binding(binding, self._chain_id)
        except BindingInvalid as error:
            raise BadPayload(f"binding.{error.field}", error.message) from error
        if address != sender:
            raise BadPayload("binding.account_public", "is not the sender's")

    def _check_result(self, result: ComputeResult, evidence: inline.Evidence | None) -> None:
        envelope = inline.envelope_of(result)
        if envelope.system is ProofSystem.BATCH:
            check_batch(result, self._chain_id)
            _check_workers(result, envelope)
        elif envelope.system is ProofSystem.ATTESTED:
            open_result(result, self._chain_id)
            if envelope.payload or envelope.kind is not PayloadKind.INLINE:
                raise StatementInvalid("an attestation carries nothing", field="proof")
        elif evidence is not None:
            finding = inline.judge(result, envelope, evidence, self._chain_id)
            if not finding.valid:
                raise StatementInvalid(finding.reason, field="proof")


def _result_of(tx: Transaction) -> tuple[ComputeResult, inline.Evidence | None]:
    """A result, with its evidence if it is a proven one; nothing is read into either."""
    if len(canonical_payload(tx.payload)) > MAX_RESULT_BYTES:
        raise BadTransaction(f"payload: has more than {MAX_RESULT_BYTES} bytes")
    if tx.amount or tx.to_address:
        raise BadTransaction("amount: a result pays nobody, so amount and to_address are empty")
    result = _six_fields(tx.payload)
    proven = inline.envelope_of(result).system is ProofSystem.CHAIN241
    for name in tx.payload.keys() - set(_FIELDS) - ({"evidence"} if proven else set()):
        raise BadPayload(name, "is not known here")
    if not proven:
        return result, None
    return result, inline.read_strictly(tx.payload.get("evidence"), inline.Evidence, "evidence")


def _six_fields(payload: Mapping[str, object]) -> ComputeResult:
    try:
        return msgspec.convert({name: payload[name] for name in _FIELDS}, ComputeResult)
    except (KeyError, msgspec.ValidationError) as error:
        raise BadTransaction(f"no ComputeResult: {error}") from error


def _check_workers(batch: ComputeResult, envelope: ProofEnvelope) -> None:
    """A batch says how many results it has, and whose: each worker once."""
    if not 1 <= batch.nonce <= MAX_BATCH:
        raise StatementInvalid(f"a batch has 1 to {MAX_BATCH} results", field="nonce")
    workers = envelope.payload.decode("latin-1").split("\n")
    if workers != sorted(set(workers)) or len(workers) > batch.nonce:
        raise StatementInvalid("names workers twice, or more than results", field="proof")
    if not all(map(_ADDRESS.fullmatch, workers)):
        raise StatementInvalid("names workers that are no addresses", field="proof")
