"""The protections that a test can switch off, to see that without them it fails."""

from typing import Any

from patching import Patcher

from node.market import judging, tasks
from node.market.leases import Leases
from node.roles import admission, gather, outputs
from node.roles.admission import DrawGate
from node.roles.evidence import WorkerSource
from node.roles.lessor import Lessor
from node.roles.mailbox import Mailbox
from node.roles.reports import Reporter
from node.roles.seats import Seats
from node.verification import draws, quorum
from node.verification.claims import StatementInvalid
from node.wire.presence import Ack
from p2p.errors import P2PError
from storage.errors import StorageFailed
from storage.leveldb import LevelDBStore

ANY_SKEW_MS = 10**12


def _nothing(_original: Any, *_arguments: Any, **_named: Any) -> None:
    """Not done."""


async def _not_done(_original: Any, *_arguments: Any, **_named: Any) -> None:
    """The same for what is waited for."""


def _any_lease(_original: Any, task: Any, _epoch: int, _orchestrator: str) -> Any:
    """A report counts, whosever lease the task has, and whatever its epoch."""
    return task.draw


def _any_seat(original: Any, draw: Any, key: bytes) -> Any:
    """Whoever has no seat gets somebody's."""
    try:
        return original(draw, key)
    except StatementInvalid:
        return draw.seats[0]


def _any_attempt(_original: Any, mailbox: Any, _sender: str, message: Any, *_: Any) -> Any:
    """A worker's message goes to whoever waits for something about its task."""
    task_id = getattr(message, "task_id", "") or message.result.task_id
    for key, waiting in mailbox._waiting.items():
        if key[0] == task_id:
            waiting.channel.send_nowait(message)
    return Ack()


async def _all_or_none(original: Any, network: Any, keys: Any, *rest: Any, **named: Any) -> Any:
    """Who is asked must answer, every one of them."""
    asked = list(keys)
    answers = await original(network, asked, *rest, **{**named, "enough": lambda _: False})
    return answers if len(answers) == len(asked) else {}


def _one_decides(finding: str) -> Any:
    def decide(original: Any, verdicts: Any, **named: Any) -> Any:
        """One verdict with the finding is enough."""
        verdicts = list(verdicts)
        said = any(verdict.finding == finding for verdict in verdicts)
        return finding if said else original(verdicts, **named)

    return decide


def _any_time(original: Any, gate: Any, draw: Any) -> None:
    """A draw that is over is acted on."""
    right = admission.SKEW_MS
    admission.SKEW_MS = ANY_SKEW_MS
    try:
        original(gate, draw)
    finally:
        admission.SKEW_MS = right


def _as_if_written(original: Any, *arguments: Any, **named: Any) -> None:
    """A write that failed counts as done."""
    try:
        original(*arguments, **named)
    except StorageFailed:
        return


async def _once(_original: Any, reporter: Any, market: str, report: Any) -> bool:
    """A result that cannot be reported now is given up."""
    try:
        await reporter._network.request(market, report, timeout_s=1.0)
    except P2PError:
        return False
    return True


def switch_protections(patcher: Patcher) -> None:
    """Let the protections be switched off by their names."""
    patcher.method(Lessor, "_release_all", "keeps-lost-leases", _nothing)
    patcher.method(Leases, "expire", "no-deadlines", _nothing)
    patcher.function(tasks.require_lease, "takes-superseded", _any_lease)
    patcher.function(judging._check_own_draw, "takes-superseded", _nothing)
    patcher.function(draws.seat_of, "takes-superseded", _any_seat)
    patcher.method(Mailbox, "_deliver", "takes-superseded", _any_attempt)
    patcher.method(Reporter, "_deliver", "reports-once", _once)
    patcher.method(Seats, "replace", "no-redraw", _not_done)
    patcher.function(gather.gather, "needs-everybody", _all_or_none)
    patcher.function(quorum.decide, "one-invalid-decides", _one_decides("invalid"))
    patcher.function(quorum.decide, "one-valid-decides", _one_decides("valid"))
    patcher.function(outputs.check_inline, "takes-any-output", _nothing)
    patcher.method(WorkerSource, "open", "trusts-orchestrators", _not_done)
    patcher.method(DrawGate, "check", "draws-of-any-time", _any_time)
    patcher.method(LevelDBStore, "write", "ignores-failed-writes", _as_if_written)
