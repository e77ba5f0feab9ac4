"""`tmnode status` and `peers`: a running node, over its HTTP API."""

from collections.abc import Mapping

import click

from node.cli.options import api_option, json_option
from node.cli.output import pairs, print_answer, table
from node.client import Client
from node.market.views import NodeStatus

_ESCROWS = "escrows_"


@click.command()
@api_option
@json_option
def status(api: str | None, as_json: bool) -> None:
    """Show what a running node is doing."""
    with Client(api) as client:
        answer = client.status()
    print_answer(answer, _status_text(answer), as_json=as_json)


@click.command()
@api_option
@json_option
def peers(api: str | None, as_json: bool) -> None:
    """List the nodes that a running node knows."""
    with Client(api) as client:
        answer = client.peers()
    head = ("peer", "address", "roles", "connected", "kinds")
    rows = ((p.peer_id, p.address, p.roles, p.connected, p.kinds) for p in answer.peers)
    print_answer(answer, table(head, rows), as_json=as_json)


def _status_text(status: NodeStatus) -> str:
    about: dict[str, object] = {
        "version": status.version,
        "chain": status.chain_id,
        "peer id": status.peer_id,
        "address": status.address,
        "roles": list(status.roles),
        "uptime": f"{status.uptime_s:.0f} s",
        "peers": status.peers,
        "ready": not status.obstacles,
        "l1 height": "no answer yet" if status.l1_height is None else status.l1_height,
        **_counted(status.counts),
    }
    lines = [f"not ready: {what}" for what in status.obstacles]
    lines += [f"waiting: {what}" for what in status.waiting if what not in status.obstacles]
    lines += [
        f"overdue for {one.overdue_s:.0f} s: {one.what} {one.about}: {one.reason} ({one.remedy})"
        for one in status.overdue
    ]
    return "\n".join((pairs(about), *lines))


def _counted(counts: Mapping[str, int]) -> dict[str, object]:
    """A line for each count; one for all escrows, which have many stages."""
    stages = {name: n for name, n in counts.items() if name.startswith(_ESCROWS)}
    lines: dict[str, object] = {
        name.replace("_", " "): number for name, number in counts.items() if name not in stages
    }
    if stages:
        found = (f"{n} {name.removeprefix(_ESCROWS)}" for name, n in stages.items() if n)
        lines["escrows"] = ", ".join(found) or "none is open"
    return dict(sorted(lines.items()))
