"""`tmnode version`."""

import platform

import click

from node import __version__
from node.cli.options import json_option
from node.cli.output import pairs, print_answer


@click.command()
@json_option
def version(as_json: bool) -> None:
    """Show the version."""
    answer = {"tmnode": __version__, "python": platform.python_version()}
    print_answer(answer, pairs(answer), as_json=as_json)
