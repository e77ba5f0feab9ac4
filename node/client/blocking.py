"""The client for programs that wait: one call at a time."""

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar

import httpx

from node.api import answers
from node.client import calls
from node.client.calls import WITHDRAWAL_POLL_S, Call
from node.client.following import Goal
from node.client.http import client_settings, explained, request_of
from node.client.replies import read_reply
from node.client.signing import key_request
from node.market.views import NodeStatus

if TYPE_CHECKING:  # only who makes an API key needs the curve
    from node.l1.keys import AccountKey

_T = TypeVar("_T")


class Client:
    """A node's HTTP API; a context manager.

    `url` and `api_key` default to TMNODE_API (http://127.0.0.1:8080) and TMNODE_API_KEY. Every
    method raises the NodeError that the node answered with, or Unavailable if none answered.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._http = httpx.Client(**client_settings(url, api_key), transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def ask(self, call: Call[_T]) -> _T:
        """Make one call."""
        url = str(self._http.base_url)
        try:
            reply = self._http.request(**request_of(call))
        except httpx.HTTPError as error:
            raise explained(error, url) from error
        return read_reply(call, url, reply.status_code, reply.content)

    def submit(
        self,
        challenge_type: str,
        payload: Mapping[str, Any],
        reward: str,
        *,
        deadline: int | None = None,
        idempotency_key: str | None = None,
    ) -> answers.SubmitAnswer:
        """Buy a piece of work for `reward` CPC; the deadline is in Unix seconds."""
        call = calls.submit(
            challenge_type, payload, reward, deadline=deadline, idempotency_key=idempotency_key
        )
        return self.ask(call)

    def quote(self, challenge_type: str, payload: Mapping[str, Any]) -> answers.QuoteAnswer:
        """Ask for the price of a piece of work."""
        return self.ask(calls.quote(challenge_type, payload))

    def task(self, task_id: str) -> answers.TaskAnswer:
        """Show one task."""
        return self.ask(calls.task(task_id))

    def tasks(
        self,
        *,
        status: str | None = None,
        challenge_type: str | None = None,
        limit: int = 50,
        offset: int = 0,
        cursor: str | None = None,
    ) -> answers.ListAnswer:
        """List tasks, newest first."""
        call = calls.tasks(
            status=status, challenge_type=challenge_type, limit=limit, offset=offset, cursor=cursor
        )
        return self.ask(call)

    def wait(
        self, task_id: str, *, phase: str | None = None, timeout_s: float = 30.0
    ) -> answers.TaskAnswer:
        """Show a task as soon as its phase is not `phase`, or after `timeout_s` as it is."""
        return self.ask(calls.wait(task_id, phase=phase, timeout_s=timeout_s))

    def cancel(self, task_id: str) -> answers.TaskAnswer:
        """Cancel a task that is not finished."""
        return self.ask(calls.cancel(task_id))

    def appeal(self, task_id: str, reason: str) -> answers.TaskAnswer:
        """Dispute a completed task's result, for a fee, before its pay is due."""
        return self.ask(calls.appeal(task_id, reason))

    def receipt(self, task_id: str) -> bytes:
        """The receipt, byte for byte."""
        return self.ask(calls.receipt(task_id))

    def artifact(self, sha256: str) -> bytes:
        """An output's bytes, or a proof's, as the node has them."""
        return self.ask(calls.artifact(sha256))

    def account(self, address: str | None = None) -> answers.AccountAnswer:
        """Show an account, by default the caller's own."""
        return self.ask(calls.account(address))

    def statement(self, *, start: int = 0, limit: int = 100) -> answers.StatementAnswer:
        """Show what moved the caller's money, oldest first."""
        return self.ask(calls.statement(start=start, limit=limit))

    def payout(self, root: str, address: str) -> answers.PayoutAnswer:
        """Show the ledger's entries behind a payout on the chain."""
        return self.ask(calls.payout(root, address))

    def withdraw(
        self, amount: str, *, idempotency_key: str, wait_s: float = 0.0
    ) -> answers.WithdrawalAnswer:
        """Take `amount` CPC out; the same key again is the same withdrawal, as it is by then.

        Looks again for up to `wait_s` seconds while it is `pending`.
        """
        call = calls.withdraw(amount, idempotency_key=idempotency_key)
        deadline = time.monotonic() + wait_s
        answer = self.ask(call)
        while answer.status == "pending" and time.monotonic() < deadline:
            time.sleep(WITHDRAWAL_POLL_S)
            answer = self.ask(call)
        return answer

    def pay_terms(
        self, *, threshold: str | None = None, now: bool = False
    ) -> answers.PayTermsAnswer:
        """Show what the caller has earned; set the sum at which it is paid, or have it paid now."""
        return self.ask(calls.pay_terms(threshold=threshold, now=now))

    def bond(self, amount: str, *, idempotency_key: str) -> answers.BondAnswer:
        """Stake `amount` CPC more; the same key again changes nothing."""
        return self.ask(calls.bond(amount, idempotency_key=idempotency_key))

    def unbond(self, amount: str, *, idempotency_key: str) -> answers.BondAnswer:
        """Take `amount` CPC of it back; the same key again changes nothing."""
        return self.ask(calls.unbond(amount, idempotency_key=idempotency_key))

    def bond_of(self, address: str) -> answers.BondAnswer:
        """Show what an address stakes."""
        return self.ask(calls.bond_of(address))

    def create_key(
        self, account: "AccountKey", chain_id: str, spend_limit: str | None = None
    ) -> answers.KeyAnswer:
        """Make an API key for the account; `spend_limit` CPC is the most it may ever spend."""
        given = self.ask(calls.challenge(account.address))
        request = key_request(account, chain_id, given.challenge, spend_limit)
        return self.ask(calls.create_key(request))

    def status(self) -> NodeStatus:
        """What the node is doing."""
        return self.ask(calls.status())

    def peers(self) -> answers.PeersAnswer:
        """The nodes this one knows."""
        return self.ask(calls.peers())

    def follow(
        self, task_id: str, *, until: str = "completed", timeout_s: float = 3_600.0
    ) -> Iterator[answers.TaskAnswer]:
        """Show a task now and at every change, until it has come as far as `until`.

        `until` is one of `node.client.GOALS`. Raises TaskFailed, or Unavailable at the timeout.
        """
        goal = Goal(until, time.monotonic() + timeout_s)
        call: Call[answers.TaskAnswer] | None = calls.task(task_id)
        while call is not None:
            task = self.ask(call)
            yield task
            call = goal.next_call(task, time.monotonic())
