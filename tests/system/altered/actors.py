"""Validators, orchestrators and workers that do not keep to the protocol, message by message."""

import os
import signal
from typing import Any

import msgspec
import trio
from attempts import is_first
from wire import Hand, Handler, Node

from node.verification.statements import sign_verdict
from node.wire.checks import RequestCommitment, RequestReveal, RequestVerdict, VerdictAnswer
from node.wire.jobs import Challenge, JobCommitted
from node.wire.leases import ReportResult
from p2p.errors import RequestRefused
from p2p.messages import Message


def _silent(switch: str) -> Any:
    async def keep_silent(node: Node, _plain: Handler, _peer: str, message: Message) -> Message:
        node.switches.note(switch, task_id=_task_of(message))
        await trio.sleep_forever()
        raise AssertionError

    return keep_silent


async def sign_always(node: Node, plain: Handler, peer: str, message: RequestVerdict) -> Message:
    """Sign the finding that `signs` names, whatever was found."""
    answer = await plain(peer, message)
    finding = node.switches.value("signs")
    if not isinstance(answer, VerdictAnswer):
        return answer
    node.switches.note("signs", found=answer.verdict.finding, task_id=answer.verdict.task_id)
    verdict = msgspec.structs.replace(answer.verdict, finding=finding)
    return VerdictAnswer(sign_verdict(verdict, node.chain_id, node.identity))


async def frame(node: Node, plain: Handler, peer: str, message: RequestVerdict) -> Message:
    """Send validators a trace that the worker did not commit to."""
    node.switches.note("frames", task_id=message.draw.task_id)
    wrong = (*reversed(message.trace), bytes(32))
    return await plain(peer, msgspec.structs.replace(message, trace=wrong, steps=b""))


def _stop_before(switch: str) -> Any:
    async def stop_then_send(node: Node, plain: Handler, peer: str, message: Any) -> Message:
        """Be stopped at the worst moment, and go on with what is superseded by then."""
        node.switches.note(switch, task_id=_task_of(message), stopped=True)
        os.kill(os.getpid(), signal.SIGSTOP)
        with trio.CancelScope(shield=True):
            try:
                answer = await plain(peer, message)
            except RequestRefused as refusal:
                node.switches.note(switch, task_id=_task_of(message), refused=str(refusal))
                raise
        node.switches.note(switch, task_id=_task_of(message), refused="")
        return answer

    return stop_then_send


async def die_unheard(node: Node, plain: Handler, peer: str, message: ReportResult) -> Message:
    """Be killed when the market has taken the result, before its answer is there."""
    await plain(peer, message)
    node.switches.note("dies-unheard", task_id=message.task_id)
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


class Thief:
    """A worker that opens at first attempts something else than it committed to, as `opens` says.

    `stolen-trace` and `stolen-output` are those of a job before, which was honest; for `nothing`
    it refuses.
    """

    def __init__(self) -> None:
        self._before: Any = None

    async def open(self, node: Node, plain: Handler, peer: str, message: Challenge) -> Message:
        """The opening, stolen or none."""
        how, before = node.switches.value("opens"), self._before
        if not is_first(message.nonce) or (before is None and how != "nothing"):
            self._before = await plain(peer, message)
            return self._before
        node.switches.note("opens", task_id=_task_of(message))
        if how == "nothing":
            raise RequestRefused("missing", "there is nothing to open")
        answer: Any = await plain(peer, message)
        if how == "stolen-trace":
            return msgspec.structs.replace(answer, trace=before.trace, steps=before.steps)
        return msgspec.structs.replace(answer, outputs=before.outputs)


def _task_of(message: Any) -> str:
    for part in (message, getattr(message, "draw", None), getattr(message, "result", None)):
        if hasattr(part, "task_id"):
            return str(part.task_id)
    raise TypeError(type(message))


ANSWERS = [
    Hand("never-commits", RequestCommitment, _silent("never-commits")),
    Hand("never-reveals", RequestReveal, _silent("never-reveals")),
    Hand("signs", RequestVerdict, sign_always),
    Hand("opens", Challenge, Thief().open),
]
REQUESTS = [
    Hand("frames", RequestVerdict, frame),
    Hand("stops-before-report", ReportResult, _stop_before("stops-before-report")),
    Hand("dies-unheard", ReportResult, die_unheard),
    Hand("stops-before-commit", JobCommitted, _stop_before("stops-before-commit")),
]
