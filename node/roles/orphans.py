"""Watching for orchestrators that are gone: an attempt ends with whoever waits for it."""

from collections.abc import Awaitable, Callable

import trio

from p2p.network import Network

ORPHANED_S = 3.0
"""How long an orchestrator may be gone before its jobs are dropped. It gives an attempt up as soon
as it sees the connection end, and after a restart begins another; the pause is for one that did
not see it."""


async def watch_orchestrators(
    network: Network,
    abandon: Callable[[str], Awaitable[None]],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Call `abandon(peer id)` for each peer that stays away, until cancelled."""
    away: dict[str, trio.CancelScope] = {}

    async def wait(peer_id: str, scope: trio.CancelScope) -> None:
        with scope:
            await trio.sleep(ORPHANED_S)
            del away[peer_id]
            await abandon(peer_id)

    async with network.connections() as events, trio.open_nursery() as nursery:
        task_status.started()
        async for event in events:
            back = away.pop(event.peer_id, None)
            if back is not None:
                back.cancel()
            if not event.connected:
                scope = away[event.peer_id] = trio.CancelScope()
                nursery.start_soon(wait, event.peer_id, scope)
