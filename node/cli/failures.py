"""How a command ends badly: one line on stderr, with the remedy, and an exit code.

With `--json` the same is one object on stdout too. Only what we know how to name is caught; any
other exception is a fault of ours and shows its traceback.
"""

import errno
import os
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import click

FAILED = 1
WRONG_USAGE = 2
INTERRUPTED = 130


class Failure(NamedTuple):
    """An error as it is shown."""

    code: str
    message: str
    field: str | None = None
    remedy: str | None = None

    @property
    def line(self) -> str:
        """The text after `error: `, without line breaks."""
        place = f"{self.field}: " if self.field else ""
        advice = f" ({self.remedy})" if self.remedy else ""
        return " ".join(f"{place}{self.message}{advice}".split())


def report(failure: Failure, *, as_json: bool) -> None:
    """Print a failure."""
    click.echo(f"error: {failure.line}", err=True)
    if as_json:
        from node.cli.output import print_json

        print_json({"error": failure._asdict()})


def of_usage(error: click.ClickException) -> Failure:
    """A wrong command line, with where to read on."""
    context = getattr(error, "ctx", None)
    remedy = f"see `{context.command_path} --help`" if context else None
    return Failure("usage", error.format_message().rstrip("."), remedy=remedy)


def of_exception(error: BaseException) -> Failure | None:
    """An error that a command may end with; None if it is not one we know."""
    failures = [_known(leaf) for leaf in _leaves(error)]
    return failures[0] if failures and None not in failures else None


def silence_stdout() -> None:
    """Let the interpreter end quietly when nobody reads what we print any more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def is_broken_pipe(error: OSError) -> bool:
    """Whether the reader of our output has gone."""
    return error.errno == errno.EPIPE


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _known(error: BaseException) -> Failure | None:
    from node.errors import NodeError
    from node.l1.errors import L1Error
    from p2p.errors import P2PError
    from storage.errors import StorageError

    if isinstance(error, NodeError):
        return Failure(error.code, error.message, error.field, error.remedy)
    if isinstance(error, L1Error | P2PError | StorageError):
        return Failure("unavailable", str(error))
    if isinstance(error, OSError):
        return Failure("system", error.strerror or str(error), _place(error))
    return None


def _place(error: OSError) -> str | None:
    name: Any = error.filename
    return os.fsdecode(name) if isinstance(name, str | bytes | os.PathLike) else None
