"""What the payloads of the market's transactions are.

A struct has the payload's own field names. Keys, signatures and digests are lower-case hex.
"""

from typing import Annotated, Any, Literal, Protocol

import msgspec

from node.amounts import Amount
from node.split import Shares

MAX_MEMBERS = 64
"""Validators of an escrow's set, signatures under a claim, and validators that it pays."""
MAX_WORKERS = 256
"""Workers that a claim pays."""
MAX_FALSE = 256
"""Results that an award calls false."""
MAX_CULPRITS = MAX_WORKERS + MAX_MEMBERS
"""Accounts that answer for them."""

Digest = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
"""Hex of 32 bytes; also an Ed25519 key."""
Signed = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{128}\Z")]
"""Hex of a signature's 64 bytes."""
Label = Annotated[str, msgspec.Meta(pattern=r"^[!-~]{1,90}\Z")]
"""Text that is credited without being an address, such as the burn address."""
TaskId = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")]
"""A UUID in its one form, lower-case and with hyphens, as markets name their tasks."""
Number = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Form(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of a payload: what it does not name is refused."""


class Depositing(Form, frozen=True, kw_only=True, omit_defaults=True):
    """DEPOSIT: recipient and amount are the transaction's."""

    customer: str | None = None
    """Whose deposit it is to be, if not the sender's."""


class MarketWithdrawal(Form, frozen=True, kw_only=True):
    """WITHDRAW by a market: back to the customer at once."""

    customer: str
    amount: Amount


class CustomerWithdrawal(Form, frozen=True, kw_only=True):
    """WITHDRAW by a customer: first the notice, later all that is left."""

    market: str


class Member(Form, frozen=True, kw_only=True):
    """A validator of an escrow's set."""

    address: str
    public_key: Digest
    """Ed25519: what it signs claims with."""


class ShareTerms(Form, frozen=True, kw_only=True):
    """Shares in basis points, as `node.split.Shares`; none has a default here."""

    burn: Number
    workers: Number
    validators: Number
    treasury: Number
    orchestrator: Number

    @property
    def shares(self) -> Shares:
        """For `split`; raises ConfigError if they do not add up."""
        return Shares(**msgspec.structs.asdict(self))

    @classmethod
    def of(cls, shares: Shares) -> "ShareTerms":
        """The terms of a network's shares."""
        return cls(**msgspec.structs.asdict(shares))


class OpeningTerms(Form, frozen=True, kw_only=True):
    """What all escrows that one transaction opens have in common."""

    validators: Annotated[tuple[Member, ...], msgspec.Meta(min_length=1, max_length=MAX_MEMBERS)]
    """By strictly rising public keys."""
    k: Number
    """How many of them must sign."""
    grace: Number
    """Blocks after the deadline before anybody may refund it."""
    shares: ShareTerms
    fee_reserve: Amount
    """Of the validators' part, for the market, which pays the fees."""
    burn_address: Label
    treasury_address: Label

    @property
    def named(self) -> dict[str, Any]:
        """The terms by their names, also of a struct that has more."""
        return {name: getattr(self, name) for name in OpeningTerms.__struct_fields__}


class Opening(OpeningTerms, frozen=True, kw_only=True):
    """What a task's escrow is bound to, for good.

    Its id is not part of it: that follows from the sender and the task, see `escrow_id_of`.
    """

    task_id: TaskId
    customer: str
    amount: Amount
    deadline: Number
    """A block height."""


class Payee(Form, frozen=True, kw_only=True):
    """Who is paid, in proportion to a weight."""

    address: str
    weight: Number


class Claim(Form, frozen=True, kw_only=True):
    """Whom an escrow is to pay; both lists by strictly rising addresses."""

    workers: Annotated[tuple[Payee, ...], msgspec.Meta(min_length=1, max_length=MAX_WORKERS)]
    validators: Annotated[tuple[Payee, ...], msgspec.Meta(max_length=MAX_MEMBERS)]
    orchestrator: str
    results: Digest
    """Merkle root of the ComputeResults."""

    @property
    def addresses(self) -> set[str]:
        """Of everybody whom it pays."""
        payees = (*self.workers, *self.validators)
        return {self.orchestrator, *(one.address for one in payees)}


class Approval(Form, frozen=True, kw_only=True):
    """One validator's signature over a claim or a refund."""

    public_key: Digest
    signature: Signed


Approvals = Annotated[tuple[Approval, ...], msgspec.Meta(max_length=MAX_MEMBERS)]
"""By strictly rising public keys."""


class Refund(Form, frozen=True, kw_only=True):
    """ESCROW_REFUND, by anybody: signed, or after deadline and grace with no signature."""

    escrow_id: Digest
    signatures: Approvals


class Appealing(Form, frozen=True, kw_only=True):
    """ESCROW_APPEAL, by the market: its customer disputes the result, and puts a fee down."""

    escrow_id: Digest
    fee: Amount
    """Units out of the customer's deposit."""
    deadline: Number
    """A block height: until then no claim settles the escrow."""


class Award(Form, frozen=True, kw_only=True):
    """What became of a dispute; all lists but `keys` strictly rising.

    `inconclusive` names nobody, `upheld` the jurors only, `overturned` all of them.
    """

    outcome: Literal["upheld", "overturned", "inconclusive"]
    jurors: Annotated[tuple[str, ...], msgspec.Meta(max_length=MAX_MEMBERS)]
    """Addresses of those who computed what decides."""
    false: Annotated[tuple[Digest, ...], msgspec.Meta(max_length=MAX_FALSE)]
    """Hashes of the results that are."""
    culprits: Annotated[tuple[str, ...], msgspec.Meta(max_length=MAX_CULPRITS)]
    """Addresses of those who answer for them."""
    keys: Annotated[tuple[Digest, ...], msgspec.Meta(max_length=MAX_CULPRITS)]
    """Of each culprit in their order: what it signed with. Else a culprit that is first with the
    award could show something that it signed with a key that nobody bonded."""


class Act(Form, frozen=True, kw_only=True):
    """What a culprit signed: `node.verification.acts` reads the evidence."""

    address: str
    evidence: dict[str, Any]


class Awarding(Form, frozen=True, kw_only=True):
    """ESCROW_RULE, by anybody: a quorum's award, and for each culprit, in their order, its act."""

    escrow_id: Digest
    award: Award
    acts: Annotated[tuple[Act, ...], msgspec.Meta(max_length=MAX_CULPRITS)]
    signatures: Approvals


class Binding(Protocol):
    """What `node.keys.KeyBinding` has: two public keys, each signed by the other."""

    @property
    def ed25519_public(self) -> bytes:
        """32 bytes."""

    @property
    def account_public(self) -> bytes:
        """33 bytes."""

    @property
    def ed25519_signature(self) -> bytes:
        """64 bytes."""

    @property
    def account_signature(self) -> bytes:
        """64 bytes."""


class BindingTerms(Form, frozen=True, kw_only=True):
    """The rest of a binding, whose Ed25519 key stands beside it."""

    account_public: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{66}\Z")]
    ed25519_signature: Signed
    account_signature: Signed


class Bonding(Form, frozen=True, kw_only=True):
    """BOND: the key that the amount vouches for, and the proof that one owner has both keys.

    The transaction's recipient is the market whose juries may take from it.
    """

    public_key: Digest
    binding: BindingTerms

    @classmethod
    def of(cls, binding: Binding) -> "Bonding":
        """The form of a binding."""
        terms = BindingTerms(
            account_public=binding.account_public.hex(),
            ed25519_signature=binding.ed25519_signature.hex(),
            account_signature=binding.account_signature.hex(),
        )
        return cls(public_key=binding.ed25519_public.hex(), binding=terms)


class Unbonding(Form, frozen=True, kw_only=True):
    """UNBOND."""

    market: str
    amount: Amount


class Slashing(Form, frozen=True, kw_only=True):
    """SLASH: `node.verification.offences` reads the evidence."""

    market: str
    """At which the bond is that pays for it."""
    offender: str
    evidence: dict[str, Any]
