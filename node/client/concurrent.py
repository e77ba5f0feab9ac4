"""The client for trio tasks: the same calls as `node.client.blocking`."""

from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar

import httpx
import trio

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


class AsyncClient:
    """A node's HTTP API; an async context manager. Otherwise like `node.client.Client`."""

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._http = httpx.AsyncClient(**client_settings(url, api_key), transport=transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def ask(self, call: Call[_T]) -> _T:
        """Make one call."""
        url = str(self._http.base_url)
        try:
            reply = await self._http.request(**request_of(call))
        except httpx.HTTPError as error:
            raise explained(error, url) from error
        return read_reply(call, url, reply.status_code, reply.content)

    async def submit(
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
        return await self.ask(call)

    async def quote(self, challenge_type: str, payload: Mapping[str, Any]) -> answers.QuoteAnswer:
        """Ask for the price of a piece of work."""
        return await self.ask(calls.quote(challenge_type, payload))

    async def task(self, task_id: str) -> answers.TaskAnswer:
        """Show one task."""
        return await self.ask(calls.task(task_id))

    async def tasks(
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
        return await self.ask(call)

    async def wait(
        self, task_id: str, *, phase: str | None = None, timeout_s: float = 30.0
    ) -> answers.TaskAnswer:
        """Show a task as soon as its phase is not `phase`, or after `timeout_s` as it is."""
        return await self.ask(calls.wait(task_id, phase=phase, timeout_s=timeout_s))

    async def cancel(self, task_id: str) -> answers.TaskAnswer:
        """Cancel a task that is not finished."""
        return await self.ask(calls.cancel(task_id))

    async def appeal(self, task_id: str, reason: str) -> answers.TaskAnswer:
        """Dispute a completed task's result, for a fee, before its pay is due."""
        return await self.ask(calls.appeal(task_id, reason))

    async def receipt(self, task_id: str) -> bytes:
        """The receipt, byte for byte."""
        return await self.ask(calls.receipt(task_id))

    async def artifact(self, sha256: str) -> bytes:
        """An output's bytes, or a proof's, as the node has them."""
        return await self.ask(calls.artifact(sha256))

    async def account(self, address: str | None = None) -> answers.AccountAnswer:
        """Show an account, by default the caller's own."""
        return await self.ask(calls.account(address))

    async def statement(self, *, start: int = 0, limit: int = 100) -> answers.StatementAnswer:
        """Show what moved the caller's money, oldest first."""
        return await self.ask(calls.statement(start=start, limit=limit))

    async def payout(self, root: str, address: str) -> answers.PayoutAnswer:
        """Show the ledger's entries behind a payout on the chain."""
        return await self.ask(calls.payout(root, address))

    async def withdraw(
        self, amount: str, *, idempotency_key: str, wait_s: float = 0.0
    ) -> answers.WithdrawalAnswer:
        """Take `amount` CPC out; the same key again is the same withdrawal, as it is by then.

        Looks again for up to `wait_s` seconds while it is `pending`.
        """
        call = calls.withdraw(amount, idempotency_key=idempotency_key)
        deadline = trio.current_time() + wait_s
        answer = await self.ask(call)
        while answer.status == "pending" and trio.current_time() < deadline:
            await trio.sleep(WITHDRAWAL_POLL_S)
            answer = await self.ask(call)
        return answer

    async def pay_terms(
        self, *, threshold: str | None = None, now: bool = False
    ) -> answers.PayTermsAnswer:
        """Show what the caller has earned; set the sum at which it is paid, or have it paid now."""
        return await self.ask(calls.pay_terms(threshold=threshold, now=now))

    async def bond(self, amount: str, *, idempotency_key: str) -> answers.BondAnswer:
        """Stake `amount` CPC more; the same key again changes nothing."""
        return await self.ask(calls.bond(amount, idempotency_key=idempotency_key))

    async def unbond(self, amount: str, *, idempotency_key: str) -> answers.BondAnswer:
        """Take `amount` CPC of it back; the same key again changes nothing."""
        return await self.ask(calls.unbond(amount, idempotency_key=idempotency_key))

    async def bond_of(self, address: str) -> answers.BondAnswer:
        """Show what an address stakes."""
        return await self.ask(calls.bond_of(address))

    async def create_key(
        self, account: "AccountKey", chain_id: str, spend_limit: str | None = None
    ) -> answers.KeyAnswer:
        """Make an API key for the account; `spend_limit` CPC is the most it may ever spend."""
        given = await self.ask(calls.challenge(account.address))
        request = key_request(account, chain_id, given.challenge, spend_limit)
        return await self.ask(calls.create_key(request))

    async def status(self) -> NodeStatus:
        """What the node is doing."""
        return await self.ask(calls.status())

    async def peers(self) -> answers.PeersAnswer:
        """The nodes this one knows."""
        return await self.ask(calls.peers())

    async def follow(
        self, task_id: str, *, until: str = "completed", timeout_s: float = 3_600.0
    ) -> AsyncIterator[answers.TaskAnswer]:
        """Show a task now and at every change, until it has come as far as `until`.

        `until` is one of `node.client.GOALS`. Raises TaskFailed, or Unavailable at the timeout.
        """
        goal = Goal(until, trio.current_time() + timeout_s)
        call: Call[answers.TaskAnswer] | None = calls.task(task_id)
        while call is not None:
            task = await self.ask(call)
            yield task
            call = goal.next_call(task, trio.current_time())
