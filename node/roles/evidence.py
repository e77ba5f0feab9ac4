"""Having what a worker committed to: it opens it, and what is too large for that is fetched."""

import logging
from typing import BinaryIO

import trio

from node.offload import Offload
from node.wire.checks import RequestVerdict
from node.wire.jobs import Challenge, Opening
from p2p.errors import P2PError, PeerUnreachable
from p2p.network import BulkInfo, Network

log = logging.getLogger(__name__)

OPEN_TIMEOUT_S = 5.0
"""For the worker to open to a validator that asks it."""
REACH_PAUSE_S = 0.25
"""Between two tries at a worker that is not connected."""
FETCH_TIMEOUT_S = 120.0
"""For all steps of an attempt, or its output, or its proof."""


class WorkerSource:
    """Asks workers for evidence; whatever does not come in time is not there."""

    def __init__(self, network: Network, offload: Offload) -> None:
        self._network = network
        self._offload = offload

    async def open(self, asked: RequestVerdict, worker: str) -> Opening | None:
        """What the worker opens to us in time; one that is away may come back until then."""
        challenge = Challenge(asked.draw, asked.result.nonce, asked.commitments, asked.secrets)
        with trio.move_on_after(OPEN_TIMEOUT_S):
            while True:
                try:
                    answer = await self._network.request(
                        worker, challenge, timeout_s=OPEN_TIMEOUT_S
                    )
                except PeerUnreachable:
                    await trio.sleep(REACH_PAUSE_S)
                except P2PError as error:
                    log.info("task %s: its worker does not open: %s", asked.result.task_id, error)
                    return None
                else:
                    return answer if isinstance(answer, Opening) else None
        return None

    async def fetch(
        self, worker: str, name: str, argument: bytes, spool: BinaryIO, max_bytes: int
    ) -> BulkInfo | None:
        """Spool a bulk transfer to disk as it comes, so that the stream never stalls."""

        async def sink(chunk: bytes) -> None:
            await self._offload(lambda: spool.write(chunk))

        try:
            return await self._network.fetch(
                worker, name, argument, sink, max_bytes=max_bytes, timeout_s=FETCH_TIMEOUT_S
            )
        except P2PError as error:
            log.info("%s of %s cannot be fetched: %s", name, worker, error)
            return None
