"""`tmnode task`: a customer's commands, over a market's HTTP API."""

from typing import ClassVar

import click

from node.cli.lazy import Entry, LazyGroup


class TaskGroup(LazyGroup):
    """The table of the group."""

    entries: ClassVar = {
        "submit": Entry("node.cli.buying:submit", "Buy a piece of work."),
        "quote": Entry("node.cli.buying:quote", "Ask what a piece of work costs."),
        "show": Entry("node.cli.tasks:show", "Show a task and its result."),
        "list": Entry("node.cli.tasks:list_tasks", "List tasks, newest first."),
        "wait": Entry("node.cli.tasks:wait", "Wait for a task's result."),
        "fetch": Entry("node.cli.fetching:fetch", "Save a task's outputs and proofs."),
        "cancel": Entry("node.cli.tasks:cancel", "Cancel a task that is not finished."),
        "appeal": Entry("node.cli.tasks:appeal", "Dispute a task's result."),
        "receipt": Entry("node.cli.tasks:receipt", "Get the receipt of an anchored task."),
    }


@click.group(cls=TaskGroup)
def task() -> None:
    """Buy work at a market, and follow it.

    The market is a node with that role: --api or TMNODE_API says where it answers
    (http://127.0.0.1:8080), TMNODE_API_KEY whose money is spent. A devnet needs no key.
    """
