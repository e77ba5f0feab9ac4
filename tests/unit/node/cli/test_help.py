"""Every command, its help, and what all of them have in common."""

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from node.cli.lazy import LazyGroup
from node.cli.main import tmnode

PROGRAMS = {("run",), ("devnet",), ("devchain",), ("demo",)}
"""They run until they are stopped and have no answer to print."""


def commands(
    group: click.Group = tmnode, above: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    names = group.entries if isinstance(group, LazyGroup) else group.commands
    for name in names:
        command = group.get_command(click.Context(group), name)
        assert command is not None
        yield (*above, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*above, name))


ALL = dict(commands())
LEAVES = {path: command for path, command in ALL.items() if not isinstance(command, click.Group)}


def test_the_commands_are_these() -> None:
    assert {" ".join(path) for path in LEAVES} == {
        "run",
        "devnet",
        "demo",
        "devchain",
        "task submit",
        "task quote",
        "task show",
        "task list",
        "task wait",
        "task fetch",
        "task cancel",
        "task appeal",
        "task receipt",
        "receipt verify",
        "keys make",
        "keys show",
        "keys export",
        "keys restore",
        "keys rotate",
        "keys archive",
        "config check",
        "config show",
        "status",
        "peers",
        "wallet show",
        "wallet statement",
        "wallet withdraw",
        "wallet deposit",
        "wallet repay",
        "wallet reclaim",
        "wallet refund",
        "wallet payout",
        "wallet bond",
        "wallet unbond",
        "wallet key",
        "wallet credit",
        "wallet unclaimed",
        "wallet fees",
        "wallet audit",
        "wallet audit-market",
        "bench tasks",
        "bench api",
        "bench devchain",
        "bench challenge",
        "bench kernels",
        "bench network",
        "bench storage",
        "bench proofs",
        "bench settlement",
        "backup",
        "doctor",
        "version",
    }


@pytest.mark.parametrize("path", [(), *ALL], ids=" ".join)
def test_help_runs_and_every_option_is_explained(path: tuple[str, ...]) -> None:
    result = CliRunner().invoke(tmnode, [*path, "--help"], prog_name="tmnode")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: {' '.join(('tmnode', *path))}")
    assert result.stderr == ""


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_every_option_has_a_help(path: tuple[str, ...]) -> None:
    options = [one for one in LEAVES[path].params if isinstance(one, click.Option)]
    assert [one.name for one in options if not one.help] == []


@pytest.mark.parametrize("path", LEAVES.keys() - PROGRAMS, ids=" ".join)
def test_every_command_with_an_answer_prints_json(path: tuple[str, ...]) -> None:
    assert "as_json" in {param.name for param in LEAVES[path].params}


@pytest.mark.parametrize("path", [path for path in ALL if len(path) == 1], ids=" ".join)
def test_the_summary_in_the_table_is_short(path: tuple[str, ...]) -> None:
    summary = tmnode.entries[path[0]].summary
    assert summary.endswith(".")
    assert len(summary) <= 60


def test_hidden_commands_are_not_listed() -> None:
    result = CliRunner().invoke(tmnode, ["--help"], prog_name="tmnode")
    assert "demo" not in result.stdout
