"""What is remembered of transactions, in memory only and not for ever."""

import msgspec

from node.l1.devchain.mempool import EXPIRED

MAX_RECEIPTS = 10_000


class Receipt(msgspec.Struct, frozen=True):
    """The last thing that happened to a transaction."""

    status: str
    block_height: int | None
    timestamp: int
    """Seconds since 1970, of the last change."""
    error: str | None = None


class Receipts:
    """Receipts by transaction hash, the oldest first."""

    def __init__(self, *, stuck: bool = False) -> None:
        """`stuck`: a receipt never says that its transaction is confirmed."""
        self._receipts: dict[str, Receipt] = {}
        self._stuck = stuck

    def get(self, tx_hash: str) -> Receipt | None:
        """A receipt that has not been forgotten."""
        return self._receipts.get(tx_hash)

    def pending(self, tx_hash: str, now: float) -> None:
        """The transaction was received."""
        self._receipts.pop(tx_hash, None)
        self._put(tx_hash, Receipt("pending", None, int(now)))

    def confirmed(self, tx_hash: str, height: int, now: float) -> None:
        """A block holds the transaction."""
        if not self._stuck:
            self._put(tx_hash, Receipt("confirmed", height, int(now)))

    def expired(self, tx_hash: str, now: float) -> None:
        """The transaction waited too long."""
        self._put(tx_hash, Receipt("failed", None, int(now), EXPIRED))

    def forget(self) -> None:
        """Lose everything, as a restart does."""
        self._receipts.clear()

    def _put(self, tx_hash: str, receipt: Receipt) -> None:
        self._receipts[tx_hash] = receipt
        if len(self._receipts) > MAX_RECEIPTS:
            for oldest in list(self._receipts)[: MAX_RECEIPTS // 10]:
                del self._receipts[oldest]
