"""Exit codes, and the one line on stderr."""

import errno
import json

import pytest
import trio

from node.cli import failures
from node.errors import ConfigError, NodeError, NotFound
from node.l1.errors import L1Unavailable
from p2p.errors import AddressInUse


@pytest.mark.parametrize("arguments", [[], ["task"], ["keys"]])
def test_a_group_without_a_command_shows_its_help(terminal, arguments) -> None:
    result = terminal.run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("Usage: tmnode")
    assert "\nCommands:\n" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nonsense"], "error: No such command 'nonsense'"),
        (["task", "show"], "error: Missing argument 'TASK_ID' (see `tmnode task show --help`)"),
        (["status", "--nonsense"], "error: No such option"),
        (["task", "list", "--limit", "0"], "error: Invalid value for '--limit'"),
        (["run", "--role", "miner"], "error: Invalid value for '--role'"),
        (["keys", "make", "--data-dir", ""], "error: Invalid value for '--data-dir': is empty"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(terminal, arguments, line) -> None:
    result = terminal.run(*arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith(line)
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_an_error_is_one_line_with_its_remedy_and_exit_code_1(terminal, tmp_path) -> None:
    file = tmp_path / "node.toml"
    file.write_text("[worker]\nslots = 0\n")
    result = terminal.run("config", "check", str(file))
    assert result.exit_code == 1
    assert result.stderr == (
        f"error: {file}: worker.slots: 0 is not allowed here (use a whole number from 1 to 256)\n"
    )
    assert result.stdout == ""


def test_with_json_an_error_is_an_object_too(terminal, tmp_path) -> None:
    result = terminal.run("config", "check", str(tmp_path / "none.toml"), "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["error"] == {
        "code": "config",
        "message": "cannot be read: No such file or directory",
        "field": str(tmp_path / "none.toml"),
        "remedy": "check the path and its permissions",
    }


def test_with_json_wrong_usage_is_an_object_too(terminal) -> None:
    result = terminal.run("task", "show", "--json")
    assert result.exit_code == 2
    assert json.loads(result.stdout)["error"]["code"] == "usage"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (NotFound("no such task", field="task_id"), "task_id: no such task"),
        (ConfigError("two\n lines", remedy="go on"), "two lines (go on)"),
        (AddressInUse("/ip4/127.0.0.1/tcp/1"), "cannot listen on /ip4/127.0.0.1/tcp/1: the addr"),
        (L1Unavailable("connection refused"), "the L1 is unavailable: connection refused"),
        (OSError(errno.ENOSPC, "No space left on device", "/x"), "/x: No space left on device"),
        (
            ExceptionGroup("nursery", [ExceptionGroup("inner", [NodeError("failed")])]),
            "failed",
        ),
    ],
)
def test_errors_that_are_known(error: Exception, line: str) -> None:
    failure = failures.of_exception(error)
    assert failure is not None
    assert failure.line.startswith(line)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a bug"),
        ExceptionGroup("nursery", [NodeError("failed"), ValueError("a bug")]),
        trio.TooSlowError(),
    ],
)
def test_a_bug_keeps_its_traceback(error: Exception) -> None:
    assert failures.of_exception(error) is None
