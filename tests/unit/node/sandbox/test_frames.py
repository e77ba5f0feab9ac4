import contextlib
import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu.workloads.base import JobContext, OutputFile, RunReport
from node.sandbox import frames

JOB = JobContext("chain", "task", "cpc1worker", 65536)
REPORT = RunReport(
    outputs=(OutputFile("matrix", "matrix.bin", 256, bytes(32)),),
    trace=(bytes(32), bytes(range(32))),
    digest=bytes(32),
    work_units=4096,
    seconds=0.25,
)
ANSWERS = (
    frames.Ready(("landlock",), {"seccomp": "Function not implemented"}),
    frames.Progress(0.5),
    frames.Done(REPORT),
    frames.Failed("error", "ValueError: no"),
    frames.Stopped(),
)
REQUESTS = (frames.Run("synthetic", JOB, b"\x01\x02", "/scratch/1"), frames.Cancel())


def cut(data: bytes, size: int) -> list[bytes]:
    reader, bodies = frames.FrameReader(), []
    for start in range(0, len(data), size):
        reader.feed(data[start : start + size])
        while (body := reader.take()) is not None:
            bodies.append(body)
    return bodies


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_messages_survive_any_cutting_of_the_stream(size):
    stream = b"".join(map(frames.encode, ANSWERS))
    assert tuple(map(frames.decode_answer, cut(stream, size))) == ANSWERS
    stream = b"".join(map(frames.encode, REQUESTS))
    assert tuple(map(frames.decode_request, cut(stream, size))) == REQUESTS


def test_the_bytes_of_a_frame():
    assert frames.encode(frames.Cancel()) == b"\0\0\0\x0d\x81\xa4type\xa6cancel"


def test_too_long_a_frame_is_refused_by_its_length_alone():
    reader = frames.FrameReader()
    reader.feed((frames.MAX_FRAME_BYTES + 1).to_bytes(4, "big"))
    with pytest.raises(frames.MalformedFrame, match="16777217 bytes"):
        reader.take()


def test_too_long_a_message_is_not_sent():
    with pytest.raises(frames.MalformedFrame):
        frames.encode(frames.Run("k", JOB, bytes(frames.MAX_FRAME_BYTES), ""))


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_a_message_or_malformed(data):
    for decode in (frames.decode_answer, frames.decode_request):
        with contextlib.suppress(frames.MalformedFrame):
            decode(data)


@pytest.mark.parametrize("data", [b"", b"\x91" * 100_000, b"\x81\xa4type\xa4\xff\xff\xff\xff"])
def test_hostile_msgpack_is_malformed(data):
    with pytest.raises(frames.MalformedFrame):
        frames.decode_answer(data)


def test_a_deep_unknown_field_is_malformed():
    body = b"\x82\xa4type\xa7stopped\xa1x" + b"\x91" * 100_000 + b"\xc0"
    with pytest.raises(frames.MalformedFrame):
        frames.decode_answer(body)


def test_requests_and_answers_are_not_confused():
    with pytest.raises(frames.MalformedFrame):
        frames.decode_answer(frames.encode(frames.Cancel())[4:])


@pytest.mark.parametrize("done", [math.nan, math.inf, -0.1, 1.1])
def test_progress_is_a_part_of_one(done):
    with pytest.raises(frames.MalformedFrame):
        frames.decode_answer(frames.encode(frames.Progress(done))[4:])


@pytest.mark.parametrize(
    "change",
    [
        {"seconds": math.nan},
        {"seconds": -1.0},
        {"work_units": -1},
        {"proof": OutputFile("proof", "proof", -1, bytes(32))},
        {"proof": OutputFile("proof", "proof", 9, bytes(31))},
        {"trace": (bytes(31),)},
        {"digest": b""},
        {"outputs": (OutputFile("matrix", "matrix.bin", 256, bytes(33)),)},
        {"outputs": (OutputFile("matrix", "matrix.bin", -1, bytes(32)),)},
    ],
    ids=str,
)
def test_a_report_with_impossible_values_is_malformed(change):
    report = msgspec.structs.replace(REPORT, **change)
    with pytest.raises(frames.MalformedFrame):
        frames.decode_answer(frames.encode(frames.Done(report))[4:])
