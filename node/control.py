"""A running node's control socket: commands from whoever may open its data directory.

`control` in the data directory is a Unix socket that only its owner can reach, so that file
permissions are the key. A connection carries one line of JSON and one line as the answer.
"""

import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

import msgspec
import trio

from node.errors import InvalidInput, NodeError, Unavailable
from storage.backup import BackupReport
from storage.errors import StorageError

NAME = "control"
MAX_LINE_BYTES = 8192
REQUEST_S = 10.0
"""For a request to be complete."""


class BackupRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Copy the database of the running node to a new directory."""

    command: Literal["backup"]
    to: str
    """An absolute path."""


class ControlAnswer(msgspec.Struct, frozen=True):
    """What came of it: a report, or an error."""

    report: BackupReport | None = None
    error: str = ""


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
    backup: Callable[[Path], Awaitable[BackupReport]],
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
            await _answer(stream, backup)

    task_status.started()
    try:
        await trio.serve_listeners(answer, [listener])
    finally:
        (data_dir / NAME).unlink(missing_ok=True)


async def _answer(
    stream: trio.SocketStream, backup: Callable[[Path], Awaitable[BackupReport]]
) -> None:
    async with stream:
        with trio.fail_after(REQUEST_S):
            line = await _line(stream)
        try:
            request = msgspec.json.decode(line, type=BackupRequest)
            if not Path(request.to).is_absolute():
                raise InvalidInput("is not an absolute path", field="to")
            answer = ControlAnswer(await backup(Path(request.to)))
        except (msgspec.DecodeError, NodeError, StorageError) as error:
            answer = ControlAnswer(error=str(error))
        await stream.send_all(msgspec.json.encode(answer) + b"\n")


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
    request = BackupRequest("backup", str(to.absolute()))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
        try:
            with _address(data_dir) as address:
                stream.connect(address)
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as error:
            raise Unavailable("no node runs there", field=str(data_dir)) from error
        stream.sendall(msgspec.json.encode(request) + b"\n")
        line = stream.makefile("rb").readline(MAX_LINE_BYTES)
    answer = msgspec.json.decode(line or b"{}", type=ControlAnswer)
    if answer.report is None:
        raise ControlFailed(answer.error or "the node ended meanwhile")
    return answer.report
