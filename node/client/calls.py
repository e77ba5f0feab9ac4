"""Every question to a node's HTTP API, as data: what to send, and what the answer must look like.

The door's own `node.api.answers` are the types of the answers, so that both sides agree.
"""

from collections.abc import Mapping
from typing import Any, Generic, TypeVar
from urllib.parse import quote as escape

import msgspec

from node.api import answers
from node.market.views import NodeStatus

ANSWER_S = 40.0
"""Seconds: a little more than the node gives itself."""
WAIT_MARGIN_S = 10.0
WITHDRAWAL_POLL_S = 0.5
"""Seconds between looks at a withdrawal: a block takes longer."""

_T = TypeVar("_T")


class Call(msgspec.Struct, Generic[_T], frozen=True, kw_only=True):
    """One HTTP request."""

    verb: str
    path: str
    answer: type[_T]
    query: Mapping[str, str | int | float] = {}
    body: Mapping[str, Any] | None = None
    """Sent as JSON. A POST always has one: the node spends nothing for a request without."""
    headers: Mapping[str, str] = {}
    timeout_s: float = ANSWER_S


def submit(
    challenge_type: str,
    payload: Mapping[str, Any],
    reward: str,
    *,
    deadline: int | None = None,
    idempotency_key: str | None = None,
) -> Call[answers.SubmitAnswer]:
    """Buy a piece of work for `reward` CPC; the deadline is in Unix seconds."""
    body = {"challenge_type": challenge_type, "payload": payload, "reward": reward}
    return Call(
        verb="POST",
        path="/tasks",
        answer=answers.SubmitAnswer,
        body=body if deadline is None else {**body, "deadline": deadline},
        headers={"Idempotency-Key": idempotency_key} if idempotency_key is not None else {},
    )


def quote(challenge_type: str, payload: Mapping[str, Any]) -> Call[answers.QuoteAnswer]:
    """Ask for the price of a piece of work."""
    body = {"challenge_type": challenge_type, "payload": payload}
    return Call(verb="POST", path="/quote", answer=answers.QuoteAnswer, body=body)


def task(task_id: str) -> Call[answers.TaskAnswer]:
    """Show one task."""
    return Call(verb="GET", path=_task_path(task_id), answer=answers.TaskAnswer)


def tasks(
    *,
    status: str | None = None,
    challenge_type: str | None = None,
    limit: int = 50,
    offset: int = 0,
    cursor: str | None = None,
) -> Call[answers.ListAnswer]:
    """List tasks, newest first: from an earlier page's `cursor` on, or after `offset` of them."""
    wanted: Mapping[str, str | int | None] = {
        "status": status,
        "challenge_type": challenge_type,
        "limit": limit,
        "offset": offset,
        "cursor": cursor,
    }
    query = {name: value for name, value in wanted.items() if value is not None}
    return Call(verb="GET", path="/tasks", answer=answers.ListAnswer, query=query)


def wait(task_id: str, *, phase: str | None, timeout_s: float) -> Call[answers.TaskAnswer]:
    """Show a task as soon as it is in another phase, or after `timeout_s` seconds as it is."""
    return Call(
        verb="GET",
        path=f"{_task_path(task_id)}/wait",
        answer=answers.TaskAnswer,
        query={"timeout": timeout_s} if phase is None else {"phase": phase, "timeout": timeout_s},
        timeout_s=timeout_s + WAIT_MARGIN_S,
    )


def cancel(task_id: str) -> Call[answers.TaskAnswer]:
    """Cancel a task that is not finished."""
    return Call(
        verb="POST", path=f"{_task_path(task_id)}/cancel", answer=answers.TaskAnswer, body={}
    )


def appeal(task_id: str, reason: str) -> Call[answers.TaskAnswer]:
    """Dispute a completed task's result."""
    path = f"{_task_path(task_id)}/appeal"
    return Call(verb="POST", path=path, answer=answers.TaskAnswer, body={"reason": reason})


def receipt(task_id: str) -> Call[bytes]:
    """The receipt, byte for byte."""
    return Call(verb="GET", path=f"{_task_path(task_id)}/receipt", answer=bytes)


def artifact(sha256: str) -> Call[bytes]:
    """An output's bytes, or a proof's, whole: whoever asks checks the digest."""
    return Call(verb="GET", path=f"/artifacts/{escape(sha256, safe='')}", answer=bytes)


def account(address: str | None = None) -> Call[answers.AccountAnswer]:
    """Show an account, by default the caller's own."""
    query = {"address": address} if address is not None else {}
    return Call(verb="GET", path="/account", answer=answers.AccountAnswer, query=query)


def statement(*, start: int = 0, limit: int = 100) -> Call[answers.StatementAnswer]:
    """Show what moved the caller's money, oldest first."""
    query = {"start": start, "limit": limit}
    path = "/account/statement"
    return Call(verb="GET", path=path, answer=answers.StatementAnswer, query=query)


def payout(root: str, address: str) -> Call[answers.PayoutAnswer]:
    """Show the ledger's entries behind a payout on the chain."""
    path = f"/payouts/{root}/{escape(address, safe='')}"
    return Call(verb="GET", path=path, answer=answers.PayoutAnswer)


def withdraw(amount: str, *, idempotency_key: str) -> Call[answers.WithdrawalAnswer]:
    """Take `amount` CPC out; the same key again is the same withdrawal, as it is by then."""
    return Call(
        verb="POST",
        path="/account/withdraw",
        answer=answers.WithdrawalAnswer,
        body={"amount": amount},
        headers={"Idempotency-Key": idempotency_key},
    )


def pay_terms(*, threshold: str | None = None, now: bool = False) -> Call[answers.PayTermsAnswer]:
    """Show what the caller has earned; set the sum at which it is paid, or have it paid now."""
    body: dict[str, Any] = {} if threshold is None else {"threshold": threshold}
    return Call(
        verb="POST",
        path="/account/payout",
        answer=answers.PayTermsAnswer,
        body={**body, "now": True} if now else body,
    )


def bond(amount: str, *, idempotency_key: str) -> Call[answers.BondAnswer]:
    """Stake `amount` CPC more; the same key again changes nothing."""
    return _bond_change("/bond", amount, idempotency_key)


def unbond(amount: str, *, idempotency_key: str) -> Call[answers.BondAnswer]:
    """Take `amount` CPC of it back; the same key again changes nothing."""
    return _bond_change("/unbond", amount, idempotency_key)


def _bond_change(path: str, amount: str, key: str) -> Call[answers.BondAnswer]:
    return Call(
        verb="POST",
        path=path,
        answer=answers.BondAnswer,
        body={"amount": amount},
        headers={"Idempotency-Key": key},
    )


def bond_of(address: str) -> Call[answers.BondAnswer]:
    """Show what an address stakes."""
    path = f"/bond/{escape(address, safe='')}"
    return Call(verb="GET", path=path, answer=answers.BondAnswer)


def challenge(address: str) -> Call[answers.ChallengeAnswer]:
    """Get something for the owner of `address` to sign."""
    body = {"address": address}
    return Call(verb="POST", path="/account/challenge", answer=answers.ChallengeAnswer, body=body)


def create_key(request: Mapping[str, Any]) -> Call[answers.KeyAnswer]:
    """Hand a signed challenge in; the members are those of `node.api.params.CreateKeyParams`."""
    return Call(verb="POST", path="/account/keys", answer=answers.KeyAnswer, body=request)


def status() -> Call[NodeStatus]:
    """What the node is doing."""
    return Call(verb="GET", path="/status", answer=NodeStatus)


def peers() -> Call[answers.PeersAnswer]:
    """The nodes this one knows."""
    return Call(verb="GET", path="/peers", answer=answers.PeersAnswer)


def _task_path(task_id: str) -> str:
    return f"/tasks/{escape(task_id, safe='')}"
