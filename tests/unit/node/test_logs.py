import io
import json
import logging

import pytest
import trio

from node.logs import JsonLines, about

log = logging.getLogger("node.test")


@pytest.fixture
def lines():
    """Parses what was logged so far."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines("market"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    log.removeHandler(handler)


def test_a_line_says_when_where_and_what(lines) -> None:
    log.info("%d peers", 3)
    (line,) = lines()
    assert line.pop("time").endswith("Z")
    assert line == {"level": "info", "node": "market", "from": "node.test", "message": "3 peers"}


def test_a_line_says_what_it_is_about(lines) -> None:
    with about(request="r", task="t"):
        log.info("one", extra={"peer": "12D3"})
        with about(task="u"):
            log.info("two", extra={"other": "left out"})
        log.info("three", extra={"task": "v"})
    log.info("four")
    subjects = [{name: line.get(name) for name in ("request", "task", "peer")} for line in lines()]
    assert subjects == [
        {"request": "r", "task": "t", "peer": "12D3"},
        {"request": "r", "task": "u", "peer": None},
        {"request": "r", "task": "v", "peer": None},
        {"request": None, "task": None, "peer": None},
    ]
    assert "other" not in lines()[1]


async def test_tasks_started_in_a_block_are_about_the_same_and_others_are_not(lines) -> None:
    inside = trio.Event()

    async def say(message: str) -> None:
        await inside.wait()
        log.info(message)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(say, "outside")
        with about(request="r"):
            nursery.start_soon(say, "inside")
        inside.set()
    assert {line["message"]: line.get("request") for line in lines()} == {
        "outside": None,
        "inside": "r",
    }


def test_an_error_is_one_line_and_an_api_key_is_hidden(lines) -> None:
    token = "tm_" + "aB3_-" * 9
    try:
        raise ValueError(f"what is {token}?")
    except ValueError:
        log.exception("failed with %s", token)
    (line,) = lines()
    assert line["message"] == "failed with tm_<sensitive>"
    assert "ValueError: what is tm_<sensitive>?" in line["error"]
    log.info("tm_submitTask is a method")
    assert lines()[1]["message"] == "tm_submitTask is a method"
