"""A running node's control socket: commands from whoever may open its data directory.

`control` in the data directory is a Unix socket that only its owner can reach, so that file
permissions are the key. A connection carries one line of JSON and one line as the answer.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import TypeVar

import msgspec
import trio

from node.amounts import format_cpc, parse_cpc
from node.control_messages import (
    BackupRequest,
    ControlAnswer,
    Controls,
    CreditGiver,
    CreditLike,
    CreditRequest,
    CreditShown,
    EntryLike,
    FeeGiver,
    FeesRequest,
    Request,
    UnclaimedGiver,
    UnclaimedRequest,
    UnclaimedShown,
)
from node.errors import HeldByChain, InvalidInput, NodeError, Unavailable
from storage.backup import BackupReport
from storage.errors import StorageError

T = TypeVar("T")

NAME = "control"
MAX_LINE_BYTES = 8192
MAX_ANSWER_BYTES = 1 << 26
MAX_ENTRIES = 1000
NO_MARKET = "this node has no market role"
REQUEST_S = 10.0
"""For a request to be complete."""


UNCLAIMED, FEES = (
    "each deposit is its customer's, and what is sent to the market's account is the operator's",
    "its account pays the chain's fees itself; send it CPC with a TRANSFER",
)
"""How it is where the chain holds the money."""


class ControlFailed(NodeError):
    """The running node could not do what it was asked."""

    code = "control_failed"


@contextmanager
def _address(data_dir: Path) -> Iterator[str]:
    """The socket's path by way of the open directory: a Unix socket's own may have 107 bytes."""
    folder = os.open(data_dir, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{NAME}"
    finally:
        os.close(folder)


async def serve_control(
    data_dir: Path,
    controls: Controls,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer until cancelled; the database's lock makes sure that the directory is ours alone."""
    (data_dir / NAME).unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    with _address(data_dir) as address:
        listening.bind(address)
    (data_dir / NAME).chmod(0o600)
    listening.listen(4)
    listener = trio.SocketListener(trio.socket.from_stdlib_socket(listening))

    async def answer(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError, trio.TooSlowError):
            await _answer(stream, controls)

    task_status.started()
    try:
        await trio.serve_listeners(answer, [listener])
    finally:
        (data_dir / NAME).unlink(missing_ok=True)


async def _answer(stream: trio.SocketStream, controls: Controls) -> None:
    async with stream:
        with trio.fail_after(REQUEST_S):
            line = await _line(stream)
        try:
            answer = await _carried_out(msgspec.json.decode(line, type=Request), controls)
        except (msgspec.DecodeError, NodeError, StorageError) as error:
            code = error.code if isinstance(error, NodeError) else ""
            answer = ControlAnswer(error=str(error), code=code)
        await stream.send_all(msgspec.json.encode(answer) + b"\n")


async def _carried_out(request: Request, controls: Controls) -> ControlAnswer:
    if isinstance(request, CreditRequest):
        return ControlAnswer(credit=await _credit(request, _of_market(controls.credit)))
    if isinstance(request, UnclaimedRequest):
        nobodys = _there(controls.unclaimed, controls, UNCLAIMED)
        return ControlAnswer(unclaimed=await _unclaimed(request, nobodys))
    if isinstance(request, FeesRequest):
        giver = _there(controls.fees, controls, FEES)
        return ControlAnswer(fees_cpc=await _fees(request, giver))
    if not Path(request.to).is_absolute():
        raise InvalidInput("is not an absolute path", field="to")
    return ControlAnswer(await controls.backup(Path(request.to)))


def _there(desk: T | None, controls: Controls, instead: str) -> T:
    if desk is not None:
        return desk
    if controls.held_by_chain:
        raise HeldByChain(f"the chain holds the customers' money, not this market: {instead}")
    return _of_market(desk)


def _of_market(desk: T | None) -> T:
    if desk is None:
        raise Unavailable(NO_MARKET, remedy="ask the market's own node")
    return desk


async def _credit(request: CreditRequest, desk: CreditGiver) -> tuple[CreditShown, ...]:
    if request.address is None:
        return tuple(map(_shown, desk.views()))
    limit = parse_cpc(request.limit_cpc, field="limit")
    view = await desk.set_limit(request.address, limit, write_off=request.write_off)
    return (_shown(view),)


def _shown(view: CreditLike) -> CreditShown:
    limit, owed = format_cpc(view.limit), format_cpc(view.owed)
    return CreditShown(view.address, limit, owed, view.backer)


async def _fees(request: FeesRequest, desk: FeeGiver) -> str:
    return format_cpc(await desk.give(parse_cpc(request.amount_cpc), request.key))


async def _unclaimed(request: UnclaimedRequest, desk: UnclaimedGiver) -> tuple[UnclaimedShown, ...]:
    if request.number is None:
        return tuple(map(_entry_shown, islice(desk.entries(), MAX_ENTRIES)))
    return (_entry_shown(await desk.give(request.number, request.address)),)


def _entry_shown(entry: EntryLike) -> UnclaimedShown:
    amount = format_cpc(entry.amount("unclaimed"))
    return UnclaimedShown(entry.sequence, entry.at_ms, entry.cause, amount)


async def _line(stream: trio.SocketStream) -> bytes:
    line = b""
    while not line.endswith(b"\n") and len(line) <= MAX_LINE_BYTES:
        received = await stream.receive_some(MAX_LINE_BYTES)
        if not received:
            break
        line += received
    return line


def ask_backup(data_dir: Path, to: Path) -> BackupReport:
    """Have the running node of a data directory back its database up; blocks until it is done.

    Raises:
        Unavailable: no node runs there.
        ControlFailed: it could not; the message says why.
    """
    answer = _ask(data_dir, BackupRequest(str(to.absolute())))
    return _given(answer.report, answer)


def ask_credit(
    data_dir: Path, address: str | None = None, limit_cpc: str = "0", *, write_off: bool = False
) -> tuple[CreditShown, ...]:
    """Have the running market of a data directory set a customer's credit; without an address all
    credit is shown.

    Raises:
        Unavailable: no node runs there.
        HeldByChain: the market's money is the chain's, and it has none to give.
        ControlFailed: it would not; the message says why.
    """
    answer = _ask(data_dir, CreditRequest(address, limit_cpc, write_off))
    return _given(answer.credit, answer)


def ask_unclaimed(
    data_dir: Path, number: int | None = None, address: str = ""
) -> tuple[UnclaimedShown, ...]:
    """Have the running market of a data directory give unclaimed money to a customer; without a
    number all of it is shown, at most the first thousand entries.

    Raises:
        Unavailable: no node runs there.
        HeldByChain: the market's money is the chain's, and it has none to give.
        ControlFailed: it would not; the message says why.
    """
    answer = _ask(data_dir, UnclaimedRequest(number, address))
    return _given(answer.unclaimed, answer)


def ask_fees(data_dir: Path, amount_cpc: str, key: str) -> str:
    """Have the running market of a data directory take money of its operator's for fees; returns
    what it has for them, in CPC.

    Raises:
        Unavailable: no node runs there.
        HeldByChain: the market's money is the chain's, and it has none to give.
        ControlFailed: it would not; the message says why.
    """
    answer = _ask(data_dir, FeesRequest(amount_cpc, key))
    return _given(answer.fees_cpc, answer)


def _given(found: T | None, answer: ControlAnswer) -> T:
    """What was asked for, or the node's reason why not."""
    if found is None:
        kind: type[NodeError] = HeldByChain if answer.code == HeldByChain.code else ControlFailed
        raise kind(answer.error or "the node ended meanwhile")
    return found


def _ask(data_dir: Path, request: Request) -> ControlAnswer:
    """One request to the running node, and its answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
        try:
            with _address(data_dir) as address:
                stream.connect(address)
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as error:
            raise Unavailable("no node runs there", field=str(data_dir)) from error
        stream.sendall(msgspec.json.encode(request) + b"\n")
        line = stream.makefile("rb").readline(MAX_ANSWER_BYTES)
    return msgspec.json.decode(line or b"{}", type=ControlAnswer)
