"""Thresholds for being paid: told by the nodes of workers and validators, noted by the market."""

from collections.abc import Callable
from contextlib import suppress

import trio

from node.amounts import Amount
from node.directory import Directory
from node.errors import NodeError
from node.settlement.paydesk import PayDesk
from node.wire.payouts import SetThreshold, is_signed, signed_threshold
from node.wire.presence import Ack
from p2p.errors import P2PError, RequestRefused
from p2p.identity import Identity, public_key_of
from p2p.network import Network

TELL_TIMEOUT_S = 10.0
"""For a market to note a threshold."""
TELL_AGAIN_S = 30.0
"""Before a market that could not be told, or that forgot, is told again."""
AHEAD_MS = 60_000
"""How far a payee's clock may be ahead: a wish of the far future could never be changed."""


class Wishes:
    """A market's ear for them."""

    def __init__(
        self,
        *,
        network: Network,
        directory: Directory,
        desk: PayDesk,
        chain_id: str,
        now_ms: Callable[[], int],
    ) -> None:
        self._network = network
        self._directory = directory
        self._desk = desk
        self._chain_id = chain_id
        self._now_ms = now_ms
        network.serve(SetThreshold, self._on_threshold)

    async def _on_threshold(self, sender: str, message: SetThreshold) -> Ack:
        if not is_signed(message, public_key_of(sender), self._chain_id, self._network.peer_id):
            raise RequestRefused("signature", "it is not signed by the sender for this market")
        if message.asked_ms > self._now_ms() + AHEAD_MS:
            raise RequestRefused("clock", "it was made in the future")
        address = self._directory.address_of(sender)
        if not address:
            raise RequestRefused("unknown", "the sender's account is not known here yet")
        try:
            await self._desk.set_threshold(address, message.threshold, message.asked_ms)
        except NodeError as error:
            raise RequestRefused(error.code, str(error)) from error
        return Ack()


class WishTeller:
    """Tells every market at which sum this node's account wants to be paid."""

    def __init__(
        self,
        *,
        network: Network,
        directory: Directory,
        identity: Identity,
        chain_id: str,
        threshold: Amount,
        now_ms: Callable[[], int],
    ) -> None:
        self._network = network
        self._directory = directory
        self._identity = identity
        self._chain_id = chain_id
        self._threshold = threshold
        self._asked_ms = now_ms()
        self._told: set[str] = set()
        self.refusals: dict[str, str] = {}
        """By the markets that would not."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Tell those that come until cancelled."""
        task_status.started()
        while True:
            changed = self._directory.changed
            here = {one.peer_id for one in self._directory.active("market")}
            self._told &= here
            for market in sorted(here - self._told):
                with suppress(P2PError):
                    await self._tell(market)
            with trio.move_on_after(TELL_AGAIN_S):
                await changed.wait()

    async def _tell(self, market: str) -> None:
        chain_id, asked_ms = self._chain_id, self._asked_ms
        wish = signed_threshold(self._identity, chain_id, market, self._threshold, asked_ms)
        try:
            await self._network.request(market, wish, timeout_s=TELL_TIMEOUT_S)
        except RequestRefused as refusal:
            if refusal.code == "unknown":  # it learns of us any moment
                return
            self.refusals[market] = str(refusal)
        else:
            self.refusals.pop(market, None)
        self._told.add(market)

    def waits(self) -> tuple[str, ...]:
        """What came of it where it was refused."""
        said = self.refusals.items()
        return tuple(f"market {one} does not take [payout] threshold: {why}" for one, why in said)
