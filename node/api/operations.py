"""What the commands do: each takes the service, the caller and checked parameters."""

import math
from pathlib import Path

import msgspec
import trio

from node.amounts import Amount, parse_cpc
from node.api import answers, params
from node.api.callers import Caller, Interruption
from node.api.events import EventStream
from node.api.params import Params
from node.api.service import MAX_STREAMS, MAX_WAITS, Service
from node.errors import InvalidInput, NodeError, Overloaded, Unavailable
from node.market.views import NewTask, NodeStatus, TaskView
from node.metrics import by_label, render

_HELD = "Requests that wait for a task or follow events now."


async def quote_work(service: Service, _: Caller, p: params.QuoteParams) -> answers.QuoteAnswer:
    """Price a piece of work."""
    return answers.quote_answer(service.market.quote(p.challenge_type, p.payload))


async def submit_task(
    service: Service, caller: Caller, p: params.SubmitParams
) -> answers.SubmitAnswer:
    """Buy a piece of work with the caller's money."""
    market, account = service.market, caller.owner()
    reward = parse_cpc(p.reward, field="reward")
    if reward == 0:
        raise InvalidInput("must be above zero", field="reward", remedy="ask for a quote first")
    _check_deadline(p.deadline, service)
    task = NewTask(p.challenge_type, p.payload, reward, p.deadline)
    if caller.key is None:
        return answers.submit_answer(await market.submit(task, account, p.idempotency_key))
    async with service.accounts.limits.spending(caller.key, reward, p.idempotency_key):
        return answers.submit_answer(await market.submit(task, account, p.idempotency_key))


def _check_deadline(deadline_s: int | None, service: Service) -> None:
    if deadline_s is None:
        return
    now = service.now()
    latest = math.floor(now) + service.max_deadline_s
    if not now < deadline_s <= latest:
        raise InvalidInput(
            "lies in the past" if deadline_s <= now else "lies too far in the future",
            field="deadline",
            remedy=f"give Unix seconds after {math.floor(now)} and up to {latest}",
        )


async def show_task(service: Service, _: Caller, p: params.TaskParams) -> answers.TaskAnswer:
    """Show one task."""
    return answers.task_answer(service.market.task(p.task_id))


async def wait_for_task(
    service: Service, caller: Caller, p: params.WaitParams
) -> answers.TaskAnswer:
    """Show a task as soon as it is in another phase than the one seen."""
    task = service.market.task(p.task_id)
    seen = task.phase if p.phase is None else p.phase
    if task.phase == seen:
        task = await _next_phase(service, caller, task, p.timeout)
    return answers.task_answer(task)


async def _next_phase(
    service: Service, caller: Caller, task: TaskView, timeout_s: float
) -> TaskView:
    """The task in another phase, or as it is at the timeout or when nobody waits any more."""
    try:
        service.waits.acquire_nowait()
    except trio.WouldBlock:
        raise Overloaded("too many clients wait for tasks", remedy="ask again later") from None
    try:
        with caller.waiting.parked():
            return await _changed(service, caller, task, timeout_s)
    finally:
        service.waits.release()


async def _changed(service: Service, caller: Caller, task: TaskView, timeout_s: float) -> TaskView:
    failure: NodeError | None = None
    async with trio.open_nursery() as nursery:
        for interruption in caller.waiting.interruptions:
            nursery.start_soon(_cancel_after, interruption, nursery.cancel_scope)
        nursery.cancel_scope.deadline = trio.current_time() + timeout_s
        try:
            task = await service.market.wait(task.task_id, seen=task.phase)
        except NodeError as error:  # kept, for a nursery would wrap it into a group
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
    return task


async def _cancel_after(interruption: Interruption, scope: trio.CancelScope) -> None:
    await interruption()
    scope.cancel()


async def follow_tasks(service: Service, caller: Caller, p: params.EventsParams) -> EventStream:
    """Follow all tasks."""
    return EventStream(service, service.market, caller.waiting, after=p.last_event_id)


async def follow_task(service: Service, caller: Caller, p: params.TaskEventsParams) -> EventStream:
    """Follow one task."""
    market = service.market
    task = market.task(p.task_id)
    return EventStream(service, market, caller.waiting, task.task_id, p.last_event_id)


async def list_tasks(service: Service, _: Caller, p: params.ListParams) -> answers.ListAnswer:
    """List tasks, newest first."""
    page = service.market.tasks(
        status=p.status,
        challenge_type=p.challenge_type,
        limit=p.limit,
        offset=p.offset,
        cursor=p.cursor,
    )
    return answers.list_answer(page)


async def cancel_task(service: Service, caller: Caller, p: params.TaskParams) -> answers.TaskAnswer:
    """Cancel a task of the caller's."""
    market, account = service.market, caller.owner()
    return answers.task_answer(await market.cancel(p.task_id, account))


async def appeal_result(
    service: Service, caller: Caller, p: params.AppealParams
) -> answers.TaskAnswer:
    """Dispute a result with the caller's money."""
    market, account = service.market, caller.owner()
    result = market.task(p.task_id).result
    if caller.key is None or result is None or result.appeal_fee is None:
        return answers.task_answer(await market.appeal(p.task_id, account, p.reason))
    once = f"appeal:{p.task_id}"
    async with service.accounts.limits.spending(caller.key, result.appeal_fee, once):
        return answers.task_answer(await market.appeal(p.task_id, account, p.reason))


async def show_receipt(service: Service, _: Caller, p: params.TaskParams) -> msgspec.Raw:
    """Show the receipt of an anchored task."""
    return msgspec.Raw(service.market.receipt(p.task_id))


async def find_artifact(service: Service, _: Caller, p: params.ArtifactParams) -> Path:
    """Find the file of an artifact."""
    return service.market.artifact(p.sha256)


async def show_account(
    service: Service, caller: Caller, p: params.AccountParams
) -> answers.AccountAnswer:
    """Show an account, by default the caller's."""
    market = service.market
    address = caller.owner() if p.address is None else _checked(p.address)
    fee = None if service.till is None else service.till.fee(address)
    return answers.account_answer(market.account(address), fee)


async def show_statement(
    service: Service, caller: Caller, p: params.StatementParams
) -> answers.StatementAnswer:
    """Show what moved the caller's money."""
    market, account = service.market, caller.owner()
    return answers.statement_answer(market.statement(account, start=p.start, limit=p.limit))


async def show_payout(service: Service, _: Caller, p: params.PayoutParams) -> answers.PayoutAnswer:
    """Show the entries that a payout pays."""
    return answers.payout_answer(service.market.payout(p.root, p.address))


def _checked(address: str) -> str:
    from node.api.addresses import checked_address  # a curve, which the command line does not need

    return checked_address(address)


async def withdraw_money(
    service: Service, caller: Caller, p: params.WithdrawParams
) -> answers.WithdrawalAnswer:
    """Pay the caller's money out to the caller's address."""
    account, till = caller.owner(), service.withdrawals
    amount = parse_cpc(p.amount)
    if amount == 0:
        raise InvalidInput("must be above zero", field="amount", remedy="say how much")
    if caller.key is not None:
        service.accounts.limits.refuse_limited(caller.key)
    return answers.withdrawal_answer(await till.withdraw(account, amount, p.idempotency_key))


async def set_pay_terms(
    service: Service, caller: Caller, p: params.PayTermsParams
) -> answers.PayTermsAnswer:
    """Set when the caller is paid for work, or pay at once."""
    account, desk = caller.owner(), service.payees
    if caller.key is not None:
        service.accounts.limits.refuse_limited(caller.key)
    if p.threshold is not None:
        await desk.set_threshold(account, parse_cpc(p.threshold, field="threshold"))
    if p.now:
        await desk.pay_now(account)
    return answers.pay_terms_answer(desk.view(account))


async def bond_money(service: Service, caller: Caller, p: params.BondParams) -> answers.BondAnswer:
    """Stake the caller's money."""
    account, amount = _staker(service, caller, p)
    return answers.bond_answer(await service.staking.bond(account, amount, p.idempotency_key))


async def unbond_money(
    service: Service, caller: Caller, p: params.BondParams
) -> answers.BondAnswer:
    """Take back what the caller stakes."""
    account, amount = _staker(service, caller, p)
    return answers.bond_answer(await service.staking.unbond(account, amount, p.idempotency_key))


def _staker(service: Service, caller: Caller, p: params.BondParams) -> tuple[str, Amount]:
    account, amount = caller.owner(), parse_cpc(p.amount)
    if amount == 0:
        raise InvalidInput("must be above zero", field="amount", remedy="say how much")
    if caller.key is not None:
        service.accounts.limits.refuse_limited(caller.key)
    return account, amount


async def show_bond(service: Service, _: Caller, p: params.ShowBondParams) -> answers.BondAnswer:
    """Show what anybody stakes."""
    staking = service.staking
    return answers.bond_answer(staking.show(_checked(p.address)))


async def make_challenge(
    service: Service, _: Caller, p: params.ChallengeParams
) -> answers.ChallengeAnswer:
    """Give an account's owner something to sign."""
    return service.accounts.challenge(p.address)


async def make_key(service: Service, _: Caller, p: params.CreateKeyParams) -> answers.KeyAnswer:
    """Make an API key for whoever signed the challenge."""
    return await service.accounts.create_key(p)


async def show_status(service: Service, _: Caller, __: Params) -> NodeStatus:
    """Describe the node."""
    return service.node.status()


async def show_metrics(service: Service, _: Caller, __: Params) -> answers.MetricsText:
    """The numbers of the node and of its API."""
    held = {"events": MAX_STREAMS - service.streams.value, "wait": MAX_WAITS - service.waits.value}
    following = by_label("tmnode_requests_held", "gauge", _HELD, "command", held)
    families = (*service.node.metrics(), *service.requests.families(), following)
    return answers.MetricsText(render(families))


async def list_peers(service: Service, _: Caller, __: Params) -> answers.PeersAnswer:
    """List the nodes this one knows."""
    return answers.PeersAnswer(service.node.peers())


async def list_workers(service: Service, _: Caller, __: Params) -> answers.WorkersAnswer:
    """List the workers this one knows."""
    found = service.node.peers()
    return answers.WorkersAnswer(tuple(peer for peer in found if "worker" in peer.roles))


async def check_health(service: Service, _: Caller, __: Params) -> answers.HealthAnswer:
    """Answer, whatever the state."""
    return answers.health_answer(service.node.status())


async def check_readiness(service: Service, _: Caller, __: Params) -> answers.HealthAnswer:
    """Answer if the node can do its work; Unavailable if not."""
    status = service.node.status()
    if status.obstacles:
        raise Unavailable("; ".join(status.obstacles), remedy="see `tmnode status`")
    return answers.health_answer(status)
