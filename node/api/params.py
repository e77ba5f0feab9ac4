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

Kind = Literal["inference", "training", "rendering", "synthetic"]
Status = Literal["pending", "in_progress", "completed", "failed"]
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


_KIND = _doc("The kind of work.", "synthetic")
_PAYLOAD = _doc("The work itself; each kind documents its fields.", _EXAMPLE_PAYLOAD)
_LAST_EVENT = _doc("The id of the last event you have seen.", 1_700_000_000_000_007)
_ADDRESS_DOC = "An account's address on the chain."


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
    reward: Annotated[str, _doc("What you pay: a decimal string of CPC.", "10.0")]
    deadline: Annotated[
        int | None, _doc("Unix seconds after which the reward comes back.", 1767225600)
    ] = None
    idempotency_key: Annotated[
        str | None,
        _doc("The same account and key give the same task again.", "order-2931"),
    ] = None

    def __post_init__(self) -> None:
        if self.idempotency_key is not None and not _VISIBLE.fullmatch(self.idempotency_key):
            raise InvalidInput(
                "has characters or a length that a key cannot have",
                field="idempotency_key",
                remedy=f"use 1 to {MAX_IDEMPOTENCY_KEY_LENGTH} visible ASCII characters",
            )


class TaskParams(Params, frozen=True, kw_only=True):
    """One task."""

    task_id: Annotated[str, _doc("The task's id.", _EXAMPLE_ID)]

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

    last_event_id: Annotated[int | None, _LAST_EVENT] = None


class TaskEventsParams(TaskParams, frozen=True, kw_only=True):
    """A task, and where to go on."""

    last_event_id: Annotated[int | None, _LAST_EVENT] = None


class ListParams(Params, frozen=True, kw_only=True):
    """Which tasks to list."""

    status: Annotated[Status | None, _doc("Only tasks of this status.", "completed")] = None
    challenge_type: Annotated[Kind | None, _doc("Only tasks of this kind.", "synthetic")] = None
    limit: Annotated[int, _doc("How many, at most.", 50, ge=1, le=MAX_PAGE)] = 50
    offset: Annotated[int, _doc("How many to skip, newest first.", 0, ge=0, le=MAX_OFFSET)] = 0
    cursor: Annotated[
        str | None, _doc("Go on after an earlier page: its `cursor`.", "AAAAAAAAAGQ")
    ] = None

    def __post_init__(self) -> None:
        if self.cursor is not None and self.offset:
            raise InvalidInput("cannot be with an offset", field="cursor", remedy="give one")


class AccountParams(Params, frozen=True, kw_only=True):
    """Which account to show."""

    address: Annotated[
        str | None, _doc("The account's address; by default the caller's own.", "cpc1…")
    ] = None


class ChallengeParams(Params, frozen=True, kw_only=True):
    """Whose key is going to sign."""

    address: Annotated[str, _doc(_ADDRESS_DOC, "cpc1…", max_length=120)]


class CreateKeyParams(Params, frozen=True, kw_only=True):
    """A challenge signed with the account's key."""

    address: Annotated[str, _doc(_ADDRESS_DOC, "cpc1…", max_length=120)]
    public_key: Annotated[str, _doc("The compressed public key: 66 hex digits.", "02…")]
    challenge: Annotated[str, _doc("The challenge as it was given.", "5f…", max_length=200)]
    signature: Annotated[
        str, _doc("r ‖ s over the digest of the key request: 128 hex digits.", "a3…")
    ]
    spend_limit: Annotated[
        str | None, _doc("The most this key may ever spend: a decimal string of CPC.", "100.0")
    ] = None


class ArtifactParams(Params, frozen=True, kw_only=True):
    """One artifact."""

    sha256: Annotated[str, _doc("SHA-256 of its bytes: 64 hex digits.", "ab" * 32)]

    def __post_init__(self) -> None:
        name = self.sha256.lower().removeprefix("0x")
        _put(self, "sha256", name, _DIGEST, "write the 64 hex digits of its SHA-256")


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
        return msgspec.convert(values, kind, strict=strict)
    except msgspec.ValidationError as error:
        raise _explained(kind, str(error)) from None


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
