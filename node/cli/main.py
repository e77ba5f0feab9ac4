"""The root of the command line and its table of commands."""

import sys
from typing import Any, NoReturn

import click

from node.cli import failures
from node.cli.lazy import Entry, LazyGroup
from node.cli.session import Session

SUMMARIES = {
    "run": Entry("node.cli.run:run", "Run a node with its roles."),
    "devnet": Entry("node.cli.devnet:devnet", "Run a whole network on this machine."),
    "demo": Entry("node.cli.devnet:demo", "Run a network and buy one task.", hidden=True),
    "devchain": Entry("node.cli.devchain:devchain", "Run an L1 for development."),
    "task": Entry("node.cli.task:task", "Buy work: submit, show, list, wait, cancel, quote."),
    "receipt": Entry("node.cli.receipt:receipt", "Check a task's receipt down to the block."),
    "keys": Entry("node.cli.keys:keys", "Make, show, export, restore and rotate a node's keys."),
    "backup": Entry("node.cli.backup:backup", "Copy a node's database, also while it runs."),
    "config": Entry("node.cli.config:config", "Check and show configuration files."),
    "status": Entry("node.cli.door:status", "Show what a running node is doing."),
    "peers": Entry("node.cli.door:peers", "List the nodes that a running node knows."),
    "wallet": Entry("node.cli.wallet:wallet", "Your money at a market: show, statement, withdraw."),
    "doctor": Entry("node.cli.doctor:doctor", "Test the devices of this machine."),
    "bench": Entry("node.cli.bench:bench", "Measure tasks and the API on this machine."),
    "version": Entry("node.cli.version:version", "Show the version."),
}


class Root(LazyGroup):
    """The group that turns errors into lines and exit codes."""

    entries = SUMMARIES

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Run a command and leave the process with its exit code."""
        session = Session()
        kwargs |= {"standalone_mode": False, "obj": session}
        sys.exit(_guarded(lambda: super(Root, self).main(*args, **kwargs), session))


def _guarded(command: Any, session: Session) -> int:
    try:
        code = command()
        sys.stdout.flush()
    except click.Abort:
        return failures.INTERRUPTED
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        failures.report(failures.of_usage(error), as_json=session.as_json)
        return error.exit_code
    except Exception as error:
        # The outermost guard: what has no name of ours goes on as a traceback.
        return _ended_by(error, session)
    return code if isinstance(code, int) else 0


def _ended_by(error: Exception, session: Session) -> int:
    if isinstance(error, BrokenPipeError):
        failures.silence_stdout()
        return failures.FAILED
    failure = failures.of_exception(error)
    if failure is None:
        raise error
    failures.report(failure, as_json=session.as_json)
    return failures.FAILED


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"]})
def tmnode() -> None:
    """A node of a market of GPU tasks.

    Two commands to begin with: `tmnode devnet` runs a whole network here, and `tmnode task submit
    synthetic seed=hello matrix_size=256 iterations=16` buys a task on it.
    """


def main() -> NoReturn:
    """The entry point of the program."""
    tmnode.main(prog_name="tmnode")
