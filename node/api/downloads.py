"""Artifacts as HTTP: whole, or one range of bytes (RFC 9110, section 14).

An artifact never changes, so its digest is a strong ETag and it may be cached for ever. A range
that is not understood, or several at once, are answered with the whole, as the RFC allows.
"""

import os
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import trio

from node.api.body import Headers, Receive, header
from node.api.errors import RangeUnsatisfiable
from node.errors import NotFound

READ_BYTES = 1 << 18
MAX_READERS = 4
_RANGE = re.compile(r"bytes=\s*([0-9]{0,18})-([0-9]{0,18})\s*", re.ASCII)

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_limiter = trio.CapacityLimiter(MAX_READERS)


class ByteRange(NamedTuple):
    """Bytes from `start` up to, not including, `stop`."""

    start: int
    stop: int


def parse_range(text: str | None, size: int) -> ByteRange | None:
    """The range that a `Range` header asks for; None for the whole.

    Raises:
        RangeUnsatisfiable: it lies beyond the end.
    """
    found = _RANGE.fullmatch(text or "")
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        start, stop = max(0, size - int(found[2])), size
    else:
        start, stop = int(found[1]), min(int(found[2] or size) + 1, size)
        if found[2] and int(found[2]) < start:
            return None
    if start >= size:
        raise RangeUnsatisfiable(size)
    return ByteRange(start, stop)


async def send_file(scope: Mapping[str, Any], receive: Receive, send: Send, path: Path) -> None:
    """Answer a GET or HEAD for the file of an artifact, whose name is the artifact's SHA-256.

    Stops reading when the client hangs up.

    Raises:
        NotFound: the file has gone meanwhile.
        RangeUnsatisfiable: no byte of the range exists.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise NotFound(f"the artifact cannot be read: {error.strerror}", field="sha256") from error
    with file:
        size = os.fstat(file.fileno()).st_size
        etag = f'"{path.name}"'
        headers: Headers = scope["headers"]
        if header(headers, b"if-none-match") in (etag, "*"):
            await _start(send, 304, {"etag": etag})
            await send({"type": "http.response.body", "body": b""})
            return
        wanted = None
        if header(headers, b"if-range") in (None, etag):
            wanted = parse_range(header(headers, b"range"), size)
        await _start(send, 200 if wanted is None else 206, _describe(wanted, size, etag))
        part = ByteRange(0, size) if wanted is None else wanted
        if scope["method"] == "HEAD" or part.start == part.stop:
            await send({"type": "http.response.body", "body": b""})
        else:
            await _send_while_wanted(receive, send, file, part)


def _describe(wanted: ByteRange | None, size: int, etag: str) -> dict[str, str]:
    start, stop = wanted or (0, size)
    headers = {
        "content-type": "application/octet-stream",
        "content-length": str(stop - start),
        "accept-ranges": "bytes",
        "etag": etag,
        "cache-control": "public, max-age=31536000, immutable",
        "x-content-type-options": "nosniff",
    }
    if wanted is not None:
        headers["content-range"] = f"bytes {start}-{stop - 1}/{size}"
    return headers


async def _start(send: Send, status: int, headers: Mapping[str, str]) -> None:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})


async def _send_while_wanted(receive: Receive, send: Send, file: BinaryIO, part: ByteRange) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_cancel_when_gone, receive, nursery.cancel_scope)
        await _send_bytes(send, file, part)
        nursery.cancel_scope.cancel()


async def _cancel_when_gone(receive: Receive, scope: trio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def _send_bytes(send: Send, file: BinaryIO, part: ByteRange) -> None:
    file.seek(part.start)
    left = part.stop - part.start
    while left:
        data = await trio.to_thread.run_sync(file.read, min(READ_BYTES, left), limiter=_limiter)
        if not data:
            raise OSError("the file is shorter than it was")
        left -= len(data)
        await send({"type": "http.response.body", "body": data, "more_body": left > 0})
