import io
import json
import logging
import sys
import warnings
from collections.abc import Callable, Iterator

import pytest
import trio

from node.logs import LIBRARIES, JsonLines, about, configure_logging

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


def test_credentials_in_an_address_are_hidden(lines) -> None:
    try:
        raise OSError("GET http://user:pa55@l1.test:1/x")
    except OSError:
        log.exception("asked https://user:pa55@l1.test and http://l1.test/a@b")
    (line,) = lines()
    assert line["message"] == "asked https://<sensitive>@l1.test and http://l1.test/a@b"
    assert "pa55" not in line["error"]


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[dict[str, str]]]]:
    """A node's logging, set up as a node does; parses what it printed on standard error."""
    root, hook, last = logging.getLogger(), sys.unraisablehook, logging.lastResort
    levels = {name: logging.getLogger(name).level for name in ("", *LIBRARIES)}
    handlers = root.handlers[:]
    root.handlers.clear()
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    configure_logging("info", "12D3node", "market+worker")
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    sys.unraisablehook, logging.lastResort = hook, last
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def test_every_line_names_the_node_and_its_roles(printed) -> None:
    log.info("here")
    (line,) = printed()
    assert (line["node"], line["roles"]) == ("12D3node", "market+worker")


def test_a_library_that_keeps_to_itself_is_heard_as_json(printed) -> None:
    """As libp2p does on import: its loggers hand nothing on and have no handler."""
    aside = logging.getLogger("aside")
    aside.propagate = False
    aside.setLevel(logging.DEBUG)
    aside.info("not news")
    aside.warning("a stranger sent tm_%s", "x" * 20)
    (line,) = printed()
    assert (line["from"], line["level"], line["node"]) == ("aside", "warning", "12D3node")
    assert line["message"] == "a stranger sent tm_<sensitive>"


class Careless:
    def __del__(self) -> None:
        raise RuntimeError("too late")


@pytest.mark.filterwarnings("default")
def test_what_python_prints_itself_is_json(printed) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn("soon gone", DeprecationWarning, stacklevel=1)
    Careless()
    warned, ignored = printed()
    assert (warned["from"], warned["level"]) == ("py.warnings", "warning")
    assert "soon gone" in warned["message"]
    assert ignored["level"] == "error"
    assert "RuntimeError: too late" in ignored["error"]
