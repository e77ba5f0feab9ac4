"""What the commands take: one frozen struct each, documented field by field.

The same structs are read from a JSON body, a query string, a path, JSON-RPC parameters (by name,
or by position in the order of the fields) and describe themselves in OpenAPI and the CLI.
"""

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar, get_args

import msgspec

from node.errors import InvalidInput
from node.market.views import MAX_REASON

Kind = Literal["inference", "training", "rendering", "synthetic"]
Status = Literal["pending", "in_progress", "completed", "failed"]
Natural = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
KINDS: tuple[str, ...] = get_args(Kind)
STATUSES: tuple[str, ...] = get_args(Status)

MAX_PAGE = 200
MAX_OFFSET = 10**9
MAX_WAIT_S = 60.0
MAX_IDEMPOTENCY_KEY_LENGTH = 128

_TASK_ID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_VISIBLE = re.compile(rf"[!-~]{{1,{MAX_IDEMPOTENCY_KEY_LENGTH}}}")

_EXAMPLE_ID = "4f1c9a52-7d0e-8b3a-9c61-2e5d7f80a1b4"
_EXAMPLE_PAYLOAD = {"seed": "1234abcd5678ef90", "matrix_size": 1024, "iterations": 100}


def _doc(text: str, example: object, **bounds: Any) -> msgspec.Meta:
    return msgspec.Meta(description=text, examples=[example], **bounds)


def _text(text: str, example: object, pattern: str) -> msgspec.Meta:
    """A text of a form. The description for programs says it; what checks it says more."""
    return _doc(text, example, extra_json_schema={"pattern": pattern})


_KIND = _doc("The kind of work.", "synthetic")
_PAYLOAD = _doc("The work itself; each kind documents its fields.", _EXAMPLE_PAYLOAD)
_LAST_EVENT = _doc("The id of the last event you have seen.", 1_700_000_000_000_007)
_ADDRESS_FORM = ("cpc1we7t3vhwcgxkelznr06du3tvzurh3cnpf2ee7g", "^cpc1[02-9ac-hj-np-z]{38}$")
_AMOUNT = r"^[0-9]{1,19}(\.[0-9]{1,18})?$"
_KEY_FORM = rf"^[!-~]{{1,{MAX_IDEMPOTENCY_KEY_LENGTH}}}$"
_ID_FORM = "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"


class Params(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of a command that takes none."""


class QuoteParams(Params, frozen=True, kw_only=True):
    """The work to be priced."""

    challenge_type: Annotated[Kind, _KIND]
    payload: Annotated[dict[str, Any], _PAYLOAD]


class SubmitParams(Params, frozen=True, kw_only=True):
    """The work to be bought."""

    challenge_type: Annotated[Kind, _KIND]
    payload: Annotated[dict[str, Any], _PAYLOAD]
    reward: Annotated[str, _text("What you pay: a decimal string of CPC.", "10.0", _AMOUNT)]
    deadline: Annotated[
        Natural | None, _doc("Unix seconds after which the reward comes back.", 1767225600)
    ] = None
    idempotency_key: Annotated[
        str | None,
        _text("The same account and key give the same task again.", "order-2931", _KEY_FORM),
    ] = None

    def __post_init__(self) -> None:
        if self.idempotency_key is not None:
            _check_key(self.idempotency_key)


class TaskParams(Params, frozen=True, kw_only=True):
    """One task."""

    task_id: Annotated[str, _text("The task's id.", _EXAMPLE_ID, _ID_FORM)]

    def __post_init__(self) -> None:
        _put(self, "task_id", self.task_id.lower(), _TASK_ID, f"write it like {_EXAMPLE_ID}")


class WaitParams(TaskParams, frozen=True, kw_only=True):
    """A task, and how long to wait for its next phase."""

    phase: Annotated[
        str | None, _doc("The phase you have seen; by default the one it is in now.", "queued")
    ] = None
    timeout: Annotated[
        float, _doc("Seconds after which the task is shown as it is.", 30, ge=0, le=MAX_WAIT_S)
    ] = 30.0


class EventsParams(Params, frozen=True, kw_only=True):
    """Where to go on."""

    last_event_id: Annotated[Natural | None, _LAST_EVENT] = None


class TaskEventsParams(TaskParams, frozen=True, kw_only=True):
    """A task, and where to go on."""

    last_event_id: Annotated[Natural | None, _LAST_EVENT] = None


class AppealParams(TaskParams, frozen=True, kw_only=True):
    """A task whose result is disputed."""

    reason: Annotated[
        str,
        _doc(
            "What is wrong with the result, in a line.",
            "it differs from my own run",
            min_length=1,
            max_length=MAX_REASON,
        ),
    ]


class ListParams(Params, frozen=True, kw_only=True):
    """Which tasks to list."""

    status: Annotated[Status | None, _doc("Only tasks of this status.", "completed")] = None
    challenge_type: Annotated[Kind | None, _doc("Only tasks of this kind.", "synthetic")] = None
    limit: Annotated[int, _doc("How many, at most.", 50, ge=1, le=MAX_PAGE)] = 50
    offset: Annotated[int, _doc("How many to skip, newest first.", 0, ge=0, le=MAX_OFFSET)] = 0
    cursor: Annotated[
        str | None,
        _text("Go on after an earlier page: its `cursor`.", "AAAAAAAAAGQ", "^[0-9A-Za-z_-]{11}$"),
    ] = None

    def __post_init__(self) -> None:
        if self.cursor is not None and self.offset:
            raise InvalidInput("cannot be with an offset", field="cursor", remedy="give one")


class AccountParams(Params, frozen=True, kw_only=True):
    """Which account to show."""

    address: Annotated[
        str | None,
        _text("The account's address; by default your own.", *_ADDRESS_FORM),
    ] = None


class StatementParams(Params, frozen=True, kw_only=True):
    """Which part of your statement to show."""

    start: Annotated[Natural, _doc("The first entry's number: an earlier page's `next`.", 0)] = 0
    limit: Annotated[int, _doc("How many entries, at most.", 100, ge=1, le=MAX_PAGE)] = 100


class PayoutParams(Params, frozen=True, kw_only=True):
    """A payout on the chain."""

    root: Annotated[str, _text("The root in the TRANSFER's payload.", "ab" * 32, "^[0-9a-f]{64}$")]
    address: Annotated[str, _doc("Where the TRANSFER went.", _ADDRESS_FORM[0], max_length=128)]


class ChallengeParams(Params, frozen=True, kw_only=True):
    """Whose key is going to sign."""

    address: Annotated[str, _text("An account's address on the chain.", *_ADDRESS_FORM)]


class WithdrawParams(Params, frozen=True, kw_only=True):
    """How much to take out."""

    amount: Annotated[
        str,
        _text("What arrives, a decimal string of CPC; the fee comes on top.", "5.0", _AMOUNT),
    ]
    idempotency_key: Annotated[
        str, _text("The same account and key is the same withdrawal.", "withdraw-17", _KEY_FORM)
    ]

    def __post_init__(self) -> None:
        _check_key(self.idempotency_key)


class PayTermsParams(Params, frozen=True, kw_only=True):
    """When you want to be paid; without either it is only shown."""

    threshold: Annotated[
        str | None,
        _text("Pay at this sum of CPC; 0 goes back to the network's rule.", "25.0", _AMOUNT),
    ] = None
    now: Annotated[
        bool, _doc("Pay what is owed at once; the chain's fee is taken from it.", True)
    ] = False


class BondParams(Params, frozen=True, kw_only=True):
    """How much of your money to stake, or to take back."""

    amount: Annotated[str, _text("A decimal string of CPC.", "100.0", _AMOUNT)]
    idempotency_key: Annotated[
        str, _text("The same account and key is the same change of the bond.", "bond-3", _KEY_FORM)
    ]

    def __post_init__(self) -> None:
        _check_key(self.idempotency_key)


class ShowBondParams(Params, frozen=True, kw_only=True):
    """Whose bond to show."""

    address: Annotated[str, _text("An account's address on the chain.", *_ADDRESS_FORM)]


class CreateKeyParams(Params, frozen=True, kw_only=True):
    """A challenge signed with the account's key."""

    address: Annotated[str, _text("An account's address on the chain.", *_ADDRESS_FORM)]
    public_key: Annotated[
        str, _text("The compressed public key.", "02" + "5f" * 32, "^(0x)?0[23][0-9A-Fa-f]{64}$")
    ]
    challenge: Annotated[
        str, _text("The challenge as it was given.", "5f" * 40, "^(0x)?[0-9A-Fa-f]{80}$")
    ]
    signature: Annotated[
        str, _text("r ‖ s over the digest of the request.", "a3" * 64, "^(0x)?[0-9A-Fa-f]{128}$")
    ]
    spend_limit: Annotated[
        str | None,
        _text("The most this key may ever spend: a decimal string of CPC.", "100.0", _AMOUNT),
    ] = None


class ArtifactParams(Params, frozen=True, kw_only=True):
    """One artifact."""

    sha256: Annotated[
        str, _text("SHA-256 of its bytes, in hex.", "ab" * 32, "^(0x)?[0-9A-Fa-f]{64}$")
    ]

    def __post_init__(self) -> None:
        name = self.sha256.lower().removeprefix("0x")
        _put(self, "sha256", name, _DIGEST, "write the 64 hex digits of its SHA-256")


def _check_key(key: str) -> None:
    if not _VISIBLE.fullmatch(key):
        raise InvalidInput(
            "has characters or a length that a key cannot have",
            field="idempotency_key",
            remedy=f"use 1 to {MAX_IDEMPOTENCY_KEY_LENGTH} visible ASCII characters",
        )


def _put(params: Params, field: str, value: str, form: re.Pattern[str], remedy: str) -> None:
    if not form.fullmatch(value):
        raise InvalidInput(f"has the wrong form: {value[:80]!r}", field=field, remedy=remedy)
    msgspec.structs.force_setattr(params, field, value)


P = TypeVar("P", bound=Params)

_described: dict[type[Params], Mapping[str, Mapping[str, Any]]] = {}  # a struct's never changes

_TYPE_NAMES = {
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "object": "an object",
    "array": "an array",
}
_AT_FIELD = re.compile(r"(.*) - at `\$\.(\w+)[^`]*`", re.DOTALL)
_ABOUT_FIELD = re.compile(r"Object (missing required|contains unknown) field `(.*)`", re.DOTALL)
_WRONG_TYPE = re.compile(r"Expected `(.*)`, got `(.*)`", re.DOTALL)


def bind(kind: type[P], values: object, *, strict: bool = True) -> P:
    """The parameters in `values`; with `strict=False` numbers may be given as text.

    Raises:
        InvalidInput: names the field, what is wrong with it, and what it could be.
    """
    try:
        found = msgspec.convert(values, kind, strict=strict)
    except msgspec.ValidationError as error:
        raise _explained(kind, str(error)) from None
    if not strict and isinstance(values, Mapping):
        _refuse_null(found, values)
    return found


def _refuse_null(found: Params, values: Mapping[str, object]) -> None:
    """The text `null` is no way to leave something out, as msgspec takes it for."""
    for name, value in values.items():
        if value is not None and getattr(found, name) is None:
            raise InvalidInput("is no value", field=name, remedy=_remedy(type(found), name))


def _explained(kind: type[Params], text: str) -> InvalidInput:
    if about := _ABOUT_FIELD.fullmatch(text):
        name = about[2][:60]
        if about[1] == "missing required":
            return InvalidInput("is missing", field=name, remedy=_remedy(kind, name))
        known = ", ".join(kind.__struct_fields__) or "none"
        return InvalidInput("is not known here", field=name, remedy=f"known fields: {known}")
    if at := _AT_FIELD.fullmatch(text):
        return InvalidInput(_sentence(at[1]), field=at[2], remedy=_remedy(kind, at[2]))
    return InvalidInput(_sentence(text), remedy="send an object with the fields by name")


def _sentence(text: str) -> str:
    if wrong := _WRONG_TYPE.fullmatch(text):
        wanted = " or ".join(_TYPE_NAMES.get(name, name) for name in wrong[1].split(" | "))
        return f"must be {wanted}, got {_TYPE_NAMES.get(wrong[2], wrong[2])}"
    return text[:1].lower() + text[1:200].replace("`", "")


def _remedy(kind: type[Params], name: str) -> str | None:
    choices = {"challenge_type": KINDS, "status": STATUSES}.get(name)
    if choices is not None:
        return f"use one of {', '.join(choices)}"
    example = example_of(kind, name)
    return None if example is None else f"write it like {json.dumps(example, ensure_ascii=False)}"


def metadata(kind: type[Params]) -> Mapping[str, Mapping[str, Any]]:
    """Description, examples and bounds of each field, as JSON schema members."""
    if kind not in _described:
        _described[kind] = msgspec.json.schema(kind)["$defs"][kind.__name__]["properties"]
    return _described[kind]


def example_of(kind: type[Params], name: str) -> object:
    """The documented example of a field; None if there is no such field."""
    return metadata(kind).get(name, {}).get("examples", [None])[0]
