"""The command table: one row feeds a REST route, a JSON-RPC method, OpenAPI and the CLI."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import trio

from node.api import answers, operations, params
from node.api.callers import Caller
from node.api.events import EventStream
from node.api.params import Params, bind
from node.api.service import Service
from node.errors import Unavailable
from node.logs import about
from node.market.views import NodeStatus
from storage.errors import StorageFailed

P = TypeVar("P", bound=Params)

LIMIT_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Command(Generic[P]):
    """One thing a node can be asked."""

    name: str
    """Name on the command line and in the docs."""
    method: str | None
    """JSON-RPC method; None: only REST."""
    verb: str
    path: str
    """REST route; `{…}` are parameters."""
    params: type[P]
    answer: Any
    """Type of the answer; `Path` is a file to send, `EventStream` events."""
    call: Callable[[Service, Caller, P], Awaitable[Any]]
    summary: str
    needs_market: bool = True
    needs_account: bool = False
    """Only for the owner of an account: it spends, or cancels."""
    status: int = 200
    """HTTP status of success."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Parameter -> HTTP header that REST takes it from."""
    limit_s: float = LIMIT_S

    @property
    def path_fields(self) -> tuple[str, ...]:
        """Parameters that are part of the path."""
        return tuple(name for name in self.params.__struct_fields__ if f"{{{name}}}" in self.path)

    @property
    def free_fields(self) -> tuple[str, ...]:
        """Parameters that REST takes from the body or the query."""
        taken = {*self.path_fields, *self.headers}
        return tuple(name for name in self.params.__struct_fields__ if name not in taken)

    @property
    def in_body(self) -> bool:
        """Whether the free fields are a JSON body, not a query."""
        return self.verb == "POST"


COMMANDS: tuple[Command[Any], ...] = (
    Command(
        name="quote",
        method="tm_quote",
        verb="POST",
        path="/quote",
        params=params.QuoteParams,
        answer=answers.QuoteAnswer,
        call=operations.quote_work,
        summary="Price a piece of work without buying it.",
    ),
    Command(
        name="submit",
        method="tm_submitTask",
        verb="POST",
        path="/tasks",
        params=params.SubmitParams,
        answer=answers.SubmitAnswer,
        call=operations.submit_task,
        summary="Buy a piece of work: the reward is reserved and the task taken durably.",
        needs_account=True,
        status=201,
        headers={"idempotency_key": "Idempotency-Key"},
    ),
    Command(
        name="list",
        method="tm_listTasks",
        verb="GET",
        path="/tasks",
        params=params.ListParams,
        answer=answers.ListAnswer,
        call=operations.list_tasks,
        summary="List tasks, newest first.",
    ),
    Command(
        name="task",
        method="tm_getTask",
        verb="GET",
        path="/tasks/{task_id}",
        params=params.TaskParams,
        answer=answers.TaskAnswer,
        call=operations.show_task,
        summary="Show a task and, once it is completed, its result.",
    ),
    Command(
        name="wait",
        method="tm_waitTask",
        verb="GET",
        path="/tasks/{task_id}/wait",
        params=params.WaitParams,
        answer=answers.TaskAnswer,
        call=operations.wait_for_task,
        summary="Show a task as soon as its phase changes, or at the timeout.",
        limit_s=params.MAX_WAIT_S + LIMIT_S,
    ),
    Command(
        name="task-events",
        method=None,
        verb="GET",
        path="/tasks/{task_id}/events",
        params=params.TaskEventsParams,
        answer=EventStream,
        call=operations.follow_task,
        summary="Follow a task's phases as server-sent events, until its last one.",
        headers={"last_event_id": "Last-Event-ID"},
    ),
    Command(
        name="events",
        method=None,
        verb="GET",
        path="/events",
        params=params.EventsParams,
        answer=EventStream,
        call=operations.follow_tasks,
        summary="Follow the phases of all tasks as server-sent events.",
        headers={"last_event_id": "Last-Event-ID"},
    ),
    Command(
        name="cancel",
        method="tm_cancelTask",
        verb="POST",
        path="/tasks/{task_id}/cancel",
        params=params.TaskParams,
        answer=answers.TaskAnswer,
        call=operations.cancel_task,
        summary="Cancel your task while it is not finished; the reward comes back.",
        needs_account=True,
    ),
    Command(
        name="appeal",
        method="tm_appealTask",
        verb="POST",
        path="/tasks/{task_id}/appeal",
        params=params.AppealParams,
        answer=answers.TaskAnswer,
        call=operations.appeal_result,
        summary="Dispute your task's result for a fee, before its pay is due: a jury computes it.",
        needs_account=True,
    ),
    Command(
        name="receipt",
        method="tm_getReceipt",
        verb="GET",
        path="/tasks/{task_id}/receipt",
        params=params.TaskParams,
        answer=answers.Receipt,
        call=operations.show_receipt,
        summary="The receipt anybody can verify, once the result is anchored on the chain.",
    ),
    Command(
        name="artifact",
        method=None,
        verb="GET",
        path="/artifacts/{sha256}",
        params=params.ArtifactParams,
        answer=Path,
        call=operations.find_artifact,
        summary="Download an output; a byte range may be asked for.",
    ),
    Command(
        name="account",
        method="tm_getAccount",
        verb="GET",
        path="/account",
        params=params.AccountParams,
        answer=answers.AccountAnswer,
        call=operations.show_account,
        summary="Show what an account has, and where it pays in.",
    ),
    Command(
        name="statement",
        method="tm_getStatement",
        verb="GET",
        path="/account/statement",
        params=params.StatementParams,
        answer=answers.StatementAnswer,
        call=operations.show_statement,
        summary="Show what moved your money, oldest first.",
    ),
    Command(
        name="payout",
        method="tm_getPayout",
        verb="GET",
        path="/payouts/{root}/{address}",
        params=params.PayoutParams,
        answer=answers.PayoutAnswer,
        call=operations.show_payout,
        summary="Show the ledger's entries behind a payout on the chain, for anybody to check.",
    ),
    Command(
        name="withdraw",
        method="tm_withdraw",
        verb="POST",
        path="/account/withdraw",
        params=params.WithdrawParams,
        answer=answers.WithdrawalAnswer,
        call=operations.withdraw_money,
        summary="Take money out, to your own address on the chain; repeat it to see how far it is.",
        needs_account=True,
        headers={"idempotency_key": "Idempotency-Key"},
    ),
    Command(
        name="pay-terms",
        method="tm_payTerms",
        verb="POST",
        path="/account/payout",
        params=params.PayTermsParams,
        answer=answers.PayTermsAnswer,
        call=operations.set_pay_terms,
        summary="Show what you have earned, say at which sum to pay it, or have it paid now.",
        needs_account=True,
    ),
    Command(
        name="bond",
        method="tm_bond",
        verb="POST",
        path="/bond",
        params=params.BondParams,
        answer=answers.BondAnswer,
        call=operations.bond_money,
        summary="Stake money of yours on the results that you compute or check.",
        needs_account=True,
        headers={"idempotency_key": "Idempotency-Key"},
    ),
    Command(
        name="unbond",
        method="tm_unbond",
        verb="POST",
        path="/unbond",
        params=params.BondParams,
        answer=answers.BondAnswer,
        call=operations.unbond_money,
        summary="Take back what you stake; it is yours again after the unbonding time.",
        needs_account=True,
        headers={"idempotency_key": "Idempotency-Key"},
    ),
    Command(
        name="bond-of",
        method="tm_getBond",
        verb="GET",
        path="/bond/{address}",
        params=params.ShowBondParams,
        answer=answers.BondAnswer,
        call=operations.show_bond,
        summary="Show what an address stakes.",
    ),
    Command(
        name="account-challenge",
        method="tm_accountChallenge",
        verb="POST",
        path="/account/challenge",
        params=params.ChallengeParams,
        answer=answers.ChallengeAnswer,
        call=operations.make_challenge,
        summary="Get a challenge to sign with the account's key.",
    ),
    Command(
        name="account-key",
        method="tm_createKey",
        verb="POST",
        path="/account/keys",
        params=params.CreateKeyParams,
        answer=answers.KeyAnswer,
        call=operations.make_key,
        summary="Make an API key with a signed challenge; it is shown this once.",
        status=201,
    ),
    Command(
        name="status",
        method="tm_status",
        verb="GET",
        path="/status",
        params=Params,
        answer=NodeStatus,
        call=operations.show_status,
        summary="What the node is doing.",
        needs_market=False,
    ),
    Command(
        name="metrics",
        method=None,
        verb="GET",
        path="/metrics",
        params=Params,
        answer=answers.MetricsText,
        call=operations.show_metrics,
        summary="The node's numbers, for Prometheus.",
        needs_market=False,
    ),
    Command(
        name="peers",
        method="tm_peers",
        verb="GET",
        path="/peers",
        params=Params,
        answer=answers.PeersAnswer,
        call=operations.list_peers,
        summary="The nodes this one knows.",
        needs_market=False,
    ),
    Command(
        name="workers",
        method="tm_workers",
        verb="GET",
        path="/workers",
        params=Params,
        answer=answers.WorkersAnswer,
        call=operations.list_workers,
        summary="The workers this node knows.",
        needs_market=False,
    ),
    Command(
        name="health",
        method=None,
        verb="GET",
        path="/healthz",
        params=Params,
        answer=answers.HealthAnswer,
        call=operations.check_health,
        summary="Answers as long as the process does.",
        needs_market=False,
    ),
    Command(
        name="readiness",
        method=None,
        verb="GET",
        path="/readyz",
        params=Params,
        answer=answers.HealthAnswer,
        call=operations.check_readiness,
        summary="Answers 200 once the node can do its work, 503 before.",
        needs_market=False,
    ),
)

BY_METHOD: Mapping[str, Command[Any]] = {
    command.method: command for command in COMMANDS if command.method is not None
}
BY_NAME: Mapping[str, Command[Any]] = {command.name: command for command in COMMANDS}


async def perform(
    command: Command[Any], service: Service, caller: Caller, values: object, *, strict: bool = True
) -> Any:
    """Run a command on unchecked parameters; every error of a request is a NodeError."""
    bound = bind(command.params, values, strict=strict)
    subjects = {"task": bound.task_id} if isinstance(bound, params.TaskParams) else {}
    with about(**subjects), trio.move_on_after(command.limit_s):
        try:
            return await command.call(service, caller, bound)
        except StorageFailed as error:
            raise Unavailable(
                f"{command.name} could not be stored; this node stops",
                remedy="repeat it with the same idempotency key when the node is back",
            ) from error
    raise Unavailable(
        f"{command.name} was not done after {command.limit_s:g} s; it may still happen",
        remedy="look at its state, or repeat it with the same idempotency key",
    )
