"""Groups of commands whose modules are imported only when the command is used."""

from collections.abc import Mapping
from importlib import import_module
from typing import ClassVar, NamedTuple

import click


class Entry(NamedTuple):
    """A command that is not imported yet."""

    target: str
    """`module:attribute` of the click command."""
    summary: str
    """The line in the group's help."""
    hidden: bool = False


class LazyGroup(click.Group):
    """A group that knows its commands' names and summaries, and imports one when it is called."""

    entries: ClassVar[Mapping[str, Entry]]

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Names that the help shows, in the table's order."""
        return [name for name, entry in self.entries.items() if not entry.hidden]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command; None if there is none of this name."""
        entry = self.entries.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.target.partition(":")
        command = getattr(import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{entry.target} is not a command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands from the table alone."""
        rows = [(name, self.entries[name].summary) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
