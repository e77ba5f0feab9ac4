"""The messages between a node and its compute child, and how they are cut out of a byte stream.

A frame is a 32-bit big-endian length and that many bytes of msgpack. The length is bounded before
anything is kept, and whatever is not exactly one of the messages is a `MalformedFrame`: what a
child sends is treated as bytes from a stranger.
"""

import math
from typing import Final, Literal, TypeVar

import msgspec

from gpu.workloads.base import JobContext, RunReport

MAX_FRAME_BYTES: Final = 16 << 20
_LENGTH_BYTES = 4

M = TypeVar("M")


class Run(msgspec.Struct, frozen=True, tag="run"):
    """Node to child: execute a job in the folder `scratch`, a path."""

    kind: str
    job: JobContext
    parameters: bytes
    scratch: str


class Cancel(msgspec.Struct, frozen=True, tag="cancel"):
    """Node to child: stop the job that is running, if any; answered by `Stopped`."""


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """Child to node, once: confined and warm; the layers that hold and why the others do not."""

    active: tuple[str, ...]
    missing: dict[str, str]


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    """Child to node: the part of the running job that is done, from 0 to 1."""

    done: float


class Done(msgspec.Struct, frozen=True, tag="done"):
    """Child to node: the job ended well."""

    report: RunReport


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """Child to node: the workload raised."""

    cause: Literal["error", "memory"]
    reason: str


class Stopped(msgspec.Struct, frozen=True, tag="stopped"):
    """Child to node: the job was given up because of `Cancel`."""


Request = Run | Cancel
Answer = Ready | Progress | Done | Failed | Stopped

_requests: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(Request)
_answers: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)


class MalformedFrame(Exception):
    """The bytes are not a frame of this protocol."""


class FrameReader:
    """Cuts a stream into the bodies of its frames; holds at most one frame and what was fed."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Add received bytes."""
        self._buffer += data

    def take(self) -> bytes | None:
        """The next whole body, or None when more bytes are needed; raises MalformedFrame."""
        if len(self._buffer) < _LENGTH_BYTES:
            return None
        length = int.from_bytes(self._buffer[:_LENGTH_BYTES], "big")
        if length > MAX_FRAME_BYTES:
            raise MalformedFrame(f"a frame of {length} bytes, more than {MAX_FRAME_BYTES}")
        end = _LENGTH_BYTES + length
        if len(self._buffer) < end:
            return None
        body = bytes(self._buffer[_LENGTH_BYTES:end])
        del self._buffer[:end]
        return body


def encode(message: Request | Answer) -> bytes:
    """The whole frame of a message; raises MalformedFrame when it is too long to be read."""
    body = msgspec.msgpack.encode(message)
    if len(body) > MAX_FRAME_BYTES:
        raise MalformedFrame(f"a message of {len(body)} bytes, more than {MAX_FRAME_BYTES}")
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


def decode_request(body: bytes) -> Request:
    """A message of the node; raises MalformedFrame."""
    return _decode(_requests, body)


def decode_answer(body: bytes) -> Answer:
    """A message of the child, its numbers in range; raises MalformedFrame."""
    answer = _decode(_answers, body)
    if isinstance(answer, Progress) and not 0 <= answer.done <= 1:
        raise MalformedFrame(f"progress of {answer.done}")
    if isinstance(answer, Done):
        _check_numbers(answer.report)
    return answer


def _decode(decoder: msgspec.msgpack.Decoder[M], body: bytes) -> M:
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise MalformedFrame(f"a frame that is no message: {error}") from error


def _check_numbers(report: RunReport) -> None:
    if not (math.isfinite(report.seconds) and report.seconds >= 0 and report.work_units >= 0):
        raise MalformedFrame(f"{report.work_units} work units in {report.seconds} s")
    files = report.files
    digests = (report.digest, *report.trace, *(file.sha256 for file in files))
    if any(len(digest) != 32 for digest in digests):
        raise MalformedFrame("a digest that is not 32 bytes long")
    if any(file.size < 0 for file in files):
        raise MalformedFrame("a file of negative size")
