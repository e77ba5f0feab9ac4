"""Transactions that wait: a pool of those that are next, and a queue of later ones per account.

The rules, their order and their words are the existing chain's, traps included: a queued
transaction moves on only after a block has made its nonce the next one, and a stale copy at the
head of a queue holds up all behind it until it expires.
"""

import heapq
from bisect import insort
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from operator import attrgetter

import msgspec

from node.l1.devchain.admission import signature_problem
from node.l1.devchain.config import Rules
from node.l1.devchain.profiles import UPSTREAM, Profile
from node.l1.devchain.state import Account, State
from node.l1.errors import BadTransaction
from node.l1.transactions import GAS, Transaction, tx_digest

MAX_POOL = 100_000
MAX_POOL_PER_SENDER = 1_000
MAX_QUEUED_PER_SENDER = 64

EXPIRED = "Transaction expired (TTL exceeded)"
EXPIRED_IN_QUEUE = "Transaction expired in pending queue (TTL exceeded)"


Trial = Callable[[Transaction], str]


class Waiting(msgspec.Struct, frozen=True):
    """A transaction in the pool or in a queue."""

    tx: Transaction
    digest: bytes
    since: float
    """Seconds since 1970."""
    gas: int

    @property
    def tx_hash(self) -> str:
        """The digest in hex."""
        return self.digest.hex()


class Expired(msgspec.Struct, frozen=True):
    """A transaction that waited too long, and what subscribers are told."""

    tx_hash: str
    error: str


class Lane:
    """One sender's transactions."""

    def __init__(self) -> None:
        self.pool: dict[int, Waiting] = {}
        self.queue: list[Waiting] = []
        self._ready = 0  # below it every nonce from the confirmed one on is in the pool

    def next_nonce(self, confirmed: int) -> int:
        """The nonce that may enter the pool: after the confirmed ones and those in the pool."""
        self._ready = max(self._ready, confirmed)
        while self._ready in self.pool:
            self._ready += 1
        return self._ready

    def remove(self, nonce: int) -> None:
        """Take a transaction out of the pool."""
        self.pool.pop(nonce, None)
        self._ready = 0


class Mempool:
    """All that waits for a block; everything is lost with the process, as on the real chain."""

    def __init__(self, rules: Rules, ttl_s: float, profile: Profile = UPSTREAM) -> None:
        self._rules = rules
        self._profile = profile
        self._ttl_s = ttl_s
        self._lanes: dict[str, Lane] = {}
        self._hashes: set[bytes] = set()  # of the pool only

    @property
    def size(self) -> int:
        """Transactions in the pool; those in queues are not counted."""
        return len(self._hashes)

    def admit(
        self, tx: Transaction, state: State, now: float, trial: Trial | None = None
    ) -> tuple[bytes, str]:
        """Take a transaction in; returns its digest and why it is refused, empty if it is not.

        `trial` says why the next block could not hold one of the profile's own types.
        """
        digest = tx_digest(tx)
        account = state.account(tx.from_address)
        gas, problem = self._entry_problem(tx, digest)
        problem = (
            problem
            or signature_problem(tx, digest)
            or _balance_problem(tx, account)
            or self._place_problem(tx, account.nonce)
            or (trial(tx) if trial and tx.tx_type in self._profile.types else "")
            or self._profile_problem(tx)
        )
        if not problem:
            self._place(Waiting(tx, digest, now, gas), account.nonce)
        return digest, problem

    def take_back(self, waiting: Waiting, state: State) -> None:
        """Let what was let in before, and perhaps in a block that was given up, wait again."""
        confirmed = state.account(waiting.tx.from_address).nonce
        if not self._place_problem(waiting.tx, confirmed):
            self._place(waiting, confirmed)

    def first_free_nonce(self, address: str, confirmed: int) -> int:
        """The first nonce that neither block, pool nor queue has."""
        lane = self._lanes.get(address)
        if lane is None:
            return confirmed
        taken = {*lane.pool, *(waiting.tx.nonce for waiting in lane.queue)}
        while confirmed in taken:
            confirmed += 1
        return confirmed

    def candidates(self, count: int) -> list[Waiting]:
        """The next block's candidates: highest price first, each sender's by nonce."""
        return list(islice(self._by_price(), count))

    def settle(self, gone: Iterable[Waiting], state: State) -> None:
        """After a block: forget what it took or dropped and what is stale, let queues move up."""
        for waiting in gone:
            self._remove(waiting)
        for address, lane in list(self._lanes.items()):
            account = state.account(address)
            self._promote(lane, account)
            for nonce in [nonce for nonce in lane.pool if nonce < account.nonce]:
                self._remove(lane.pool[nonce])
            if not lane.pool and not lane.queue:
                del self._lanes[address]

    def expire(self, now: float) -> list[Expired]:
        """Forget what has waited too long."""
        limit = now - self._ttl_s
        expired = []
        for lane in self._lanes.values():
            for waiting in [one for one in lane.pool.values() if one.since < limit]:
                self._remove(waiting)
                expired.append(Expired(waiting.tx_hash, EXPIRED))
            late = [one for one in lane.queue if one.since < limit]
            lane.queue = [one for one in lane.queue if one.since >= limit]
            expired += [Expired(one.tx_hash, EXPIRED_IN_QUEUE) for one in late]
        return expired

    def take_all(self) -> list[Waiting]:
        """Empty pool and queues; what was in them, each sender's by nonce."""
        lanes = self._lanes.values()
        found = [one for lane in lanes for one in (*lane.pool.values(), *lane.queue)]
        self._lanes.clear()
        self._hashes.clear()
        return sorted(found, key=attrgetter("tx.nonce"))

    def _profile_problem(self, tx: Transaction) -> str:
        try:
            self._profile.check(tx)
        except BadTransaction as error:
            return f"rejected: {error}"
        return ""

    def _entry_problem(self, tx: Transaction, digest: bytes) -> tuple[int, str]:
        """The transaction's gas, and why it is refused before its sender is looked at."""
        if digest in self._hashes:
            return 0, "already_in_pool"
        if tx.gas_price < self._rules.min_gas_price:
            return 0, f"gas_price {tx.gas_price} < min {self._rules.min_gas_price}"
        if tx.tx_type not in GAS and tx.tx_type not in self._profile.types:
            return 0, "unknown_tx_type"
        try:
            gas = self._profile.gas(tx)
        except BadTransaction as error:
            return 0, f"rejected: {error}"
        return gas, self._gas_problem(tx, gas) or self._room_problem(tx)

    def _gas_problem(self, tx: Transaction, gas: int) -> str:
        if tx.gas_limit < gas:
            return f"gas_limit {tx.gas_limit} < base_gas {gas}"
        if tx.fee < gas * tx.gas_price:
            return f"fee {tx.fee} < needed_fee {gas * tx.gas_price}"
        if gas > self._rules.block_gas_limit:
            return f"gas {gas} > block_gas_limit {self._rules.block_gas_limit}"
        return ""

    def _room_problem(self, tx: Transaction) -> str:
        if self.size >= MAX_POOL:
            return "mempool_full"
        lane = self._lanes.get(tx.from_address)
        if lane is not None and len(lane.pool) >= MAX_POOL_PER_SENDER:
            return "sender_limit_exceeded"
        return ""

    def _place_problem(self, tx: Transaction, confirmed: int) -> str:
        lane = self._lanes.get(tx.from_address) or Lane()
        expected = lane.next_nonce(confirmed)
        if tx.nonce < expected:
            return "nonce_too_low"
        full = len(lane.queue) >= MAX_QUEUED_PER_SENDER
        return "queued_limit_exceeded" if full and tx.nonce > expected else ""

    def _place(self, waiting: Waiting, confirmed: int) -> None:
        lane = self._lanes.setdefault(waiting.tx.from_address, Lane())
        if waiting.tx.nonce == lane.next_nonce(confirmed):
            self._add(lane, waiting)
        else:
            insort(lane.queue, waiting, key=attrgetter("tx.nonce"))

    def _add(self, lane: Lane, waiting: Waiting) -> None:
        lane.pool[waiting.tx.nonce] = waiting
        self._hashes.add(waiting.digest)

    def _remove(self, waiting: Waiting) -> None:
        self._lanes[waiting.tx.from_address].remove(waiting.tx.nonce)
        self._hashes.discard(waiting.digest)

    def _promote(self, lane: Lane, account: Account) -> None:
        expected = account.nonce
        while lane.queue and lane.queue[0].tx.nonce == expected:
            waiting = lane.queue.pop(0)
            if _balance_problem(waiting.tx, account):
                return
            if expected not in lane.pool:
                self._add(lane, waiting)
            expected += 1

    def _by_price(self) -> Iterator[Waiting]:
        senders = {address: sorted(lane.pool) for address, lane in self._lanes.items()}
        heads = [
            (-self._lanes[address].pool[nonces[0]].tx.gas_price, address, 0)
            for address, nonces in senders.items()
            if nonces
        ]
        heapq.heapify(heads)
        while heads:
            _, address, place = heapq.heappop(heads)
            pool, nonces = self._lanes[address].pool, senders[address]
            yield pool[nonces[place]]
            if place + 1 < len(nonces):
                price = pool[nonces[place + 1]].tx.gas_price
                heapq.heappush(heads, (-price, address, place + 1))


def _balance_problem(tx: Transaction, account: Account) -> str:
    if tx.tx_type == "TRANSFER" and tx.amount == 0:
        return "transfer_amount_zero"
    if account.balance < tx.amount + tx.fee:
        return "insufficient_balance"
    return ""
