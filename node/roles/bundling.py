"""A market asks validators to sign together what each of them has signed by itself: claims whose
pay is due, so that one transaction of the chain has many."""

import logging
from collections.abc import Sequence

import trio

from node.directory import Directory
from node.l1.errors import BadPayload
from node.roles.approvals import ANSWER_TIMEOUT_S, PAUSE_S, approval_of, is_there
from node.settlement.escrow_closings import Bundle, EscrowClosings
from node.wire.approvals import RequestBundle
from p2p.errors import P2PError
from p2p.identity import peer_id_of
from p2p.network import Network
from storage.database import Database
from storage.store import Batch

log = logging.getLogger(__name__)


class BundlingRole:
    """Collects the signatures; what a quorum has signed is sent at once."""

    def __init__(
        self,
        *,
        network: Network,
        db: Database,
        closings: EscrowClosings,
        directory: Directory,
    ) -> None:
        self._network = network
        self._db = db
        self._closings = closings
        self._directory = directory

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Ask until cancelled."""
        task_status.started()
        while True:
            async with trio.open_nursery() as nursery:
                for bundle in self._closings.unsigned():
                    nursery.start_soon(self._collect, bundle)
            await trio.sleep(PAUSE_S)

    async def _collect(self, bundle: Bundle) -> None:
        """One round: everybody of the set that is there and has not signed, all at once."""
        message = _request(bundle)
        async with trio.open_nursery() as nursery:
            for peer_id in self._unasked(bundle):
                nursery.start_soon(self._ask, peer_id, bundle, message, nursery)

    async def _ask(
        self, peer_id: str, bundle: Bundle, message: RequestBundle, nursery: trio.Nursery
    ) -> None:
        batch = Batch()
        try:
            answer = await self._network.request(peer_id, message, timeout_s=ANSWER_TIMEOUT_S)
            self._closings.approve(batch, bundle, approval_of(answer))
        except (P2PError, BadPayload) as error:
            log.info("%s does not sign %d claims together: %s", peer_id, len(bundle.claims), error)
            return
        if batch:
            self._db.stage(batch)
        if bundle.is_approved:
            nursery.cancel_scope.cancel()

    def _unasked(self, bundle: Bundle) -> Sequence[str]:
        signed = {one.public_key for one in bundle.approvals}
        keys = (one.public_key for one in bundle.members if one.public_key not in signed)
        peers = (peer_id_of(bytes.fromhex(key)) for key in keys)
        return [one for one in peers if is_there(one, self._network, self._directory)]


def _request(bundle: Bundle) -> RequestBundle:
    return RequestBundle(
        tuple(bytes.fromhex(escrow_id) for escrow_id, _ in bundle.pairs),
        tuple(bytes.fromhex(claim) for _, claim in bundle.pairs),
    )
